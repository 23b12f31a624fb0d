"""Greedy subsets of vectors: by hand, against every candidate tried, whatever the threads and the sizes."""

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divfast import _core, engine
from divfast.errors import BackendError, MetricError
from divfast.greedy import Recipe, covering_radius, find_backend, pick
from divfast.metrics.vendi import vendi
from divfast.reference import selection as reference
from divfast.reference.vendi import vendi as vendi_reference

COSTS = [("distance", 1.0), ("cosines", 2.0), *(("spectrum", q) for q in (0.5, 0.9, 0.995, 1.0, 1.5, 2.0))]


def unit(rows):
    rows = np.asarray(rows, np.float64)
    return np.ascontiguousarray(rows / np.linalg.norm(rows, axis=1, keepdims=True), np.float32)


def crowded(n, d, seed=0):
    """Unit rows that have something in common, some of them copies."""
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((n, d)) + rng.standard_normal(d)
    copies = rng.integers(0, n, (n // 8, 2))
    rows[copies[:, 0]] = rows[copies[:, 1]]
    return unit(rows)


def recipe(k, method="k_centre", q=1.0, scope="pooled"):
    return Recipe(k, method, q, scope, 0, 0)


def grown(rows, cost, q, k, threads=1):
    """Return the rows that the compiled code takes, with their costs."""
    subset = _core.Greedy(rows, cost, q, threads)
    taken, costs = [subset.central()], []
    subset.take(taken[0])
    while len(taken) < k:
        row, value = subset.cheapest()
        taken.append(row)
        costs.append(value)
        subset.take(row)
    return taken, costs


def agrees_with_the_reference(subset, rows, cost, q, k, tolerance=1e-8):
    """Every pick is one that trying all finds best; where two are as good as equal, either will do."""
    truth = reference.Greedy(rows, cost, q)
    row, best = subset.central(), truth.central()
    apart = ((rows.astype(float) - rows.mean(axis=0, dtype=float)) ** 2).sum(axis=1)
    assert row == best or apart[row] == pytest.approx(apart[best], rel=1e-12)
    for _ in range(min(k, len(rows)) - 1):
        subset.take(row)
        truth.take(row)
        row, value = subset.cheapest()
        best, least = truth.cheapest()
        assert value == pytest.approx(least, rel=tolerance, abs=tolerance)
        # Nothing but rounding parts the two.
        if row != best:
            costs = [truth_cost(truth, rows, one) for one in (row, best)]
            assert costs[0] == pytest.approx(costs[1], rel=tolerance, abs=tolerance)


def truth_cost(truth, rows, row):
    """Return what the reference says of one row: that of the set in which all others were taken is in the way."""
    if truth._cost == "distance":
        return -min(
            float(((rows[row].astype(float) - rows[one].astype(float)) ** 2).sum()) for one in truth._taken
        )
    return truth._sum([*truth._taken, row]) - truth._sum(truth._taken)


def test_known_by_hand():
    # The mean is nearest to the row at 45 degrees; 0 and 90 degrees are as far, and the first is taken.
    angles = np.radians([0, 90, 45, 45])
    rows = unit(np.stack([np.cos(angles), np.sin(angles)], axis=1))
    found = pick(rows, np.array([0, 4]), recipe(4), "cpu")
    assert found.rows.tolist() == [2, 0, 1, 3]
    assert found.values[1:] == pytest.approx([1 - np.sqrt(0.5), 1 - np.sqrt(0.5), 0], abs=1e-7)
    assert covering_radius(rows, np.array([0, 4]), np.array([0]), np.array([0, 1])) == pytest.approx(1)


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0])
def test_values_are_the_scores_of_the_subsets(q):
    # Three directions at right angles and a copy: 1, 2, 3 effective samples, and then fewer than 3.
    rows = unit([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]])
    found = pick(rows, np.array([0, 4]), recipe(4, "vendi", q), "cpu")
    assert sorted(found.rows[:3].tolist()) == [0, 1, 2]
    last = {0.5: ((2 + 2**0.5) / 2) ** 2, 1.0: 2 * 2**0.5, 2.0: 8 / 3}[q]
    # An eigenvalue of zero is rounding, and its root is not small.
    assert found.values == pytest.approx([1, 2, 3, last], rel=1e-7 if q < 1 else 1e-9)


@pytest.mark.parametrize(("cost", "q"), COSTS)
@pytest.mark.parametrize(("n", "d"), [(40, 8), (33, 3), (17, 1), (64, 40), (1, 5), (2, 16)])
def test_agrees_with_every_candidate_tried(cost, q, n, d):
    rows = crowded(n, d, seed=n)
    # Of more picks than dimensions some eigenvalues are zero, which the reference has as rounding.
    loose = 1e-6 if q < 0.9 else 1e-8
    agrees_with_the_reference(_core.Greedy(rows, cost, q, 1), rows, cost, q, min(n, 20), loose)


@given(st.integers(0, 10**6), st.integers(1, 30), st.integers(1, 20), st.sampled_from(COSTS))
def test_agrees_on_random_rows(seed, n, d, how):
    rows = crowded(n, d, seed)
    agrees_with_the_reference(_core.Greedy(rows, *how, 2), rows, *how, 12, 1e-6)


@pytest.mark.parametrize(("cost", "q"), [("distance", 1.0), ("cosines", 2.0), ("spectrum", 1.0)])
def test_what_is_left_out_is_never_the_best(cost, q):
    # Several chunks, clusters of very unequal size: most rows are looked at a few times only.
    rng = np.random.default_rng(5)
    centres = rng.standard_normal((40, 16)) * 2
    rows = unit(centres[rng.geometric(0.15, 9000) % 40] + rng.standard_normal((9000, 16)) * 0.5)
    taken, costs = grown(rows, cost, q, 40)
    assert len(set(taken)) == 40
    wide = rows.astype(np.float64)
    for m in (1, 2, 5, 13, 39):
        gram = wide[taken[:m]] @ wide.T
        if cost == "distance":
            every = -(2 - 2 * gram).min(axis=0)
        elif cost == "cosines":
            every = (gram**2).sum(axis=0)
        else:
            some = np.r_[taken[m], rng.integers(0, 9000, 300)]
            every = np.full(9000, np.inf)
            score = [float(vendi_reference(wide[[*taken[:m], i]], [0, m + 1])[0]) for i in some]
            before = np.log(m) - np.log(float(vendi_reference(wide[taken[:m]], [0, m])[0]))
            every[some] = (m + 1) * (np.log(m + 1) - np.log(score)) - m * before
        every[taken[:m]] = np.inf
        assert costs[m - 1] == pytest.approx(every.min(), abs=2e-6)
        assert every[taken[m]] == pytest.approx(every.min(), abs=2e-6)


@pytest.mark.parametrize(("cost", "q"), COSTS)
def test_threads_change_nothing(cost, q):
    rows = crowded(5000, 24)
    one, two = grown(rows, cost, q, 60, threads=1), grown(rows, cost, q, 60, threads=3)
    assert one == two


@pytest.mark.parametrize(("cost", "q"), COSTS)
def test_copies_come_last_and_the_first_of_equals_is_taken(cost, q):
    rows = np.repeat(crowded(12, 20, seed=3)[:6], 3, axis=0)
    different = len(np.unique(rows, axis=0))
    taken, _ = grown(rows, cost, q, 18)
    assert sorted(taken) == list(range(18))
    assert len(np.unique(rows[taken[:different]], axis=0)) == different
    same = unit(np.ones((70, 9)))
    assert grown(same, cost, q, 70)[0] == list(range(70))


@pytest.mark.parametrize("size", [1, 15, 16, 17, 63, 64, 65])
def test_dimensions_around_vectors_of_the_processor(size):
    rows = crowded(30, size, seed=size)
    for cost, q in COSTS:
        loose = 1e-6 if q < 0.9 else 1e-8
        agrees_with_the_reference(_core.Greedy(rows, cost, q, 1), rows, cost, q, 6, loose)


def test_groups_are_picked_by_themselves():
    rows = crowded(400, 12)
    groups = np.array([0, 0, 1, 3, 100, 100, 350, 400])
    for how in (recipe(7), recipe(7, "vendi"), recipe(7, "vendi", 2.0)):
        with engine.use_threads(2):
            found = pick(rows, groups, how, "cpu")
        assert np.diff(found.bounds).tolist() == [0, 1, 2, 7, 0, 7, 7]
        for g in range(len(groups) - 1):
            own = rows[groups[g] : groups[g + 1]]
            alone = pick(own, np.array([0, len(own)]), how, "cpu")
            mine = slice(found.bounds[g], found.bounds[g + 1])
            assert (found.rows[mine] - groups[g]).tolist() == alone.rows.tolist()
            assert np.array_equal(found.values[mine], alone.values, equal_nan=True)
        radius = covering_radius(rows, groups, found.rows, found.bounds)
        assert np.isnan(radius).tolist() == [True, False, False, False, True, False, False]
        for g in (3, 5, 6):
            own = rows[groups[g] : groups[g + 1]]
            chosen = found.rows[found.bounds[g] : found.bounds[g + 1]] - groups[g]
            assert radius[g] == pytest.approx(reference.covering_radius(own, chosen) / 2, rel=1e-9)


def test_the_radius_is_within_twice_the_best():
    rows = crowded(12, 4, seed=8)
    groups = np.array([0, 12])
    best = min(
        reference.covering_radius(rows, [a, b, c]) for a in range(12) for b in range(a) for c in range(b)
    )
    found = pick(rows, groups, recipe(3), "cpu")
    assert np.sqrt(reference.covering_radius(rows, found.rows)) <= 2 * np.sqrt(best)
    assert np.all(np.diff(found.values[1:]) <= 0)


def test_greedy_vendi_beats_random_subsets():
    rows = crowded(3000, 48, seed=9)
    found = pick(rows, np.array([0, 3000]), recipe(40, "vendi"), "cpu")
    rng = np.random.default_rng(0)
    others = [vendi(rows[rng.choice(3000, 40, replace=False)], np.array([0, 40]))[0] for _ in range(20)]
    assert found.values[-1] > max(others)
    assert found.values[-1] == pytest.approx(vendi(rows[found.rows], np.array([0, 40]))[0], rel=1e-6)


def test_many_picks_and_hostile_rows():
    rows = crowded(700, 6)
    for cost, q in COSTS:
        assert sorted(grown(rows, cost, q, 700)[0]) == list(range(700))
    # Views refuse these; the compiled code must only end.
    odd = np.zeros((5, 3), np.float32)
    odd[1] = np.nan
    odd[2] = np.inf
    for cost, q in COSTS:
        subset = _core.Greedy(odd, cost, q, 1)
        subset.take(max(0, subset.central()))
        subset.cheapest()
    empty = _core.Greedy(np.zeros((0, 3), np.float32), "distance")
    assert empty.central() == -1 and empty.cheapest() == (-1, 0.0)
    assert len(pick(np.zeros((0, 3), np.float32), np.array([0, 0]), recipe(3), "cpu").rows) == 0


def test_arrays_are_checked():
    rows = crowded(4, 3)
    for call in (
        lambda: _core.Greedy(rows[0], "distance"),
        lambda: _core.Greedy(rows, "nearest"),
        lambda: _core.Greedy(rows, "spectrum", 2.5),
        lambda: _core.greedy_groups(rows, [0, 5], 1, "distance"),
        lambda: _core.greedy_groups(rows, [0, 4], 0, "distance"),
        lambda: _core.covering_radius(rows, [0, 2, 4], [3], [0, 1, 1]),
        lambda: _core.covering_radius(rows, [0, 4], [1], [0, 1, 1]),
        lambda: _core.covering_radius(rows, [0, 4], [1], [0, 2]),
    ):
        with pytest.raises(ValueError, match=r"must|reach"):
            call()
    with pytest.raises(IndexError):
        _core.Greedy(rows, "distance").take(4)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ((0, "k_centre", 1.0, "pooled", 8, 0), "k must be at least 1, got 0."),
        ((5, "k_center", 1.0, "pooled", 8, 0), "Did you mean k_centre"),
        ((5, "k_centre", 1.0, "first", 8, 0), "scope cannot be 'first'"),
        ((5, "k_centre", 0.0, "pooled", 8, 0), "q must be greater than 0"),
        ((5, "k_centre", float("nan"), "pooled", 8, 0), "q must be greater than 0"),
        ((5, "vendi", 3.0, "pooled", 8, 0), "orders from 0.5 to 2, got 3"),
        ((5, "k_centre", 1.0, "pooled", -1, 0), "draws must be at least 0"),
    ],
)
def test_recipes_are_checked(settings, message):
    with pytest.raises(MetricError, match=message):
        Recipe(*settings)


def test_backends(monkeypatch):
    rows = crowded(60, 10)
    for how in (recipe(9), recipe(9, "vendi"), recipe(9, "vendi", 2.0)):
        fast, slow = (pick(rows, np.array([0, 25, 60]), how, where) for where in ("cpu", "reference"))
        assert fast.rows.tolist() == slow.rows.tolist()
        np.testing.assert_allclose(fast.values, slow.values, rtol=1e-8, atol=1e-10)
    assert find_backend("reference", "pooled") == "reference"
    with pytest.raises(BackendError, match="unknown backend"):
        find_backend("gpu", "pooled")
    monkeypatch.setattr("divfast.greedy._has_cuda", lambda: False)
    with pytest.raises(BackendError, match="no CUDA device"):
        find_backend("cuda", "pooled")
    # Loaded, so that it is asked.
    monkeypatch.setitem(sys.modules, "torch", sys)
    assert find_backend("auto", "pooled") == "cpu"
    monkeypatch.setattr("divfast.greedy._has_cuda", lambda: True)
    assert find_backend("auto", "pooled") == "cuda" and find_backend("auto", "prompt") == "cpu"


@pytest.mark.parametrize(("cost", "q"), COSTS)
@pytest.mark.parametrize(("n", "d"), [(300, 24), (40, 5)])
def test_tensors_give_the_same(cost, q, n, d, monkeypatch):
    pytest.importorskip("torch")
    from divfast import greedy_torch

    # Small tiles, so that there are several.
    monkeypatch.setattr(greedy_torch, "_TILE_BYTES", 1 << 14)
    rows = crowded(n, d, seed=d)
    tolerance = 1e-6 if q < 0.9 else 1e-9
    fast, tensors = _core.Greedy(rows, cost, q), greedy_torch.TorchGreedy(rows, cost, q, device="cpu")
    row = fast.central()
    assert tensors.central() == row
    assert _core.Greedy(rows[:2], cost, q).central() == 0
    for _ in range(20):
        fast.take(row)
        tensors.take(row)
        row, value = fast.cheapest()
        other, theirs = tensors.cheapest()
        assert theirs == pytest.approx(value, rel=tolerance, abs=tolerance)
        # Sums in another order: of rows that are as good as equal either may come first.
        assert other == row or np.array_equal(rows[other], rows[row]) or q < 0.9


def test_tensors_end_where_rows_do():
    pytest.importorskip("torch")
    from divfast.greedy_torch import TorchGreedy

    rows = crowded(5, 3)
    subset = TorchGreedy(rows, "spectrum", 1.0, device="cpu")
    for row in range(5):
        subset.take(row)
    assert subset.cheapest() == (-1, 0.0)
    assert TorchGreedy(rows[:0], "distance", device="cpu").central() == -1
