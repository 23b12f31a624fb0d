"""Which metric to believe: statistics by hand and against scipy, a made-up folder, published figures, the page."""

import gzip
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divfast.registry import all_metrics

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "bench" / "results" / "validity.json"
PAGE = ROOT / "docs" / "validity.md"


@pytest.fixture
def validity(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "bench")
    return importlib.import_module("validity")


@pytest.fixture(scope="module")
def statistics():
    path = ROOT / "bench" / "validity_statistics.py"
    spec = importlib.util.spec_from_file_location("bench_validity_statistics", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_spearman_by_hand(statistics):
    def of(x, y):
        return statistics.spearman(np.array(x, float), np.array(y, float))[0]

    assert of([1, 2, 3, 4], [1, 2, 4, 3]) == pytest.approx(0.8)  # 1 - 6 * 2 / (4 * 15)
    assert of([1, 2, 3], [30, 20, 10]) == pytest.approx(-1)
    assert of([1, 1, 2, 2], [0, 0, 1, 1]) == pytest.approx(1)
    assert of([1, 2, 1, 2], [0, 0, 1, 1]) == pytest.approx(0)
    assert np.isnan(of([1, 1, 1], [1, 2, 3]))


def test_oca_by_hand(statistics):
    def of(x, high):
        return statistics.oca(np.array(x, float), np.array(high, bool))[0]

    assert of([1, 2, 3, 4], [0, 0, 1, 1]) == 1
    assert of([1, 2, 3, 4], [0, 1, 0, 1]) == 0.75
    assert of([1, 1, 1, 1], [0, 1, 1, 1]) == 0.75  # one threshold cannot part what is equal
    assert (
        of([4, 3, 2, 1], [0, 0, 0, 1]) == 0.75
    )  # only higher values are called high: best is to call none so
    assert of([2, 1], [0, 1]) == 0.5


def test_agreements_by_hand(statistics):
    classes = np.array([[1, 5], [3, 5], [2, 5]], float)  # the second prompt has nothing to order
    values = np.array([[0.1, 1], [0.2, 2], [0.2, 3]])
    n, share = statistics.agreements(values, classes, np.ones((1, 2)))
    assert n == 3 and share[0] == pytest.approx((1 + 1 + 0.5) / 3)
    n, share = statistics.agreements(np.full((3, 2), np.nan), classes, np.ones((1, 2)))
    assert n == 3 and share[0] == 0.5


counts = st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.integers(0, 3)), min_size=3, max_size=30)


@settings(max_examples=50)
@given(counts)
def test_statistics_agree_with_plain_ones_on_repeated_values(statistics, rows):
    scipy_stats = pytest.importorskip("scipy.stats")
    x, high, weight = (np.array(column) for column in zip(*rows, strict=True))
    x = x.astype(float)
    if weight.sum() == 0:
        return
    again, labels = np.repeat(x, weight), np.repeat(high, weight)
    best = max(np.mean((again > cut) == labels) for cut in [-1, *x])
    assert statistics.oca(x, high, weight[None].astype(float))[0] == pytest.approx(best)
    found = statistics.spearman(x, high.astype(float), weight[None].astype(float))[0]
    if len(set(again)) > 1 and len(set(labels)) > 1:
        assert found == pytest.approx(scipy_stats.spearmanr(again, labels)[0])
    else:
        assert np.isnan(found)


def test_sets_of_one_context_are_drawn_together(statistics):
    weights = statistics.draws(np.array([0, 0, 1, 2]), 50, 0)
    assert weights.shape == (51, 4) and (weights[0] == 1).all()
    assert (weights[:, 0] == weights[:, 1]).all()
    assert (weights[1:, 1:].sum(1) == 3).all() and len(np.unique(weights[1:, 2])) > 1


def write(path, records):
    path.parent.mkdir(exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", newline="\n") as file:
        file.writelines(json.dumps(record, ensure_ascii=False) + "\n" for record in records)


@pytest.fixture
def folder(tmp_path):
    """A few sets of each test: diverse ones have other words in every response, the others repeat one word."""
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(500)]

    def outputs(diverse, k):
        # A response may hold what Python, but not JSON Lines, takes for the end of a line.
        return [" ".join(rng.choice(words, 6) if diverse else ["same"] * 6) + "\u2028." for _ in range(k)]

    def sets(name, k, rated, label):
        for task in ("prompt", "resp") if name.startswith("mcdiv_nuggets_no") else ("resp",):
            records = []
            for i in range(12):
                high = i % 2
                records.append({
                    "input_id": str(i),
                    "prompt": f"context {i // 2}",
                    "outputs": outputs(high, k),
                    "label_value": label(high, i),
                    "ref_metrics": {"SentBert": -0.5 + high},
                    **({"human_mean": 2.0 + high + i / 100} if rated else {}),
                })  # fmt: skip
            write(tmp_path / "mcdiv" / f"{name}_{task}_gen__someone.jsonl.gz", records)

    sets("con_test_200_with_hds", 5, True, lambda high, i: float(high))
    sets("mcdiv_all_no_hds", 5, False, lambda high, i: float(high))
    sets(
        "mcdiv_nuggets_no_hds", 5, False, lambda high, i: float(1 - high)
    )  # labels that are the wrong way round
    sets("mcdiv_nuggets_200_with_hds", 5, True, lambda high, i: float(high))
    sets("dec_test_1000_no_hds", 8, False, lambda high, i: 0.1 + high + i / 100)
    sets("dec_test_200_with_hds", 8, True, lambda high, i: 0.1 + high + i / 100)
    for way in (0, 1):
        records = [
            {"input_id": str(i), "outputs": outputs(way, 4), "partition": [0, 1, 2, 3] if way else [0] * 4}
            for i in range(5)
        ]
        write(tmp_path / "noveltybench" / f"way{way}.jsonl.gz", records)
    write(tmp_path / "noveltybench" / "no_labels.jsonl.gz", [{"input_id": "0", "outputs": ["a", "b"]}])
    return tmp_path


def test_a_folder_is_measured(validity, folder):
    found = json.loads(validity.as_json(validity.measure(folder, encoder=None, replicates=20)))
    rows = {(row["metric"], row["set"], row["task"]): row for row in found["rows"]}
    assert len(rows) == len(found["rows"])
    every = {name for name, _, _ in rows}
    assert {name.partition(":")[0] for name in every} >= {
        "ead",
        "distinct",
        "self_bleu",
        "compression",
        "people",
    }
    assert {one.name for one in all_metrics()} == {
        name.partition(":")[0] for name in found["correlations"]["metrics"]
    } | set(found["left_out"])
    assert found["left_out"]["cosine"] == "needs an encoder"
    # rouge_l is lower where samples are diverse; the sign is turned.
    for metric in ("distinct:n=2", "rouge_l", "authors:SentBert", "people"):
        row = rows[metric, "con_test", "resp"]
        assert row["n"] == 12 and row["oca"] == 1 and row["spearman"] > 0.8 and row["oca_interval"] == [1, 1]
    assert rows["rouge_l", "mcdiv_nuggets", "all"]["oca"] == 0.5
    assert rows["rouge_l", "mcdiv_nuggets", "all"]["n"] == 24
    assert "oca" not in rows["ead", "dec_test", "all"] and rows["ead", "dec_test", "all"]["spearman"] > 0.7
    # Means of pairs do not depend on K; the number of different words in all of K samples does.
    assert rows["rouge_l", "dec_test_rated", "all"]["half"] == pytest.approx(0, abs=1e-4)
    assert rows["entropy", "dec_test_rated", "all"]["half"] < -0.1
    assert "half" not in rows["ead", "con_test", "all"]
    assert rows["rouge_l", "novelty", "all"]["agreement"] == 1 and rows["rouge_l", "novelty", "all"]["n"] == 5
    assert ("rouge_l", "novelty", "long") not in rows
    # Punctuation and case make no difference here.
    assert rows["ead, words", "mcdiv", "all"]["oca"] == rows["ead", "mcdiv", "all"]["oca"] == 1
    assert "jaccard, words" not in every
    (one,) = (
        one
        for one in found["differences"]
        if (one["metric"], one["set"], one["of"]) == ("ead, words", "mcdiv", "oca")
    )
    assert one["than"] == "ead" and one["difference"] == 0 and one["interval"] == [0, 0]


def test_length_is_what_goes_with_length_among_sets_of_one_label(validity):
    rng = np.random.default_rng(0)
    label, lengths = np.repeat([0.0, 1.0], 500), rng.permutation(np.arange(1000.0))
    sets = validity.Sets("mcdiv", "resp", [], label, None, np.arange(1000))
    weights = np.ones((1, 1000))
    assert validity.evaluate(lengths, sets, lengths, weights)["length"][0] == pytest.approx(1)
    assert abs(validity.evaluate(label + 1e-3 * rng.random(1000), sets, lengths, weights)["length"][0]) < 0.1
    assert validity.evaluate(np.full(1000, np.nan), sets, lengths, weights) == {}


def test_a_folder_without_sets_is_told(validity, tmp_path):
    with pytest.raises(SystemExit, match="name their folder with --data"):
        validity.measure(tmp_path)


# Table 2 and the tables of correlations in arXiv 2606.01811, which evaluate the values that Tevet and Berant gave away:
# Spearman's correlation and OCA for prompt, response and story. They let a threshold call lower values high, too.
PUBLISHED = {
    ("SentBert", "con_test"): [(0.682, 0.815), (0.591, 0.791), (0.770, 0.896)],
    ("AveragedDistinctNgrams", "con_test"): [(0.333, 0.675), (0.346, 0.677), (0.573, 0.772)],
    ("SentBert", "mcdiv_nuggets"): [(0.728, 0.850), (0.532, 0.758), (0.633, 0.803)],
    ("AveragedDistinctNgrams", "mcdiv_nuggets"): [(-0.003, 0.514), (-0.002, 0.507), (-0.002, 0.510)],
    ("SentBert", "mcdiv"): [(0.796, 0.897), (0.678, 0.830), (0.753, 0.867)],
    ("AveragedDistinctNgrams", "mcdiv"): [(0.476, 0.746), (0.517, 0.738), (0.535, 0.744)],
    ("BertScore", "dec_test"): [(0.878, None), (0.874, None), (0.694, None)],
    ("AveragedCosineSimilarity", "dec_test"): [(0.873, None), (0.895, None), (0.712, None)],
    ("SentBert", "dec_test"): [(None, None), (0.801, None), (0.645, None)],
    ("AveragedDistinctNgrams", "dec_test"): [(None, None), (0.894, None), (0.758, None)],
}


def test_the_authors_values_are_worth_what_was_published(validity, shared):
    sets = {(one.name, one.task): one for one in validity.read_sets(shared / "data" / "mcdiv")}
    assert len(sets) == 18
    for (metric, name), cells in PUBLISHED.items():
        for task, (rho, accuracy) in zip(validity.TASKS, cells, strict=True):
            one = sets[name, task]
            found = validity.evaluate(
                one.authors[metric], one, np.arange(len(one.label)), np.ones((1, len(one.label)))
            )
            # The published figures have three decimals, and the values had been rounded as well.
            if rho is not None:
                assert found["spearman"][0] == pytest.approx(rho, abs=1.6e-3), (metric, name, task)
            if accuracy is not None:
                lower = validity.oca(-one.authors[metric], one.label > 0.5)[0]
                assert max(found["oca"][0], lower) == pytest.approx(accuracy, abs=1.6e-3), (
                    metric,
                    name,
                    task,
                )


def test_committed_rows_are_reproduced(validity, shared):
    rows = {(r["metric"], r["set"], r["task"]): r for r in json.loads(COMMITTED.read_text("utf-8"))["rows"]}
    sets = validity.read_sets(shared / "data" / "mcdiv")
    for one in (one for one in sets if one.name in ("con_test", "mcdiv_nuggets_rated")):
        full, _, _ = validity.score_columns(one.outputs, ["distinct:n=1", "ead", "jaccard", "rouge_l"], [])
        lengths = np.array([np.mean([len(text.split()) for text in texts]) for texts in one.outputs])
        for metric, values in {**full, "people": one.people}.items():
            row = rows[metric, one.name, one.task]
            found = validity.evaluate(values, one, lengths, np.ones((1, len(values))))
            for key in ("spearman", "oca", "people", "length"):
                assert found[key][0] == pytest.approx(row[key], abs=1e-4), (metric, one.name, key)


@pytest.mark.model
def test_a_judge_is_taken(validity, folder, shared):
    # Its weights are random, so no number is worth anything.
    pytest.importorskip("transformers")
    for path in (folder / "mcdiv").glob("*.gz"):
        if not path.name.startswith("con_test_200_with_hds_resp"):
            path.unlink()
    found = validity.measure(folder, encoder=None, judge=str(shared / "models" / "tiny-nli"), replicates=5)
    assert {"nli", "nli_clusters", "semantic_entropy", "kernel_entropy"} <= {
        row["metric"] for row in found["rows"]
    }
    assert "nli" not in found["left_out"]


def test_committed_rows_name_no_place_and_no_time():
    text = COMMITTED.read_text("utf-8")
    assert not re.search(r'"[^"]*/(home|work|tmp|root|usr)/|second', text)


@pytest.mark.parametrize("name", re.findall(r"^<!-- ([a-z ]+) -->$", PAGE.read_text("utf-8"), re.MULTILINE))
def test_the_page_shows_the_committed_rows(name):
    shown = re.search(rf"<!-- {name} -->\n(.*?)<!-- /{name} -->", PAGE.read_text("utf-8"), re.DOTALL)[1]
    command = [sys.executable, ROOT / "bench" / "validity_table.py", name]
    assert shown == subprocess.run(command, capture_output=True, text=True, check=True).stdout, (
        "run make readme"
    )
