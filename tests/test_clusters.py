"""Semantic clusters: what is one cluster, by hand and against plain loops; indexes, exemplars, scores, errors."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

import divfast
from divfast import _core
from divfast.clusters import cluster
from divfast.clusters.partitioned import write_partitioned
from divfast.clusters.recipe import INDEXES, METHODS, SCOPES, Recipe
from divfast.errors import DataError, MetricError, OutputError
from divfast.samples import Samples
from tolerances import REDUCTION

FOUR = np.array([[1, 0], [0.9, 0.1], [0, 1], [0, 1]])


def recipe(**more):
    defaults = {"scope": "pooled", "method": "threshold", "tau": 0.8, "k": None, "index": "auto", "probes": 4}
    return Recipe(**{**defaults, "seed": 0, **more})


def unit(rows):
    rows = np.asarray(rows, np.float64)
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def bunches(n, d, many, *, seed=0, spread=0.02):
    """Return unit rows around a few directions, some of them equal, and which direction each is of."""
    random = np.random.default_rng(seed)
    own = random.integers(0, many, n)
    rows = unit(random.standard_normal((many, d))[own] + spread * random.standard_normal((n, d)))
    rows[n // 2 :: 7] = rows[n // 2]
    own[n // 2 :: 7] = own[n // 2]
    return rows, own


def first_of(labels):
    seen = {}
    return [seen.setdefault(label, i) for i, label in enumerate(np.asarray(labels).tolist())]


def plain_components(rows, tau):
    labels = list(range(len(rows)))
    for i in range(len(rows)):
        for j in range(i):
            if rows[i] @ rows[j] >= tau - 1e-6:
                a, b = labels[i], labels[j]
                labels = [min(a, b) if label in (a, b) else label for label in labels]
    return labels


def plain_leaders(rows, tau):
    leaders, labels = [], []
    for i, row in enumerate(rows):
        match = next((j for j in leaders if rows[j] @ row >= tau - 1e-6), None)
        if match is None:
            leaders.append(i)
        labels.append(i if match is None else match)
    return labels


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 63, 64, 65])
@pytest.mark.parametrize("d", [1, 3, 16, 17, 384])
def test_compiled_groups_agree_with_plain_loops(size, d):
    rows, _ = bunches(size + 9, d, 5, seed=size * d, spread=0.3) if size else (unit(np.ones((9, d))), None)
    groups = np.array([0, size, size, size + 9])
    for tau in (-0.2, 0.5, 0.9, 1.0):
        expected = [plain_components(rows[:size], tau), plain_components(rows[size:], tau)]
        got = _core.group_components(rows, groups, tau, threads=2)
        assert got.tolist() == [*expected[0], *(label + size for label in expected[1])]
        expected = [plain_leaders(rows[:size], tau), plain_leaders(rows[size:], tau)]
        got = _core.group_leaders(rows, groups, tau)
        assert got.tolist() == [*expected[0], *(label + size for label in expected[1])]


def test_a_chain_is_one_component_and_two_leaders():
    angles = np.radians([0, 30, 60])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    for of, labels in (("threshold", [0, 0, 0]), ("leader", [0, 0, 2])):
        for scope in SCOPES:
            found = cluster([["a", "b", "c"]], embeddings=rows, method=of, tau=0.8, scope=scope)
            assert first_of(found.cluster) == labels


def test_the_first_leader_counts_not_the_nearest():
    angles = np.radians([0, 40, 25])
    rows = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    found = cluster([["a", "b", "c"]], embeddings=rows, method="leader", tau=0.9)
    assert found.cluster.tolist() == [0, 1, 0]


@pytest.mark.parametrize("scope", SCOPES)
def test_kmeans_finds_bunches(scope):
    pytest.importorskip("faiss")
    rows, own = bunches(300, 16, 5, seed=3)
    texts = [[str(i) for i in range(300)]]
    found = cluster(texts, embeddings=rows, method="kmeans", k=5, scope=scope, seed=1)
    # Seeds may put two centroids into one bunch; what is one cluster is never two bunches and a half.
    assert len(found) <= 5
    purity = sum(np.bincount(own[found.cluster == label]).max() for label in range(len(found))) / 300
    assert purity > 0.75
    again = cluster(texts, embeddings=rows, method="kmeans", k=5, scope=scope, seed=1)
    assert again.cluster.tolist() == found.cluster.tolist()
    assert cluster([["a"] * 8], embeddings=np.ones((8, 3)), method="kmeans", k=3).cluster.tolist() == [0] * 8


def test_kmeans_of_a_group_is_local():
    rows, _ = bunches(60, 8, 6, seed=4, spread=0.5)
    groups = np.array([0, 20, 20, 47, 60])
    ks = np.array([3, 1, 4, 2])
    whole = _core.group_kmeans(rows, groups, ks, 7, threads=3)
    for i, k in enumerate(ks):
        a, b = groups[i], groups[i + 1]
        alone = _core.group_kmeans(rows[a:b], np.array([0, b - a]), np.array([k]), 7)
        assert (alone + a).tolist() == whole[a:b].tolist()
        assert len(set(alone.tolist())) <= k


def test_exemplars_are_medoids():
    rows, _ = bunches(200, 12, 7, seed=5, spread=0.3)
    found = cluster([[str(i) for i in range(200)]], embeddings=rows, scope="pooled", tau=0.7)
    for label, row in enumerate(found.exemplar.tolist()):
        members = np.flatnonzero(found.cluster == label)
        means = (rows[members].astype(np.float64) @ rows[members].T.astype(np.float64)).mean(axis=1)
        assert row in members and means[members == row][0] >= means.max() - 1e-6
    assert found.table.column("text").to_pylist() == [str(row) for row in found.exemplar.tolist()]
    assert found.samples.column("exemplar").to_pylist() == [i in found.exemplar for i in range(200)]


def test_threads_blocks_and_memory_change_nothing(tmp_path):
    rows, _ = bunches(240, 16, 20, seed=6, spread=0.2)
    lines = [
        {"input_id": str(i), "outputs": [f"{i} {j}" for j in range(6)], "scores": [j % 3 for j in range(6)]}
        for i in range(40)
    ]
    dump = tmp_path / "d.jsonl"
    dump.write_text("".join(json.dumps(line) + "\n" for line in lines))
    np.save(tmp_path / "d.npy", rows)
    for scope in SCOPES:
        for method in ("threshold", "leader"):
            asked = {"embeddings": str(tmp_path / "{stem}.npy"), "scope": scope, "method": method, "tau": 0.7}
            plain = cluster(dump, threads=1, **asked)
            for more in ({"threads": 3, "block_rows": 7}, {"memory": 100_000}, {"block_bytes": 128}):
                other = cluster(dump, **asked, **more)
                assert other.samples.equals(plain.samples) and other.table.equals(plain.table)
                assert [str(a.signature) for a in other.report] == [str(a.signature) for a in plain.report]
                assert [a.value for a in other.report] == [a.value for a in plain.report]


@pytest.mark.parametrize("scope", SCOPES)
def test_scores_are_those_of_the_partition_read_back(scope, tmp_path):
    rows, _ = bunches(60, 16, 9, seed=7, spread=0.3)
    lines = [
        {"input_id": str(i), "output": f"{i}", "scores": 1.5 * i, "model": "m", "correct": i % 3 == 0}
        for i in range(60)
    ]
    lines = [{**line, "input_id": str(i % 12)} for i, line in enumerate(lines)]
    dump = tmp_path / "d.jsonl"
    dump.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = cluster(dump, embeddings=rows, scope=scope, tau=0.7)
    write_partitioned(found, tmp_path / "p.jsonl", [dump])
    again = divfast.score(
        str(tmp_path / "p.jsonl"),
        [result.metric for result in found.report if result.scope == "prompt"],
        partition_scope=scope,
    )
    for result in found.report:
        other = again[result.metric, result.scope]
        np.testing.assert_allclose(other.values, result.values, **REDUCTION)
        np.testing.assert_allclose(other.interval, result.interval, **REDUCTION)
        assert other.signature.parts["data"] == result.signature.parts["data"]
    assert {result.metric for result in found.report} >= {
        "utility_k",
        "distinct_k",
        "hill:q=2",
        "duplicate_rate",
    }
    # Scattered samples are in the order of the dump, in the table.
    table = found.samples
    assert table.column("position").to_pylist() == list(range(60))
    assert table.column("input_id").to_pylist() == [str(i % 12) for i in range(60)]
    written = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    assert written[1]["scores"] == [1.5 * i for i in range(1, 60, 12)] and written[1]["model"] == "m"
    assert written[1]["correct"] == [i % 3 == 0 for i in range(1, 60, 12)]


def test_signatures_say_how(tmp_path):
    pytest.importorskip("faiss")
    rows, _ = bunches(400, 16, 30, seed=8)
    texts = [[str(i)] for i in range(400)]
    found = cluster(texts, embeddings=rows, scope="pooled", tau=0.9, index="ivf", probes=3, seed=5)
    parts = found.report["distinct_k", "pooled"].signature.parts
    assert parts["part"] == "threshold/tau=0.9/of=pooled"
    lists = round(np.sqrt(len(np.unique(rows, axis=0))))
    assert parts["index"].startswith(f"ivf/lists={lists}/probes=3/rs=5/recall=")
    assert parts["emb"].endswith("/16") and "data" in parts
    of_prompt = (
        cluster(texts, embeddings=rows, method="kmeans", k=1, seed=2).report["distinct_k"].signature.parts
    )
    assert of_prompt["part"] == "kmeans/k=1/rs=2/of=prompt" and "index" not in of_prompt


def test_the_folder(tmp_path):
    found = cluster([["a", "a!", "b"], ["b"]], embeddings=FOUR)
    found.save(tmp_path / "run")
    names = {"samples.parquet", "clusters.parquet", "groups.parquet", "report.json"}
    assert {path.name for path in (tmp_path / "run").iterdir()} == names
    assert pq.read_table(tmp_path / "run" / "samples.parquet").equals(found.samples)
    assert pq.read_table(tmp_path / "run" / "clusters.parquet").column("size").to_pylist() == [2, 1, 1]
    report = json.loads((tmp_path / "run" / "report.json").read_text())
    assert report["clusters"]["count"] == 3 and report["clusters"]["recall"] == 1.0
    assert report["results"][0]["metric"] == "distinct_k" and report["results"][0]["value"] == 1.5
    # A folder that divfast compare reads.
    same = divfast.compare(str(tmp_path / "run"), str(tmp_path / "run"))
    assert same["distinct_k"].difference == 0
    pq.write_table(found.samples, tmp_path / "clusters.parquet")
    with pytest.raises(OutputError, match=r"clusters\.parquet: is there already"):
        found.save(tmp_path)


def test_nothing_and_empty_prompts():
    for scope in SCOPES:
        for method in ("threshold", "leader"):
            found = cluster([[], []], embeddings=np.zeros((0, 4)), scope=scope, method=method)
            assert len(found) == 0 and len(found.samples) == 0
            assert np.isnan(found.report["distinct_k"].value) and found.report["distinct_k"].undefined == 2
            one = cluster([[], ["a"], []], embeddings=np.ones((1, 4)), scope=scope, method=method)
            assert one.partition.tolist() == [0] and one.report["distinct_k"].value == 1


def test_many_equal_rows_are_one():
    rows = np.tile(unit(np.eye(3)), (40_000, 1))
    found = cluster([[str(i)] for i in range(len(rows))], embeddings=rows, scope="pooled")
    assert len(found) == 3 and found.search.index == "flat"
    assert found.report["duplicate_rate", "pooled"].value == pytest.approx(1 - 3 / 120_000)


def test_a_large_prompt_is_clustered_as_a_corpus(monkeypatch):
    monkeypatch.setattr("divfast.clusters.clustering.FLAT_ROWS", 50)
    rows, _ = bunches(130, 12, 6, seed=9)
    texts = [[str(i) for i in range(20)], [str(i) for i in range(100)], [str(i) for i in range(10)]]
    found = cluster(texts, embeddings=rows, tau=0.8)
    expected = _core.group_components(rows, np.array([0, 20, 120, 130]), 0.8)
    assert first_of(found.cluster) == expected.tolist()


def test_arguments_are_checked(tmp_path):
    dump = tmp_path / "d.jsonl"
    dump.write_text('{"input_id": "7", "outputs": ["a", "b"]}\n')
    texts = [["a", "b"]]
    for more, message in (
        ({"tau": 1.1}, "tau must be from -1 to 1, got 1.1"),
        ({"tau": float("nan")}, "tau must be from -1 to 1"),
        ({"k": 2}, "k is for the method kmeans"),
        ({"k": 3, "method": "kmeans"}, "prompt '0' has 2 samples, fewer than k = 3"),
        ({"k": 3, "method": "kmeans", "scope": "pooled"}, "there are 2 samples, fewer than k = 3"),
        ({"k": 0, "method": "kmeans"}, "k must be at least 1"),
        ({"method": "dbscan"}, "method cannot be 'dbscan'"),
        ({"scope": "first"}, "scope cannot be 'first'"),
        ({"index": "hnsw", "scope": "pooled"}, "index cannot be 'hnsw'"),
        ({"index": "ivf"}, "an index has no use for the scope prompt"),
        ({"probes": 0}, "probes must be from 1 to 64"),
        ({"seed": -1}, "seed must be from 0"),
        ({"encoder": "minilm"}, "an encoder and embeddings were both given"),
    ):
        with pytest.raises(MetricError, match=message):
            cluster(texts, **{"embeddings": FOUR[:2], **more})
    with pytest.raises(MetricError, match="clusters need vectors"):
        cluster(texts)
    with pytest.raises(MetricError, match="several dumps cannot be clustered at once"):
        cluster([dump, tmp_path / "e.jsonl"], embeddings=FOUR)
    for bad, message in (
        ([[1, np.nan], [1, 0]], "row 0 holds NaN or infinity"),
        ([[1, 0], [0, 0]], "row 1 is all zeros"),
        ([[1, 0]], "1 embeddings, but the dump has more samples"),
        ([[1, 0]] * 3, "3 embeddings for 2 samples"),
    ):
        for scope in SCOPES:
            with pytest.raises(DataError, match=message):
                cluster(dump, embeddings=np.array(bad, float), scope=scope)


def test_rewards_that_only_some_have(tmp_path):
    dump = tmp_path / "d.jsonl"
    lines = [
        {"input_id": str(i), "outputs": ["a", "b"], **({"scores": [1, 2]} if i == 3 else {})}
        for i in range(6)
    ]
    dump.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for more in ({}, {"block_rows": 2}):
        found = cluster(dump, embeddings=np.tile(FOUR[[0, 2]], (6, 1)), **more)
        values = found.report["utility_k"].values
        assert np.isnan(values).tolist() == [True, True, True, False, True, True]
        assert values[3] == pytest.approx((1 + 0.8 * 2) / 1.8)
    assert "utility_k" not in {result.metric for result in cluster([["a"]], embeddings=FOUR[:1]).report}


def test_pairs_that_are_none_are_refused():
    with pytest.raises(ValueError, match="pairs must be of rows"):
        _core.Components(3).unite(np.array([0]), np.array([3]))
    with pytest.raises(ValueError, match="one length"):
        _core.Components(3).unite(np.array([0]), np.array([1, 2]))
    with pytest.raises(ValueError, match="in the order of left"):
        _core.Leaders(3).follow(np.array([1, 0]), np.array([2, 1]))
    with pytest.raises(ValueError, match="left before right"):
        _core.Leaders(3).follow(np.array([1]), np.array([1]))
    with pytest.raises(ValueError, match="members must be rows"):
        _core.medoids(np.ones((2, 2), np.float32), np.array([2]), np.array([0, 1]))
    with pytest.raises(ValueError, match="reach outside"):
        _core.group_components(np.ones((2, 2), np.float32), np.array([0, 3]), 0.5)
    with pytest.raises(ValueError, match="one number a group"):
        _core.group_kmeans(np.ones((2, 2), np.float32), np.array([0, 2]), np.array([1, 1]), 0)


def test_choices_are_named_once():
    assert METHODS == ("threshold", "leader", "kmeans") and INDEXES[0] == "auto"
    samples = Samples.from_lists([["a", "b"]])
    assert cluster(samples, embeddings=FOUR[1:3]).cluster.tolist() == [0, 1]
