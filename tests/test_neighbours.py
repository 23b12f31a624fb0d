"""Metrics over all pairs of vectors and over log-determinants: values by hand, large groups, peers, what is shared."""

import itertools

import numpy as np
import pytest

import divfast
from divfast import neighbours
from divfast.errors import MetricError
from divfast.metrics.chamfer import chamfer, chamfer_at_k, distance_to_nearest
from divfast.metrics.cosine import cosine
from divfast.metrics.dcscore import DCScoreCorpus, dcscore
from divfast.metrics.nearest import NearestCorpus, nearest, similarity_to_nearest
from divfast.metrics.remote_clique import remote_clique
from divfast.metrics.rke import RkeCorpus, rke
from divfast.metrics.spread import SpreadCorpus, spread
from divfast.metrics.vendi import vendi
from divfast.reference import chamfer as chamfer_truth
from divfast.reference import dcscore as dcscore_truth
from divfast.reference import rke as rke_truth
from divfast.reference import spread as spread_truth
from divfast.registry import parse_spec
from divfast.throughput.case import Absent
from divfast.throughput.peers import package_module
from tolerances import REDUCTION, SPECTRAL

SIZES = [0, 1, 15, 16, 17, 63, 64, 65]
TILTED = np.array([[1, 0], [0.6, 0.8], [0, 1]], np.float32)  # cosines 0.6, 0.8 and 0
METRICS = {
    "chamfer": chamfer,
    "nearest": nearest,
    "remote_clique": remote_clique,
    "dcscore": dcscore,
    "rke": rke,
    "rke, rbf": lambda rows, groups: rke(rows, groups, kernel="rbf"),
    "spread": spread,
}


def unit(matrix):
    matrix = np.asarray(matrix, np.float64)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def draw(n, d=24, seed=0):
    return unit(np.random.default_rng(seed).standard_normal((n, d)) + 0.3)


def offsets(*sizes):
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


# Known values.


def test_by_hand():
    groups = offsets(3)
    np.testing.assert_allclose(distance_to_nearest(TILTED, groups), [0.4, 0.2, 0.2], rtol=1e-6)
    np.testing.assert_allclose(chamfer(TILTED, groups), [0.8 / 3], rtol=1e-6)
    np.testing.assert_allclose(nearest(TILTED, groups, q=0.25), [0.7], rtol=1e-6)
    np.testing.assert_allclose(remote_clique(TILTED, groups), [(0.7 + 0.3 + 0.6) / 3], rtol=1e-6)
    e = np.exp(np.array([-0.4, -0.2, -1.0]))
    rows = [1 + e[0] + e[2], 1 + e[0] + e[1], 1 + e[1] + e[2]]
    np.testing.assert_allclose(dcscore(TILTED, groups), [sum(1 / row for row in rows)], rtol=1e-6)
    np.testing.assert_allclose(rke(TILTED, groups), [9 / (3 + 2 * (0.36 + 0.64))], rtol=1e-6)
    # det [[2, .6, 0], [.6, 2, .8], [0, .8, 2]] = 8 - 2 (.64 + .36)
    np.testing.assert_allclose(spread(TILTED, groups), [np.log(6)], rtol=1e-6)


def test_rbf_kernel_by_hand():
    rows = np.array([[1, 0], [0, 1]], np.float32)  # at distance sqrt 2: a kernel of exp(-1 / scale^2)
    for scale in (0.5, 1.0, 3.0):
        k = np.exp(-1 / scale**2)
        np.testing.assert_allclose(rke(rows, offsets(2), kernel="rbf", scale=scale), [2 / (1 + k**2)])
    assert rke(rows, offsets(2), kernel="rbf", scale=np.inf).tolist() == [1.0]


@pytest.mark.parametrize("kinds", [1, 2, 5])
def test_doubles(kinds):
    rows = np.repeat(draw(kinds), 3, axis=0)
    groups = offsets(3 * kinds)
    assert chamfer(rows, groups)[0] == pytest.approx(0, abs=1e-15)
    assert nearest(rows, groups, q=0)[0] == pytest.approx(1, abs=1e-15)
    np.testing.assert_allclose(
        dcscore(np.repeat(np.eye(8, dtype=np.float32)[:kinds], 3, axis=0), groups, tau=0.001), [kinds]
    )
    np.testing.assert_allclose(
        rke(np.repeat(np.eye(8, dtype=np.float32)[:kinds], 3, axis=0), groups), [kinds], rtol=1e-12
    )


def test_small_groups():
    rows, groups = draw(1), offsets(0, 1)
    for name in ("chamfer", "nearest", "remote_clique"):
        np.testing.assert_array_equal(METRICS[name](rows, groups), [np.nan, np.nan])
    for name in ("dcscore", "rke", "rke, rbf"):
        np.testing.assert_allclose(METRICS[name](rows, groups), [np.nan, 1.0], rtol=1e-9)
    np.testing.assert_allclose(spread(rows, groups), [np.nan, np.log(2)], rtol=1e-6)


def test_dcscore_saturates_at_e():
    rows = draw(1500, 512)
    rows = unit(rows - rows.mean(axis=0))
    assert dcscore(rows, offsets(1500))[0] == pytest.approx(np.e, abs=0.02)
    assert dcscore(rows, offsets(1500), tau=0.1)[0] > 500


def test_remote_clique_is_cosine_and_rke_is_vendi_of_order_2():
    rows, groups = draw(60, 16), offsets(3, 0, 1, 40, 16)
    np.testing.assert_array_equal(remote_clique(rows, groups), cosine(rows, groups))
    np.testing.assert_array_equal(rke(rows, groups), vendi(rows, groups, q=2.0))
    np.testing.assert_allclose(
        rke(rows, groups, kernel="rbf", scale=0.7),
        vendi(rows, groups, q=2.0, kernel="rbf", scale=0.7),
        rtol=1e-12,
    )


def test_spread_at_any_ridge():
    rows = draw(9, 16)
    eigenvalues = np.linalg.eigvalsh(rows.astype(np.float64) @ rows.T.astype(np.float64))
    for ridge in (1e-6, 0.3, 50.0):
        expected = np.log(eigenvalues + ridge).sum() - 9 * np.log(ridge)
        np.testing.assert_allclose(spread(rows, offsets(9), ridge=ridge), [expected], rtol=1e-9)
    with pytest.raises(MetricError, match="must be greater than 0"):
        parse_spec("spread:ridge=0")
    with pytest.raises(MetricError, match="must be from 0 to 1"):
        parse_spec("nearest:q=1.5")


# Agreement.


@pytest.mark.parametrize("k", SIZES)
def test_sizes_on_both_sides_of_the_dimensions(k):
    rows, groups = draw(k + 7, 16), offsets(k, 7)
    pairs = [
        (chamfer(rows, groups), chamfer_truth.chamfer(rows, groups)),
        (dcscore(rows, groups, tau=0.3), dcscore_truth.dcscore(rows, groups, tau=0.3)),
        (rke(rows, groups), rke_truth.rke(rows, groups)),
        (rke(rows, groups, kernel="rbf"), rke_truth.rke(rows, groups, kernel="rbf")),
        (spread(rows, groups), spread_truth.spread(rows, groups)),
    ]
    for got, expected in pairs:
        np.testing.assert_allclose(got, expected, **SPECTRAL)


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_large_groups_are_streamed_and_the_same(metric, monkeypatch):
    rows, groups = draw(130, 16), offsets(30, 100)
    rows[40] = rows[41]
    expected = metric(rows, groups)
    monkeypatch.setattr(neighbours, "MATRIX_ROWS", 20)
    np.testing.assert_allclose(metric(rows, groups), expected, rtol=2e-6, atol=1e-9)


def test_doubles_in_large_groups_are_at_distance_0(monkeypatch):
    monkeypatch.setattr(neighbours, "MATRIX_ROWS", 5)
    rows = np.repeat(draw(10), 2, axis=0)
    assert np.abs(distance_to_nearest(rows, offsets(20))).max() < 1e-15


def test_groups_need_not_begin_at_row_0():
    rows = draw(40)
    for metric in METRICS.values():
        np.testing.assert_allclose(
            metric(rows, np.array([10, 25, 40])), metric(rows[10:], offsets(15, 15)), **REDUCTION
        )


@pytest.mark.parametrize("k", range(1, 8))
def test_chamfer_on_k_of_k(k):
    rows, groups = draw(13, 5), offsets(6, 7, 0)
    rows[1] = rows[2]

    def over_subsets(group):
        scores = [
            chamfer(np.ascontiguousarray(subset), offsets(k))[0]
            for subset in itertools.combinations(group, k)
        ]
        return np.mean(scores) if scores else np.nan

    expected = [over_subsets(rows[a:b]) for a, b in itertools.pairwise(groups)]
    np.testing.assert_allclose(chamfer_at_k(rows, groups, k), expected, rtol=1e-9, atol=1e-12)


# Published implementations.


def test_against_diversity(monkeypatch):
    rows = draw(50)
    try:
        embedding = package_module("diversity", "embedding")
    except Absent as reason:
        pytest.skip(str(reason))
    encoder = type("Encoder", (), {"__init__": lambda *_: None, "encode": lambda *_, **__: rows})
    monkeypatch.setattr(embedding, "SentenceTransformer", encoder)
    assert chamfer(rows, offsets(50))[0] == pytest.approx(embedding.chamfer_dist([]), abs=5.1e-4)
    # It counts the distance of 0 of a sample to itself.
    assert remote_clique(rows, offsets(50))[0] * 49 / 50 == pytest.approx(
        embedding.remote_clique([]), abs=5.1e-4
    )


# Corpora.


@pytest.mark.parametrize(
    ("corpus", "metric"),
    [
        (NearestCorpus(q=0.2), lambda rows, groups: nearest(rows, groups, q=0.2)),
        (DCScoreCorpus(tau=0.5), lambda rows, groups: dcscore(rows, groups, tau=0.5)),
        (
            RkeCorpus(kernel="rbf", scale=0.5),
            lambda rows, groups: rke(rows, groups, kernel="rbf", scale=0.5),
        ),
        (SpreadCorpus(ridge=0.1), lambda rows, groups: spread(rows, groups, ridge=0.1)),
    ],
    ids=["nearest", "dcscore", "rke", "spread"],
)
def test_corpus_is_one_group_at_any_time(corpus, metric):
    rows = draw(120, 32)
    assert np.isnan(corpus.result())
    for start, stop in itertools.pairwise((0, 1, 20, 90, 120)):
        corpus.add(rows[start:stop])
        np.testing.assert_allclose(corpus.result(), metric(rows[:stop], offsets(stop))[0], **REDUCTION)


def test_rows_are_held_and_searched_once(monkeypatch):
    searched = []
    search = neighbours.nearest_similarity

    def counted(rows, groups):
        searched.append(len(rows))
        return search(rows, groups)

    monkeypatch.setattr(neighbours, "nearest_similarity", counted)
    rows = draw(30)
    specs = ["chamfer", "nearest", "nearest:q=0.9", "dcscore", "rke:kernel=rbf", "rke"]
    report = divfast.score(embeddings=rows, groups=offsets(10, 20), metrics=specs)
    assert searched == [30, 30]
    monkeypatch.undo()
    for spec in specs:
        (alone,) = (divfast.score(embeddings=rows, groups=offsets(10, 20), metrics=[spec]),)
        for scope in ("prompt", "pooled"):
            assert report[spec, scope].value == alone[spec, scope].value


def test_values_per_sample():
    rows, groups = draw(30), offsets(10, 20)
    report = divfast.score(
        embeddings=rows, groups=groups, metrics=["chamfer", "nearest", "remote_clique"], per_sample=True
    )
    table = report.samples.to_pydict()
    assert set(table) == {
        "input_id", "position", "chamfer", "nearest", "remote_clique", "chamfer@pooled", "nearest@pooled",
    }  # fmt: skip
    similarities = similarity_to_nearest(rows, groups)
    np.testing.assert_array_equal(table["nearest"], similarities)
    np.testing.assert_allclose(np.median(similarities[10:]), report["nearest"].values[1])
    np.testing.assert_allclose(np.mean(table["chamfer@pooled"]), report["chamfer", "pooled"].value)
    np.testing.assert_allclose(np.mean(table["remote_clique"][:10]), report["remote_clique"].values[0])


# What it must survive.


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
def test_nothing_at_all(metric):
    assert metric(np.zeros((0, 8), np.float32), np.array([0])).shape == (0,)
    assert np.isnan(metric(np.zeros((0, 0), np.float32), np.array([0, 0]))).all()


@pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("limit", [2048, 10])
@pytest.mark.filterwarnings("ignore:invalid value")
def test_what_has_no_direction_stays_in_its_group(metric, bad, limit, monkeypatch):
    monkeypatch.setattr(neighbours, "MATRIX_ROWS", limit)
    rows = draw(46, 8)
    rows[1, 3] = bad
    rows[6, 3] = bad
    values = metric(rows, np.array([0, 3, 6, 26, 46]))
    assert np.isnan(values[[0, 2]]).all()
    assert np.isfinite(values[[1, 3]]).all()


@pytest.mark.parametrize("name", ["remote_clique", "rke", "spread"])
def test_many_rows_in_one_group(name):
    rows = draw(100_000, 16)
    assert np.isfinite(METRICS[name](rows, np.array([0, 99_990, 100_000]))).all()


def test_many_groups():
    rows = draw(100_000, 8)
    groups = np.arange(0, 100_001, 4)
    for name in ("chamfer", "nearest", "dcscore", "spread"):
        values = METRICS[name](rows, groups)
        some = [0, 7, 24_999]
        alone = [METRICS[name](rows[4 * i : 4 * i + 4], offsets(4))[0] for i in some]
        np.testing.assert_allclose(values[some], alone, **REDUCTION)
