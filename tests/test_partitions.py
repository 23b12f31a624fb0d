"""Metrics over partitions: values by hand, published ones, what is missing; the columns that they come from."""

import gzip
import json
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import divfast
from divfast.errors import DataError, MetricError
from divfast.metrics.cluster_entropy import cluster_entropy
from divfast.metrics.distinct_k import DistinctKCorpus, distinct_k, expected_distinct_k
from divfast.metrics.duplicate_rate import duplicate_rate
from divfast.metrics.hill import hill
from divfast.metrics.utility_k import expected_utility_k, utilities, utility_k
from divfast.partitions import ClassCorpus
from divfast.samples import Samples
from tolerances import REDUCTION

ALL = ("distinct_k", "cluster_entropy", "hill:q=0", "hill:q=2", "hill:q=inf", "duplicate_rate")


def one(values):
    return np.array(values, np.int64), np.array([0, len(values)])


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return str(path)


def record(i, labels, **more):
    return {"input_id": str(i), "outputs": [str(j) for j in range(len(labels))], "partition": labels, **more}


def test_known_values():
    labels, group = one([5, 5, 7, 5, 9, 7])
    assert distinct_k(labels, group)[0] == 3
    assert [distinct_k(labels, group, k=k)[0] for k in (1, 2, 3, 4, 5, 6)] == [1, 1, 2, 2, 3, 3]
    assert duplicate_rate(labels, group)[0] == 0.5
    entropy = 0.5 * math.log(2) + math.log(3) / 3 + math.log(6) / 6
    np.testing.assert_allclose(cluster_entropy(labels, group), [entropy], **REDUCTION)
    np.testing.assert_allclose(hill(labels, group, q=0), [3], **REDUCTION)
    np.testing.assert_allclose(hill(labels, group, q=1), [math.exp(entropy)], **REDUCTION)
    np.testing.assert_allclose(hill(labels, group, q=2), [36 / 14], **REDUCTION)
    np.testing.assert_allclose(hill(labels, group, q=np.inf), [2], **REDUCTION)
    np.testing.assert_allclose(hill(labels, group, q=1000), [2 ** (1000 / 999)], rtol=1e-9)


def test_utility_by_hand():
    rows = np.array([[0, 4], [1, 10], [0, 9], [2, 1]], float)
    group = np.array([0, 4])
    weights = 1 + 0.8 + 0.64 + 0.512
    np.testing.assert_allclose(utility_k(rows, group), [(4 + 8 + 0 + 0.512) / weights], **REDUCTION)
    np.testing.assert_allclose(utility_k(rows, group, k=2, p=0.5), [(4 + 5) / 1.5], **REDUCTION)


def test_points_of_rewards():
    rewards = np.array([-9, -7.71875, -7.7, -6.0, -5.9, -2.046875, -2.0, 5, np.nan])
    assert utilities(rewards, "noveltybench")[:-1].tolist() == [1, 1, 2, 3, 4, 9, 10, 10]
    assert np.isnan(utilities(rewards, "noveltybench")[-1])


def test_what_is_missing_is_undefined():
    labels, groups = np.array([0, -1, 0, 1, 1]), np.array([0, 2, 2, 5])
    for metric in (distinct_k, cluster_entropy, duplicate_rate, hill):
        assert np.isnan(metric(labels, groups)).tolist() == [True, True, False]
    # Only what counts has to be there.
    assert distinct_k(labels, groups, k=1).tolist()[::2] == [1, 1]
    assert np.isnan(distinct_k(labels, groups, k=3)).tolist() == [True, True, False]
    rows = np.array([[0, 1], [np.nan, 2], [0, 5], [1, np.nan], [0, np.nan]])
    assert np.isnan(utility_k(rows, groups)).tolist() == [True, True, True]
    assert utility_k(rows, groups, k=1)[[0, 2]].tolist() == [1, 5]
    # A repetition is worth nothing, whatever its reward.
    np.testing.assert_allclose(utility_k(rows[[2, 4]], np.array([0, 2]), p=0.5), [5 / 1.5], **REDUCTION)


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 63, 64, 65, 100_000])
def test_survives_any_size(size):
    same, different = one([3] * size), one(range(size))
    expected = np.nan if size == 0 else 1.0
    np.testing.assert_equal(distinct_k(*same)[0], expected)
    np.testing.assert_allclose(hill(*same, q=2)[0], expected)
    if size:
        assert distinct_k(*different)[0] == size and duplicate_rate(*different)[0] == 0
        np.testing.assert_allclose(hill(*different, q=1)[0], size, rtol=1e-9)
        assert cluster_entropy(*same)[0] == 0 and not np.signbit(cluster_entropy(*same)[0])


def test_expectations_have_the_odds_of_drawing():
    labels, group = one([0] * 50 + [1] * 50)
    # All 10 from one class: 2 C(50, 10) / C(100, 10).
    odds = 2 * math.comb(50, 10) / math.comb(100, 10)
    np.testing.assert_allclose(expected_distinct_k(labels, group, 10, k=None), [2 - odds], rtol=1e-9)
    assert np.isnan(expected_distinct_k(labels, group, 101, k=None)[0])
    assert np.isnan(expected_distinct_k(labels, group, 2, k=3)[0])
    rows = np.stack([labels.astype(float), np.ones(100)], axis=1)
    assert np.isnan(expected_utility_k(rows, group, 2, k=3, p=0.8, scale="given")[0])
    np.testing.assert_allclose(expected_utility_k(rows, group, 1, k=None, p=0.8, scale="given"), [1.0])
    labels[3] = -1
    assert np.isnan(expected_distinct_k(labels, group, 10, k=None)[0])


def test_a_corpus_holds_one_number_a_class():
    corpus = ClassCorpus()
    for _ in range(50):
        corpus.add(np.arange(10))
    assert corpus.classes().count.tolist() == [50] * 10 and len(corpus._labels) == 10
    head = DistinctKCorpus(k=3)
    for _ in range(9):
        head.add(np.arange(2))
    assert head.result() == 2 and head._held == 3


def published(shared):
    """Return path, classes and utility of the four files with published figures, and the other two."""
    folder = shared / "data" / "noveltybench"
    gpt = "nb_curated__gpt-4o-2024-11-20"
    figures = {
        f"{gpt}.jsonl.gz": (2.89, 3.574),
        f"{gpt}-in_context.jsonl.gz": (7.81, 5.161),
        f"{gpt}-paraphrase.jsonl.gz": (5.05, 4.361),
        f"{gpt}-system_prompt.jsonl.gz": (5.44, 4.059),
    }
    return [(folder / name, *values) for name, values in figures.items()]


def test_noveltybench_published_figures(shared):
    for path, classes, utility in published(shared):
        report = divfast.score(str(path), ["distinct_k", "utility_k", "distinct_k:k=10", "hill:q=0"])
        assert round(report["distinct_k"].mean, 2) == classes
        assert report["distinct_k:k=10"].mean == report["distinct_k"].mean
        np.testing.assert_allclose(report["hill:q=0"].values, report["distinct_k"].values)
        assert round(report["utility_k"].mean, 3) == utility
        assert {result.scope for result in report} == {"prompt"}
        assert "|part:partition@" in str(report["distinct_k"].signature)
        assert "|part:partition/scores@" in str(report["utility_k"].signature)


def test_noveltybench_prompt_by_prompt(shared):
    for path in sorted((shared / "data" / "noveltybench").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            records = [json.loads(line) for line in file]
        report = divfast.score(str(path), ["distinct_k", "utility_k"])
        assert report["distinct_k"].values.tolist() == [len(set(record["partition"])) for record in records]
        known = [record["utility"] for record in records]
        np.testing.assert_allclose(report["utility_k"].values, known, rtol=1e-9)


def test_labels_may_be_numbers_strings_or_booleans(tmp_path):
    dump = write(
        tmp_path / "d.jsonl",
        [
            record(0, [1, 2, 1]),
            record(1, ["a", "b", "c"]),
            record(2, [True, True]),
            record(3, [1, "1", None]),
        ],
    )
    report = divfast.score(dump, ["distinct_k"])
    np.testing.assert_array_equal(report["distinct_k"].values, [2, 3, 1, np.nan])
    assert report.run["dumps"][0]["partition"] == {"unlabelled": 1}
    assert report["distinct_k"].undefined == 1


def test_any_block_gives_the_same(tmp_path):
    records = [
        record(i, [(i + j) % 4 for j in range(5)], scores=[j + i % 3 for j in range(5)]) for i in range(40)
    ]
    dump = write(tmp_path / "d.jsonl", records)
    specs = [*ALL, "utility_k"]
    plain = divfast.score(dump, specs, partition_scope="pooled")
    assert plain["distinct_k", "pooled"].value == 4
    assert "|part:partition/pooled@" in str(plain["distinct_k", "pooled"].signature)
    for more in ({"block_rows": 7}, {"threads": 1}, {"block_bytes": 64}, {"backend": "reference"}):
        other = divfast.score(dump, specs, partition_scope="pooled", **more)
        for a, b in zip(plain, other, strict=True):
            np.testing.assert_allclose(a.values, b.values, **REDUCTION)


def test_labels_of_prompts_are_no_labels_of_a_corpus(tmp_path):
    dump = write(tmp_path / "d.jsonl", [record(0, [0, 0]), record(1, [0, 1])])
    report = divfast.score(dump, ["distinct_k"])
    assert {result.scope for result in report} == {"prompt"}
    assert "the labels of 'partition' tell apart the samples of one prompt" in report.run["left_out"]
    with pytest.raises(MetricError, match="tell apart the samples of one prompt") as error:
        divfast.score(dump, ["distinct_k"], scopes=["pooled"])
    assert "--partition-scope pooled" in error.value.remedy
    assert (
        divfast.score(dump, ["distinct_k"], scopes=["pooled"], partition_scope="pooled")["distinct_k"].value
        == 2
    )
    with pytest.raises(MetricError, match="utility_k is not defined over a corpus"):
        divfast.score(dump, ["utility_k"], scopes=["pooled"], partition_scope="pooled")
    with pytest.raises(MetricError, match="a partition cannot be of 'corpus'"):
        divfast.score(dump, ["distinct_k"], partition_scope="corpus")


def test_columns_of_any_name(tmp_path):
    lines = [{"id": "a", "output": str(i), "topic": i % 2, "judge": 2.0 * i} for i in range(4)]
    dump = write(tmp_path / "d.jsonl", lines)
    found = divfast.score(dump, ["distinct_k", "utility_k:p=0.5"], partition="topic", reward="judge")
    assert found["distinct_k"].values.tolist() == [2]
    np.testing.assert_allclose(found["utility_k:p=0.5"].values, [(0 + 1) / (15 / 8)])
    assert "|part:topic/judge@" in str(found["utility_k:p=0.5"].signature)
    table = pa.table({"prompt": ["p"], "outputs": [["x", "y", "z"]], "topic": [[7, 7, 8]]})
    pq.write_table(table, tmp_path / "d.parquet")
    assert (
        divfast.score(str(tmp_path / "d.parquet"), ["distinct_k"], partition="topic")["distinct_k"].mean == 2
    )
    document = tmp_path / "d.json"
    document.write_text(json.dumps([{"id": "a", "outputs": ["x", "y"], "topic": ["t", "u"]}]))
    assert divfast.score(str(document), ["distinct_k"], partition="topic")["distinct_k"].mean == 2


def test_a_column_that_is_not_there_names_those_that_are(tmp_path):
    dump = write(
        tmp_path / "d.jsonl", [{"input_id": "0", "outputs": ["a"], "cluster": [1], "correct": [True]}]
    )
    with pytest.raises(
        DataError, match=r'has no column "partition"\. It has input_id, outputs, cluster, correct'
    ):
        divfast.score(dump, ["distinct_k"])
    assert divfast.score(dump, ["distinct_k"], partition="cluster")["distinct_k"].mean == 1
    with pytest.raises(DataError, match='has no column "scores"') as error:
        divfast.score(dump, ["utility_k"], partition="cluster")
    assert error.value.remedy == "Name the one to take with --reward."
    with pytest.raises(DataError, match='"words" must hold numbers'):
        words = write(tmp_path / "w.jsonl", [record(0, [1, 2], words=["x", "y"])])
        divfast.score(words, ["utility_k"], reward="words")
    pq.write_table(pa.table({"outputs": [["x"]], "classes": [[1]]}), tmp_path / "d.parquet")
    with pytest.raises(DataError, match="It has outputs, classes"):
        divfast.score(str(tmp_path / "d.parquet"), ["distinct_k"])
    with pytest.raises(DataError, match='has no column "partition"'):
        divfast.score([["a", "b"]], ["distinct_k"])
    samples = Samples.from_lists([["a", "b"]])
    with pytest.raises(DataError):
        divfast.score(samples, ["distinct_k"])


def test_a_partition_of_another_length(tmp_path):
    dump = write(tmp_path / "d.jsonl", [record(0, [1, 2]), {**record(1, [1, 2]), "partition": [1]}])
    with pytest.raises(DataError, match=r'd.jsonl:2: "partition" has 1 values for 2 outputs'):
        divfast.score(dump, ["distinct_k"])
    report = divfast.score(dump, ["distinct_k"], on_error="skip")
    np.testing.assert_array_equal(report["distinct_k"].values, [2, np.nan])
    assert report.run["dumps"][0]["counts"]["skipped"] == 1


def test_equal_k_is_without_draws(tmp_path):
    dump = write(tmp_path / "d.jsonl", [record(i, [j % (2 + i) for j in range(30)]) for i in range(3)])
    report = divfast.score(dump, ["distinct_k", "duplicate_rate"], at_k=[4])
    assert report["distinct_k@k=4"].signature.parts["draws"] == "exact"
    np.testing.assert_allclose(
        report["duplicate_rate@k=4"].values, 1 - report["distinct_k@k=4"].values / 4, **REDUCTION
    )


def test_the_signature_tells_classes_and_rewards_apart(tmp_path):
    """Other classes of the same texts are another number, under another signature."""
    specs = ["distinct_k", "utility_k"]
    records = [
        {"outputs": ["x", "y", "z"], "partition": [0, 1, "a" if i % 2 else None], "scores": [1, i, 3]}
        for i in range(40)
    ]

    def signatures(**options):
        report = divfast.score(write(tmp_path / "d.jsonl", records), specs, scopes=["prompt"], **options)
        return [str(report[spec].signature) for spec in specs]

    first = signatures()
    assert signatures(block_rows=3, block_bytes=64) == first
    records[7]["scores"][0] = 2
    classes, rewards = signatures()
    assert classes == first[0]
    assert rewards != first[1]
    records[7]["partition"][1] = 0
    assert signatures()[0] != classes


def test_runs_of_other_classes_are_compared(tmp_path):
    reports = []
    for last in (1, 2):
        dump = write(tmp_path / "d.jsonl", [{"outputs": ["x", "y", "z"], "partition": [0, 1, last]}] * 3)
        reports.append(divfast.score(dump, ["distinct_k"], scopes=["prompt"]))
    assert divfast.compare(*reports)["distinct_k"].difference == 1
