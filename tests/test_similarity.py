"""All pairs of vectors on the CPU: against the whole matrix in float64, and against FAISS."""

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import divfast.similarity
from divfast import engine
from divfast.errors import DataError, MetricError
from divfast.reference import similarity as reference
from divfast.similarity import join, pairs, quantiles

SIZES = [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 97, 128, 129]
EDGES = np.linspace(-1, 1, 41)
# Rounding of float32 products of unit rows.
FLOAT32 = {"rtol": 0.0, "atol": 1e-6}


def unit(n, d, seed=0, grid=None):
    """Unit rows; with a grid, of few different similarities, each exact in float32."""
    rng = np.random.default_rng(seed)
    if grid is not None:
        rows = np.zeros((n, d), np.float32)
        for row in rows:
            row[rng.integers(0, d, grid)] += 1 / 16
        return rows
    rows = rng.normal(size=(n, d)) + 0.5
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def check(found, rows, others=None, **asked):
    """Compare with the reference; neighbours by their similarity, for the order of near ones is rounding."""
    expected = reference.pairs(rows, others, **asked)
    for name in ("similarity", "mean", "lowest", "highest"):
        np.testing.assert_allclose(getattr(found, name), expected[name], **FLOAT32, err_msg=name)
    if expected["softmax"] is not None:
        np.testing.assert_allclose(found.softmax, expected["softmax"], rtol=3e-5, err_msg="softmax")
    all_of = reference.similarities(rows, others)
    there = found.neighbours >= 0
    assert (there == (expected["neighbours"] >= 0)).all()
    own = np.broadcast_to(np.arange(len(rows))[:, None], there.shape)
    np.testing.assert_allclose(
        all_of[own[there], found.neighbours[there]], found.similarity[there], **FLOAT32
    )
    for row in found.neighbours:
        assert len(set(row[row >= 0])) == (row >= 0).sum()
    return expected


def same(found, other):
    """Whether all digits are the same."""
    return all(
        np.array_equal(
            value, vars(other)[name], equal_nan=value is not None and np.asarray(value).dtype.kind == "f"
        )
        for name, value in vars(found).items()
    )


def test_by_hand():
    rows = np.array([[1, 0], [0, 1], [0.6, 0.8], [1, 0]], np.float32)
    found = pairs(rows, nearest=4, edges=[-1, 0, 0.7, 1], thresholds=[1, 0.6, 0], temperature=1.0)
    assert found.neighbours.tolist() == [[3, 2, 1, -1], [2, 0, 3, -1], [1, 0, 3, -1], [0, 2, 1, -1]]
    np.testing.assert_allclose(found.similarity[0], [1, 0.6, 0, np.nan], rtol=1e-6)
    np.testing.assert_allclose(found.mean, [1.6 / 3, 0.8 / 3, 2 / 3, 1.6 / 3], rtol=1e-6)
    assert found.lowest.tolist() == [0, 0, np.float32(0.6), 0]
    assert found.histogram.tolist() == [0, 4, 2]
    assert found.above.tolist() == [1, 4, 6]
    assert found.softmax[1] == pytest.approx(1 + 2 * np.exp(-1) + np.exp(-0.2), rel=1e-6)


def test_examples():
    assert doctest.testmod(divfast.similarity).failed == 0


@pytest.mark.parametrize("n", SIZES)
def test_every_number_of_rows(n):
    rows = unit(n, 37, n)
    asked = {"nearest": 3, "edges": EDGES, "thresholds": (0.5, -2, 2), "temperature": 0.3}
    check(pairs(rows, **asked), rows, **asked)
    for m in SIZES:
        others = unit(m, 37, 1000 + m)
        check(pairs(rows, others, **asked), rows, others, **asked)


@pytest.mark.parametrize("d", [1, 2, 3, 15, 16, 17, 64, 127, 128, 129, 255, 257, 383, 384, 1023, 1024])
def test_every_width(d):
    rows = unit(67, d, d)
    check(pairs(rows, nearest=2, temperature=1.0), rows, nearest=2, temperature=1.0)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(0, 200),
    m=st.one_of(st.none(), st.integers(0, 130)),
    d=st.integers(1, 40),
    k=st.integers(0, 12),
    grid=st.integers(1, 6),
    bad=st.integers(0, 3),
    threads=st.integers(1, 4),
    seed=st.integers(0, 999),
)
def test_counts_and_neighbours_are_exact_where_products_are(n, m, d, k, grid, bad, threads, seed):
    rows = unit(n, d, seed, grid)
    others = None if m is None else unit(m, d, seed + 1, grid)
    rng = np.random.default_rng(seed)
    for one in [rows] if others is None else [rows, others]:
        if len(one):
            one[rng.integers(0, len(one), bad), rng.integers(0, d, bad)] = rng.choice(
                [np.nan, np.inf, -np.inf]
            )
    asked = {
        "nearest": k,
        "edges": np.array([0, 1 / 256, 2 / 256, 5 / 256]),
        "thresholds": (4 / 256, 0, 1 / 256, 4 / 256),
    }
    with engine.use_threads(threads):
        found = pairs(rows, others, **asked)
        blocks = list(join(rows, 2 / 256, others=others, block=1 + seed))
    expected = check(found, rows, others, **asked)
    assert (found.neighbours == expected["neighbours"]).all()
    assert (found.histogram == expected["histogram"]).all()
    assert (found.above == expected["above"]).all()
    assert found.undefined == sum(
        (~np.isfinite(one).all(axis=1)).sum() for one in (rows, others) if one is not None
    )
    listed = [(i, j) for one in blocks for i, j in zip(one[0].tolist(), one[1].tolist(), strict=True)]
    assert listed == reference.join(rows, 2 / 256, others=others)


@pytest.mark.parametrize("others", [False, True])
def test_threads_change_no_digit(others):
    rows = unit(3001, 24)
    rows[1000:1200] = rows[7]
    against = unit(2001, 24, 1) if others else None
    asked = {"nearest": 5, "edges": EDGES, "thresholds": (0.3,), "temperature": 0.1}
    found = []
    for threads in (1, 2, 5):
        with engine.use_threads(threads):
            found.append(pairs(rows, against, **asked))
    assert same(found[0], found[1]) and same(found[0], found[2])


def test_order_of_rows_changes_no_digit():
    rows = unit(500, 33)
    order = np.random.default_rng(0).permutation(len(rows))
    asked = {"nearest": 2, "edges": EDGES, "temperature": 0.05}
    found, moved = pairs(rows, **asked), pairs(rows[order], **asked)
    assert (found.histogram == moved.histogram).all()
    for name in ("similarity", "lowest", "softmax"):
        assert (getattr(found, name)[order] == getattr(moved, name)).all(), name
    assert (order[moved.neighbours] == found.neighbours[order]).all()


def test_a_pair_has_one_similarity():
    rows = unit(300, 100)
    found, both = pairs(rows, nearest=299), pairs(rows, rows, nearest=300)
    matrix = np.zeros((300, 300), np.float32)
    matrix[np.arange(300)[:, None], found.neighbours] = found.similarity
    assert (matrix == matrix.T).all()
    matrix[np.diag_indices(300)] = both.similarity[both.neighbours == np.arange(300)[:, None]]
    again = np.zeros_like(matrix)
    again[np.arange(300)[:, None], both.neighbours] = both.similarity
    assert (matrix == again).all()
    for i, j, s in join(rows, 0.1):
        assert (matrix[i, j] == s).all()


def test_equal_rows_are_nearest_in_their_order():
    rows = np.repeat(unit(1, 384), 1000, axis=0)
    found = pairs(rows, nearest=3, thresholds=(1 - 1e-6,))
    assert found.neighbours[:2].tolist() == [[1, 2, 3], [0, 2, 3]]
    assert (found.neighbours[3:] == [0, 1, 2]).all()
    assert found.above.tolist() == [1000 * 999 // 2]
    assert (found.lowest == found.highest).all()


def test_thresholds_and_edges_are_compared_as_they_are():
    # 0.1 as a float32 is above 0.1 as a double, and 0.7 below.
    for number in (0.1, 0.7):
        rows = np.array([[1], [number]], np.float32)
        single = float(np.float32(number))
        for threshold in (number, single, np.nextafter(single, 1), np.nextafter(single, 0)):
            expected = int(single >= threshold)
            found = pairs(rows, thresholds=[threshold], edges=[-1, threshold, 1])
            assert found.above.tolist() == [expected]
            assert found.histogram.tolist() == [1 - expected, expected]
            assert len(list(join(rows, threshold))) == expected


@pytest.mark.parametrize("bins", [1, 2, 3, 1000, 100_000])
def test_histograms_of_any_edges(bins):
    rows = unit(400, 8)
    values = np.sort(reference.similarities(rows)[np.triu_indices(400, 1)].astype(np.float32))
    for edges in (
        np.linspace(-1, 1, bins + 1),
        np.cumsum(np.random.default_rng(0).exponential(size=bins + 1) ** 4),
    ):
        edges = edges if edges[0] == -1 else np.unique(edges / edges[-1])
        found = pairs(rows, edges=edges).histogram
        assert found.sum() == len(values) and (found >= 0).all()
        # Off by pairs whose rounding takes them over an edge alone.
        slack = [np.searchsorted(values, edges[1:-1] + shift) for shift in (-1e-6, 1e-6)]
        below = np.cumsum(found)[:-1]
        assert ((slack[0] <= below) & (below <= slack[1])).all()


@pytest.mark.parametrize("q", [0, 0.01, 0.5, 0.99, 1])
def test_quantiles_are_within_a_bin(q):
    rows = unit(300, 10)
    values = reference.similarities(rows)[np.triu_indices(300, 1)]
    found = pairs(rows, edges=np.linspace(-1, 1, 201))
    assert quantiles(found, q) == pytest.approx(np.quantile(values, q), abs=0.01)
    assert quantiles(found.histogram, [q], edges=found.edges)[0] == quantiles(found, q)


def test_quantiles_of_nothing():
    assert np.isnan(quantiles(pairs(np.ones((1, 1)), edges=[0, 1]), [0.5])).all()
    with pytest.raises(MetricError, match="histogram is needed"):
        quantiles(pairs(np.ones((2, 1))), 0.5)
    with pytest.raises(MetricError, match="within 0 and 1"):
        quantiles([1], 2, edges=[0, 1])


def test_no_rows_and_no_others():
    for n, m in ((0, None), (1, None), (0, 3), (3, 0)):
        rows, others = unit(n, 4), None if m is None else unit(m, 4)
        found = pairs(rows, others, nearest=2, edges=[-1, 1], thresholds=[0], temperature=1.0)
        assert found.similarity.shape == (n, 2) and np.isnan(found.similarity).all()
        assert (found.neighbours == -1).all() and np.isnan(found.mean).all() and np.isnan(found.lowest).all()
        assert found.histogram.tolist() == [0] and found.above.tolist() == [0]
        np.testing.assert_allclose(found.softmax, [1.0] if m is None and n else [0.0] * n, atol=1e-6)
        assert list(join(rows, -2, others=others)) == []


def test_wide_nothing():
    found = pairs(np.zeros((3, 0)), edges=[-1, 0, 1])
    assert found.histogram.tolist() == [0, 3] and found.neighbours[:, 0].tolist() == [1, 0, 0]


def test_join_fits_in_memory():
    rows = unit(2000, 16)
    whole = list(join(rows, -1))
    assert sum(len(i) for i, _, _ in whole) == 2000 * 1999 // 2
    with engine.use_memory(1 << 20):
        small = list(join(rows, -1))
    assert max(len(i) for i, _, _ in small) <= max(2000, (1 << 20) // 48)
    for a, b in zip(zip(*whole, strict=True), zip(*small, strict=True), strict=True):
        assert (np.concatenate(a) == np.concatenate(b)).all()
    i, j, _ = (np.concatenate(part) for part in zip(*whole, strict=True))
    assert (np.diff(i * 2000 + j) > 0).all()


def test_rows_of_any_layout():
    rows = unit(50, 12)
    for given_rows in (np.asfortranarray(rows), np.repeat(rows, 2, axis=0)[::2], rows.tolist()):
        assert same(pairs(rows, nearest=2), pairs(given_rows, nearest=2))


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: pairs(np.zeros(3)), DataError, "rows: must be n x d"),
        (lambda: pairs(np.zeros((2, 3)), np.zeros((2, 4))), DataError, "have 4 dimensions"),
        (lambda: list(join(np.zeros((2, 3)), 0, others=np.zeros((2, 4)))), DataError, "have 4 dimensions"),
        (lambda: pairs(np.zeros((2, 3)), nearest=-1), MetricError, "nearest: must be at least 0"),
        (lambda: pairs(np.zeros((2, 3)), edges=[1]), MetricError, "edges: must be at least two"),
        (lambda: pairs(np.zeros((2, 3)), edges=[1, 1]), MetricError, "ascending"),
        (lambda: pairs(np.zeros((2, 3)), thresholds=[np.nan]), MetricError, "finite"),
        (lambda: pairs(np.zeros((2, 3)), temperature=0), MetricError, "temperature: must be above 0"),
        (lambda: pairs([[1.0], [3.0]], temperature=1), DataError, "row 1 is 3 long"),
        (lambda: join(np.zeros((2, 3)), np.nan), MetricError, "tau"),
        (lambda: join(np.zeros((2, 3)), 0, block=0), MetricError, "block"),
    ],
)
def test_errors_say_what(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_numbers_that_overflow_do_no_harm():
    rows = np.full((100, 40), 3e38, np.float32)
    rows[::2] *= -1
    rows[:, 1::2] *= -1
    found = pairs(rows, nearest=3, edges=EDGES, thresholds=[0])
    assert found.histogram.sum() == 4950


@pytest.mark.parametrize("k", [1, 10])
def test_same_neighbours_as_faiss(k):
    faiss = pytest.importorskip("faiss")
    rows = unit(2000, 96)
    index = faiss.IndexFlatIP(96)
    index.add(rows)
    similarity, neighbours = index.search(rows, k + 1)
    found = pairs(rows, nearest=k)
    np.testing.assert_allclose(found.similarity, similarity[:, 1:], **FLOAT32)
    assert (found.neighbours == neighbours[:, 1:]).mean() > 0.999
