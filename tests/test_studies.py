"""Studies from dumps: values, attribution, decomposition by hand; what is scored again and what is not."""

import itertools

import numpy as np
import pytest

import divfast
from divfast.decomposition import decompose
from divfast.errors import DataError, MetricError
from divfast.stats import sign_flip_p
from divfast.studies import measuring, study
from studying import one, outputs, rows, write_dump, write_study

PROMPTS, K = 40, 4
SPREADS = {"base": 10, "sft": 6, "rl-a": 4, "rl-b": 3}
LINEAGES = {"full": [{"base": "base"}, {"sft": "sft"}, {"rl": ["rl-a", "rl-b"]}], "short": ["base", "sft"]}


@pytest.fixture
def lineage(tmp_path):
    """Four models of falling diversity on two tasks, one with verdicts."""
    random = np.random.default_rng(0)
    for model, spread in SPREADS.items():
        for task in ("quiz", "story"):
            samples = [outputs(random, K, spread) for _ in range(PROMPTS)]
            correct = [[bool(random.random() < 0.7) for _ in range(K)] for _ in range(PROMPTS)]
            write_dump(tmp_path / "dumps" / model / f"{task}.jsonl", samples, correct=correct)
    return write_study(
        tmp_path / "study.yaml",
        lineages=LINEAGES,
        tasks={"quiz": {"verify": "labels"}, "story": {}},
        dumps="dumps/{model}/{task}.jsonl",
        metrics=["distinct:n=1", "unique"],
        options={"answers_field": "outputs"},
    )


def of(folder, model, task, metric):
    return divfast.score(folder / "dumps" / model / f"{task}.jsonl", [metric], scopes=["prompt"])[
        metric
    ].values


def test_values_are_those_of_score(lineage):
    found = study(lineage)
    for model, task, metric in itertools.product(
        SPREADS, ("quiz", "story"), ("distinct:n=1", "unique", "length")
    ):
        row = one(found["values"], model=model, task=task, metric=metric)
        assert row["value"] == pytest.approx(of(lineage.parent, model, task, metric).mean())
        assert row["low"] <= row["value"] <= row["high"]
        assert metric != "distinct:n=1" or row["low"] < row["high"]
        assert row["prompts"] == PROMPTS
        assert row["signature"].startswith(metric)
    row = one(found["values"], model="sft", task="average", metric="unique")
    parts = [of(lineage.parent, "sft", task, "unique").mean() for task in ("quiz", "story")]
    assert row["value"] == pytest.approx(np.mean(parts))
    assert row["tasks"] == 2


def test_attribution_by_hand(lineage):
    found = study(lineage)["attribution"]
    values = {model: of(lineage.parent, model, "quiz", "unique") for model in SPREADS}
    last = (values["rl-a"] + values["rl-b"]) / 2
    base = values["base"].mean()
    wanted = {
        "sft": (values["sft"] - values["base"], 100 * (values["sft"].mean() - base) / base),
        "rl": (last - values["sft"], 100 * (last.mean() - values["sft"].mean()) / base),
        "retained": (last - values["base"], 100 * last.mean() / base),
    }
    for step, (differences, share) in wanted.items():
        row = one(found, lineage="full", task="quiz", metric="unique", step=step)
        assert row["share"] == pytest.approx(share)
        assert row["low"] < share < row["high"]
        assert row["change"] == pytest.approx(differences.mean())
        # By other flips.
        assert row["p"] == pytest.approx(sign_flip_p([differences])[0], abs=0.02)
        assert row["p"] <= row["p_holm"] <= 1
    total = sum(row["share"] for row in rows(found, lineage="full", task="quiz", metric="unique")[:2])
    assert 100 + total == pytest.approx(wanted["retained"][1])


def test_the_average_is_that_of_shares_and_narrower(lineage):
    found = study(lineage)["attribution"]
    parts = [one(found, lineage="full", task=task, metric="unique", step="sft") for task in ("quiz", "story")]
    average = one(found, lineage="full", task="average", metric="unique", step="sft")
    assert average["share"] == pytest.approx(np.mean([part["share"] for part in parts]))
    widths = [part["high"] - part["low"] for part in parts]
    assert average["high"] - average["low"] == pytest.approx(np.hypot(*widths) / 2, rel=0.2)
    assert average["prompts"] == 2 * PROMPTS


def test_steps_that_lineages_share_are_one_test(lineage):
    found = study(lineage)["attribution"]
    full, short = (
        one(found, lineage=name, task="quiz", metric="unique", step="sft") for name in ("full", "short")
    )
    assert (full["p"], full["p_holm"]) == (short["p"], short["p_holm"])
    # Six different tests: base to sft, sft to rl and base to rl, on two tasks.
    smallest = min(row["p"] for row in rows(found, metric="unique") if row["task"] != "average")
    holm = min(row["p_holm"] for row in rows(found, metric="unique") if row["task"] != "average")
    assert holm == pytest.approx(6 * smallest)


def test_decomposition_is_that_of_decompose(lineage):
    found = study(lineage)["decomposition"]
    files = [lineage.parent / "dumps" / model / "quiz.jsonl" for model in ("base", "sft")]
    for wanted in decompose(*files, ["unique"]):
        row = one(found, base="base", model="sft", task="quiz", metric="unique", over=wanted.over)
        for name in ("base_all", "model_correct", "loss", "residual", "quality_control"):
            assert row[name] == pytest.approx(getattr(wanted, name))
        assert (row["computable_base"], row["computable_model"]) == wanted.computable
        assert row["lineage"] == "full and short"
    assert not rows(found, task="story")


def test_quality(lineage):
    found = study(lineage)["quality"]
    (report,) = [
        divfast.score(
            lineage.parent / "dumps" / "sft" / "quiz.jsonl",
            ["accuracy", "accuracy_at_1", "majority", "mv_gain"],
            scopes=["prompt"],
            answers_field="outputs",
        )
    ]
    row = one(found, model="sft", task="quiz")
    for name in ("accuracy", "accuracy_at_1", "majority", "mv_gain"):
        assert row[name] == pytest.approx(report[name].mean)
    assert row["gain_over_mean"] == pytest.approx(row["majority"] - row["accuracy"])
    assert row["accuracy_low"] < row["accuracy"] < row["accuracy_high"]


def test_nothing_is_scored_twice(lineage, tmp_path, monkeypatch):
    out = tmp_path / "out"
    calls = []
    score = measuring.score

    def counted(paths, metrics, **options):
        calls.append((len(paths), options["where"], tuple(metrics)))
        return score(paths, metrics, **options)

    monkeypatch.setattr(measuring, "score", counted)
    first = study(lineage, out)
    assert (first.run["scored"], first.run["known"]) == (8, 0)
    before = len(calls)
    again = study(lineage, out)
    assert (again.run["scored"], again.run["known"], len(calls)) == (0, 8, before)
    assert all(first[name].equals(again[name]) for name in first.tables)

    # One dump that changes.
    path = lineage.parent / "dumps" / "sft" / "story.jsonl"
    path.write_text(path.read_text().replace("red", "blue"))
    changed = study(lineage, out)
    assert (changed.run["scored"], changed.run["known"]) == (1, 7)
    assert [many for many, _, _ in calls[before:]] == [1]

    # The same dumps under other names and times.
    (lineage.parent / "dumps").rename(lineage.parent / "moved")
    moved = study(lineage, out, dumps=_moved(lineage))
    assert moved.run["known"] == 8

    # One metric more: it alone.
    del calls[:]
    text = lineage.read_text().replace("- unique", "- unique\n- distinct:n=2")
    lineage.write_text(text)
    more = study(lineage, out, dumps=_moved(lineage))
    assert more.run["scored"] == 8
    assert {metrics for _, _, metrics in calls} == {("distinct:n=2",)}

    # Another recipe.
    lineage.write_text(text.replace("answers_field: outputs", "answers_field: outputs\n  preset: paper"))
    assert study(lineage, out, dumps=_moved(lineage)).run["scored"] == 8


def _moved(lineage):
    folder = lineage.parent / "elsewhere"
    if not folder.exists():
        folder.mkdir()
        (lineage.parent / "moved").rename(folder / "dumps")
    return folder


def test_a_killed_run_goes_on(lineage, tmp_path, monkeypatch):
    out = tmp_path / "out"
    monkeypatch.setattr(measuring, "_BATCH_DUMPS", 1)
    score, calls = measuring.score, itertools.count()

    def killed(*args, **options):
        if next(calls) == 5:
            raise KeyboardInterrupt
        return score(*args, **options)

    monkeypatch.setattr(measuring, "score", killed)
    with pytest.raises(KeyboardInterrupt):
        study(lineage, out)
    assert not (out / "values.csv").exists()
    assert len(list((out / "scored").glob("*.parquet"))) == 5
    assert not list(out.rglob("*.tmp"))
    done = itertools.count()

    def counted(*args, **options):
        next(done)
        return score(*args, **options)

    monkeypatch.setattr(measuring, "score", counted)
    found = study(lineage, out)
    assert next(done) == 12 - 5
    assert found["values"].equals(study(lineage)["values"])


def test_what_is_broken_in_the_folder_is_made_anew(lineage, tmp_path):
    out = tmp_path / "out"
    study(lineage, out)
    for path in (out / "scored").glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:100])
    (out / "scored" / "digests.json").write_text("{")
    assert study(lineage, out).run["scored"] == 8


def test_prompts_that_differ_are_refused_with_the_counts(lineage, tmp_path):
    path = lineage.parent / "dumps" / "rl-a" / "story.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    other = lines[0].replace('"p0"', '"q0"')
    path.write_text("".join([other, *lines[5:]]))
    told = r"the prompts differ: base story has 40 and rl-a story has 36, of which 35 are in both"
    with pytest.raises(DataError, match=told) as raised:
        study(lineage, tmp_path / "out")
    assert "--intersect" in raised.value.remedy
    found = study(lineage, tmp_path / "out", intersect=True)
    assert one(found["values"], model="base", task="story", metric="unique")["prompts"] == 35
    assert one(found["values"], model="base", task="quiz", metric="unique")["prompts"] == 40
    assert found.run["remarks"][0] == "story: 35 prompts that all dumps have, of up to 40."


def test_order_of_prompts_does_not_matter(lineage):
    before = study(lineage)["attribution"]
    path = lineage.parent / "dumps" / "sft" / "quiz.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[::-1]))
    after = study(lineage)["attribution"]
    for name in ("share", "low", "high", "p"):
        np.testing.assert_allclose(before[name].to_numpy(), after[name].to_numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        (lambda path: path.unlink(), DataError, "no such file, which would be the dump of sft quiz"),
        (lambda path: path.write_text(""), DataError, "is empty"),
        (
            lambda path: path.write_text('{"input_id": "a", "outputs": "b"}\n'),
            DataError,
            "must be a list of strings",
        ),
        (
            lambda path: path.write_text(path.read_text().replace("[true, ", "[").replace("[false, ", "[")),
            DataError,
            "correct",
        ),
        (lambda path: path.write_text(path.read_text().replace("correct", "right")), DataError, "correct"),
        (lambda path: path.write_text(path.read_text().replace('"p1"', '"p0"')), DataError, "differ"),
    ],
)
def test_bad_dumps_are_one_sentence(lineage, change, error, told):
    change(lineage.parent / "dumps" / "sft" / "quiz.jsonl")
    with pytest.raises(error, match=told) as raised:
        study(lineage)
    assert len(str(raised.value).splitlines()) <= 2


def test_patterns_that_share_a_file(lineage):
    lineage.write_text(lineage.read_text().replace("{model}/{task}.jsonl", "*/{task}.jsonl"))
    with pytest.raises(DataError, match=r"does not say \{model\}"):
        study(lineage)
    lineage.write_text(lineage.read_text().replace("*/{task}", "{model}*/{task}"))
    assert study(lineage).run["scored"] == 8
    (lineage.parent / "dumps" / "sft").rename(lineage.parent / "dumps" / "base-sft")
    lineage.write_text(lineage.read_text().replace("sft", "base-sft"))
    with pytest.raises(DataError, match="is of both base quiz and base-sft quiz"):
        study(lineage)


def test_unknown_metrics_end_it_before_any_work(lineage, tmp_path):
    lineage.write_text(lineage.read_text().replace("- unique", "- uniqe"))
    with pytest.raises(MetricError, match="unknown metric 'uniqe'"):
        study(lineage, tmp_path / "out")
    assert not (tmp_path / "out").exists()
