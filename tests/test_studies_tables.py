"""What studies add to values: correlations, ranks, what is only length; tables as files."""

import csv
import errno
import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from divfast.errors import MetricError, OutputError
from divfast.studies import study, writing
from divfast.studies.attribution import attribute, shares, steps
from divfast.studies.correlation import among_models, among_prompts, beside_length, kendall
from divfast.studies.grids import Grid
from divfast.studies.plan import Stage
from divfast.studies.resampling import corrected, drawn_means, flips_for, p_values, seed_of
from divfast.studies.tabular import as_csv, as_md, as_tex, digits_of
from divfast.studies.values import Drawn, ranks_of
from studying import outputs, write_dump, write_study

NAN = float("nan")
MODELS = ("base", "sft", "dpo", "rl", "other")


def grid(values, models=MODELS, task="t"):
    metrics = tuple(name for name in values if name != "length")
    return Grid(task, {}, models, metrics, values, {}, {}, {})


def test_correlations_over_prompts_are_those_of_scipy():
    random = np.random.default_rng(0)
    # Few levels, so that many are equal.
    a = random.integers(0, 6, (5, 80)).astype(float)
    b = a + random.integers(-2, 3, (5, 80))
    b[:, :7] = NAN
    (row, *_) = among_prompts(Drawn([grid({"a": a, "b": b, "length": a * 0 + 1})], 0), 0)
    wanted = [stats.spearmanr(x[7:], y[7:]).statistic for x, y in zip(a, b, strict=True)]
    assert row["spearman"] == pytest.approx(np.mean(wanted))
    assert row["low"] < row["spearman"] < row["high"]
    assert row["models"] == 5


def test_what_is_all_the_same_has_no_correlation():
    a = np.random.default_rng(0).random((5, 20))
    pairs = [
        (row["metric_a"], row["metric_b"])
        for row in among_prompts(Drawn([grid({"a": a, "b": a**3, "length": a * 0})], 0), 0)
    ]
    assert pairs == [("a", "b")]


def test_correlations_over_models_are_those_of_scipy():
    random = np.random.default_rng(1)
    a = random.random((5, 30)) + np.arange(5)[:, None]
    b = random.random((5, 30)) + np.array([0, 2, 1, 3, 3])[:, None]
    (row, *_) = among_models(Drawn([grid({"a": a, "b": b})], 0))
    assert row["spearman"] == pytest.approx(stats.spearmanr(a.mean(1), b.mean(1)).statistic)
    assert row["kendall"] == pytest.approx(stats.kendalltau(a.mean(1), b.mean(1)).statistic)
    assert row["low"] <= row["spearman"] <= row["high"]
    assert not list(among_models(Drawn([grid({"a": a[:3], "b": b[:3]}, MODELS[:3])], 0)))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), min_size=2, max_size=12))
def test_kendall_and_ranks_agree_with_scipy(pairs):
    x, y = np.array(pairs, float).T
    wanted = stats.kendalltau(x, y).statistic
    np.testing.assert_allclose(kendall(x, y), wanted, equal_nan=True, atol=1e-12)
    np.testing.assert_array_equal(ranks_of(x), stats.rankdata(-x))


def test_a_change_that_is_only_length_is_none_at_equal_length():
    random = np.random.default_rng(2)
    grown = random.normal(3, 4, 300)
    length = np.stack([np.full(300, 50.0), 50 + grown])
    only = np.stack([np.zeros(300), 0.1 * grown + random.normal(0, 0.05, 300)])
    more = only + np.array([[0], [1]])
    lineages = {"a": (Stage("base", ("base",)), Stage("sft", ("sft",)))}
    values = {"only": only, "more": more, "length": length}
    found = {row["metric"]: row for row in beside_length(grid(values, MODELS[:2]), lineages, 0)}
    line = stats.linregress(grown, only[1])
    assert found["only"]["at_equal_length"] == pytest.approx(line.intercept)
    assert found["only"]["slope"] == pytest.approx(line.slope)
    assert found["only"]["low"] < 0 < found["only"]["high"]
    assert found["only"]["change"] > 0.2
    assert found["more"]["low"] < 1 < found["more"]["high"]
    assert found["more"]["distance"] == pytest.approx(grown.mean() / grown.std())


def test_lengths_that_never_change_leave_nothing_to_regress_on():
    values = {"a": np.random.default_rng(3).random((2, 20)), "length": np.full((2, 20), 3.0)}
    lineages = {"a": (Stage("base", ("base",)), Stage("sft", ("sft",)))}
    (row,) = beside_length(grid(values, MODELS[:2]), lineages, 0)
    assert np.isnan([row["slope"], row["at_equal_length"], row["low"], row["distance"]]).all()


def test_shares_sum_to_what_is_retained():
    stages = np.random.default_rng(4).random((5, 7)) + 0.1
    found = shares(stages)
    np.testing.assert_allclose(100 + found[:-1].sum(axis=0), found[-1])
    assert np.isnan(shares(np.array([[0.0], [1.0]]))).all()


def test_shares_hold_the_truth_and_tests_find_nothing_as_often_as_they_say():
    random = np.random.default_rng(8)
    lineages = {"a": (Stage("base", ("base",)), Stage("sft", ("sft",)), Stage("rl", ("dpo", "rl")))}
    held = false = 0
    many = 200
    for i in range(many):
        # From sft to the two after it nothing changes; prompts differ, and are the same for all.
        prompt = random.gamma(4, 0.1, 60)
        noise = random.normal(0, 0.05, (4, 60))
        values = np.stack([prompt, 0.7 * prompt, 0.7 * prompt, 0.7 * prompt]) + noise
        found = attribute({"t": steps(grid({"x": values}, MODELS[:4]), lineages, i)}, {}, i)
        rows = {row["step"]: row for row in found}
        held += rows["sft"]["low"] <= -30 <= rows["sft"]["high"]
        false += rows["rl"]["p"] <= 0.05
    # Give or take three standard errors of a binomial, and what the bootstrap of 60 prompts lacks.
    assert 0.89 <= held / many <= 0.99
    assert 0.005 <= false / many <= 0.10


def test_draws_of_tasks_are_apart_and_the_same_whatever_else_is_there():
    values = np.random.default_rng(5).random((1, 50))
    first, same = drawn_means(values, "a", 0), drawn_means(np.concatenate([values, values]), "a", 0)
    np.testing.assert_array_equal(first[0], same[1])
    assert abs(np.corrcoef(first[0], drawn_means(values, "b", 0)[0])[0, 1]) < 0.15
    assert seed_of("a", 0) != seed_of("a", 1)


def test_equal_differences_are_one_test():
    random = np.random.default_rng(6)
    column, other = random.normal(0.2, 1, 50), random.normal(0, 1, 50)
    one, two, three = p_values([column, other, column], "t", 0, 3)
    assert one == three != two
    assert np.isnan(p_values([np.array([1.0])], "t", 0, 1)).all()
    assert flips_for(1000) > 20 * 1000


def test_families_are_corrected_by_themselves():
    found = corrected([0.01, 0.02, 0.03, NAN], ["a", "a", "b", "b"], [1, 2, 3, 4])
    assert found[:3] == pytest.approx([0.02, 0.02, 0.03])
    assert np.isnan(found[3])


TABLE = pa.table(
    {
        "lineage": ["a_1", "b|2"],
        "share": [-53.4, 0.2],
        "low": [-60.1, None],
        "high": [-46.0, None],
        "p_holm": [0.00004, 0.5],
        "signature": ["x", "y"],
    }
)


def test_csv_is_in_full():
    found = list(csv.DictReader(io.StringIO(as_csv(TABLE))))
    assert found[1] == {
        "lineage": "b|2",
        "share": "0.2",
        "low": "",
        "high": "",
        "p_holm": "0.5",
        "signature": "y",
    }


def test_markdown_is_to_be_read():
    assert as_md(TABLE).splitlines() == [
        "| lineage | share of base, % | p_holm |",
        "| --- | --- | --- |",
        "| a_1 | -53 [-60, -46] | <0.0001 |",
        "| b\\|2 | 0 | 0.5000 |",
    ]


def test_latex_is_escaped():
    text = as_tex(TABLE)
    assert r"a\_1 & $-$53 [$-$60, $-$46] & \textless{}0.0001 \\" in text
    assert text.startswith(r"\begin{longtable}{lrr}")
    assert text.count(r"\\") == 3


def test_names_that_mean_something_to_latex_and_markdown():
    table = pa.table({"f|g": ["[x]", "*y", "z"], "value": [1.0, 2.0, 3.0]})
    assert as_md(table).splitlines()[0] == "| f\\|g | value |"
    # Behind the end of a row a bracket is a length, and a star is swallowed.
    rows = as_tex(table).splitlines()[5:8]
    assert rows == [r"{}[x] & 1.000 \\", r"{}*y & 2.000 \\", r"z & 3.000 \\"]


@pytest.fixture
def file(tmp_path):
    random = np.random.default_rng(7)
    for model, spread in (("base", 9), ("sft", 5)):
        samples = [outputs(random, 4, spread) for _ in range(12)]
        correct = [[bool(value) for value in random.integers(0, 2, 4)] for _ in range(12)]
        write_dump(tmp_path / f"{model}.jsonl", samples, correct=correct)
    return write_study(
        tmp_path / "s.yaml",
        lineages={"a": ["base", "sft"]},
        tasks={"t": {"verify": "labels"}},
        dumps="{model}.jsonl",
        metrics=["unique", "distinct:n=1"],
    )


def test_every_table_in_every_form(file, tmp_path):
    out = tmp_path / "out"
    found = study(file, out)
    names = {"values", "attribution", "decomposition", "quality", "correlation", "length", "ranks"}
    assert set(found.tables) == names
    forms = {f"{name}.{form}" for name in names for form in ("parquet", "csv", "md", "tex")}
    assert {path.name for path in out.iterdir() if path.is_file()} == {
        *forms,
        *("study.json", "summary.md", "summary.tex"),
    }
    for name in names:
        assert pq.read_table(out / f"{name}.parquet").equals(found[name])
        assert len(list(csv.reader((out / f"{name}.csv").open()))) == len(found[name]) + 1
    assert json.loads((out / "study.json").read_text())["run"]["scored"] == 2
    with pytest.raises(MetricError, match="has no table 'value'"):
        found["value"]


def test_no_table_of_an_earlier_study_stays_behind(file, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "factors.csv").write_text("of somebody else")
    study(file, out)
    assert (out / "quality.csv").is_file()
    assert (out / "factors.csv").read_text() == "of somebody else"
    file.write_text(file.read_text().replace("verify: labels", "preset: default"))
    found = study(file, out)
    assert "quality" not in found.tables
    assert {path.stem for path in out.glob("*.*")} == {*found.tables, "study", "summary"}


def test_files_are_written_whole_or_not_at_all(file, tmp_path, monkeypatch):
    out = tmp_path / "out"
    study(file, out)
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}

    def full(table, path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writing.pq, "write_table", full)
    with pytest.raises(OutputError, match="no space left on device"):
        study(file, out)
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


def test_the_folder_may_not_be_a_file(file, tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(OutputError):
        study(file, tmp_path / "out")


@pytest.mark.parametrize(
    ("cells", "digits"),
    [
        ([], 3),
        ([0.0, None, NAN], 3),
        ([0.5], 3),
        ([0.004, 0.2], 3),
        ([0.00041, 0.0006, 0.02], 4),
        ([1e-9], 6),
        ([250.0], 1),
    ],
)
def test_small_numbers_have_a_digit(cells, digits):
    assert digits_of(cells) == digits


def test_a_page_has_room_for_so_much():
    columns = {
        name: [0.5] for name in ("base", "before", "after", "change", "share", "low", "high", "p", "p_holm")
    }
    text = as_tex(pa.table({"lineage": ["l"], "from": ["b"], "to": ["m"]} | columns))
    assert text.splitlines()[2] == r"lineage & share of base, \% & p\_holm \\"
    text = as_tex(
        pa.table({"lineage": ["l"], "base": ["b"], "model": ["m"], "loss": [0.5], "base_all": [1.0]})
    )
    assert text.splitlines()[2] == r"base & model & loss \\"
    text = as_tex(pa.table({"lineage": ["l"], "change": [0.5], "at_equal_length": [0.5]}))
    assert text.splitlines()[2] == r"lineage & change & at\_equal\_length \\"
