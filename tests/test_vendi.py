"""Vendi Score: values by hand, the full matrix, orders, blocks."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divfast import _core
from divfast.metrics.vendi import VendiCorpus, vendi
from divfast.reference.vendi import vendi as truth
from tolerances import REDUCTION, SPECTRAL

ORDERS = [0.1, 0.5, 1.0, 2.0, 3.0, 50.0, np.inf]
SIZES = [0, 1, 15, 16, 17, 63, 64, 65]


def unit(matrix):
    matrix = np.asarray(matrix, np.float64)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def draw(n, d=24, seed=0):
    return unit(np.random.default_rng(seed).standard_normal((n, d)) + 0.3)


def offsets(sizes):
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


# Known values.


@pytest.mark.parametrize("q", ORDERS)
@pytest.mark.parametrize(("kinds", "each"), [(1, 1), (1, 5), (2, 3), (4, 1), (4, 4)])
def test_equally_many_of_each_kind_count_as_the_kinds(q, kinds, each):
    rows = np.repeat(np.eye(8, dtype=np.float32)[:kinds], each, axis=0)
    np.testing.assert_allclose(vendi(rows, np.array([0, len(rows)]), q=q), [kinds], rtol=1e-12)


@pytest.mark.parametrize(
    ("q", "value"),
    [
        (1.0, np.exp(-(0.75 * np.log(0.75) + 0.25 * np.log(0.25)))),
        (2.0, 1 / (0.75**2 + 0.25**2)),
        (0.5, (np.sqrt(0.75) + np.sqrt(0.25)) ** 2),
        (3.0, (0.75**3 + 0.25**3) ** -0.5),
        (np.inf, 1 / 0.75),
    ],
)
def test_three_of_one_kind_and_one_of_another(q, value):
    rows = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)
    np.testing.assert_allclose(vendi(rows, np.array([0, 4]), q=q), [value], rtol=1e-12)


def test_two_rows_with_a_cosine_of_0_6():
    rows = np.array([[1, 0], [0.6, 0.8]], np.float32)  # eigenvalues (1 +- 0.6) / 2
    value = np.exp(-(0.8 * np.log(0.8) + 0.2 * np.log(0.2)))
    np.testing.assert_allclose(vendi(rows, np.array([0, 2])), [value], rtol=1e-6)


def test_small_groups():
    rows, groups = draw(1), np.array([0, 0, 1])
    np.testing.assert_array_equal(vendi(rows, groups), [np.nan, 1.0])
    assert vendi(rows, groups, preset="paper").tolist() == [1.0, 1.0]
    assert np.isnan(VendiCorpus(q=1.0).result())
    assert VendiCorpus(q=1.0, preset="paper").result() == 1.0


# Agreement.


@given(
    st.lists(st.integers(0, 20), max_size=6),
    st.integers(1, 40),
    # Next to 1 the paper's raised zeros, which do not sum to 1, would be blown up without bound.
    st.sampled_from(
        [*itertools.product(ORDERS, ["default", "paper"]), (0.999999, "default"), (1.0001, "default")]
    ),
    st.integers(0, 9),
)
def test_agrees(sizes, d, variant, seed):
    q, preset = variant
    rows, groups = draw(sum(sizes), d, seed), offsets(sizes)
    np.testing.assert_allclose(
        vendi(rows, groups, q=q, preset=preset), truth(rows, groups, q=q, preset=preset), **SPECTRAL
    )


@pytest.mark.parametrize("k", SIZES)
@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, np.inf])
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_sizes_on_both_sides_of_the_dimensions(k, q, preset):
    rows, groups = draw(k + 7, 16), offsets([k, 7])
    np.testing.assert_allclose(
        vendi(rows, groups, q=q, preset=preset), truth(rows, groups, q=q, preset=preset), **SPECTRAL
    )


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, np.inf])
def test_pooled_equals_the_eigenvalues_of_the_full_matrix(q):
    rows = draw(700, 96)
    corpus = VendiCorpus(q=q)
    for block in np.array_split(rows, 9):
        corpus.add(block)
    np.testing.assert_allclose(corpus.result(), truth(rows, [0, 700], q=q)[0], rtol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3, 15, 16, 17, 33, 64, 65])
@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_eigenvalues_are_those_of_lapack(k, scale):
    rows = draw(7 * k, 40).astype(np.float64).reshape(7, k, 40)
    rows[0] = rows[0, 0]
    rows[1, :, 3:] = 0
    rows[3] = 0
    matrices = rows @ rows.transpose(0, 2, 1)
    matrices[4] = np.diag(np.arange(k))
    exact = np.linalg.eigvalsh(matrices)
    matrices[2] = np.nan
    values = _core.eigenvalues(matrices * scale, threads=2)
    assert np.isnan(values[2]).all()
    for i in (0, 1, 3, 4, 5, 6):
        largest = max(1e-300, exact[i].max())
        np.testing.assert_allclose(np.sort(values[i] / scale) / largest, exact[i] / largest, atol=1e-14)


@pytest.mark.parametrize("m", [65, 66, 67, 79, 80, 81, 82, 83, 96, 128, 255])
@pytest.mark.parametrize("threads", [1, 2, 3])
def test_eigenvalues_of_large_matrices_are_those_of_lapack(m, threads):
    rows = draw(3 * m, m).astype(np.float64).reshape(3, m, m)
    rows[1, :, 5:] = 0  # nearly all eigenvalues are zero
    matrices = np.concatenate([rows @ rows.transpose(0, 2, 1), np.ones((1, m, m)), np.zeros((1, m, m))])
    matrices[2] = np.kron(np.eye(2), matrices[2])[:m, :m]  # twice the same block, where it fits
    graded = np.diag(10.0 ** -np.linspace(0, 12, m)) + 1e-3 * np.eye(m, k=1) + 1e-3 * np.eye(m, k=-1)
    matrices = [*matrices, np.diag(np.arange(m) % 7.0), graded]
    # First all of them: LAPACK's threads go on spinning, and would be waited for.
    spectra = [np.linalg.eigvalsh(matrix) for matrix in matrices]
    for matrix, exact in zip(matrices, spectra, strict=True):
        upper = np.triu(matrix) + np.tril(np.full((m, m), np.nan), -1)
        values = np.sort(_core.eigenvalues(upper[None], threads=threads)[0])
        largest = max(1e-300, exact.max())
        np.testing.assert_allclose(values / largest, exact / largest, atol=2e-14)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_large_matrix_that_is_not_finite_has_no_eigenvalues(bad):
    matrices = np.stack([np.eye(70), np.eye(70)])
    matrices[1, 3, 69] = bad
    values = _core.eigenvalues(matrices)
    assert (values[0] == 1).all()
    assert np.isnan(values[1]).all()


def test_eigenvalues_of_what_is_no_matrix_are_refused():
    with pytest.raises(ValueError, match="b x k x k"):
        _core.eigenvalues(np.zeros((2, 3)))
    assert _core.eigenvalues(np.zeros((0, 3, 3))).shape == (0, 3)


def test_low_orders_do_not_count_the_rounding_of_zero():
    rows = draw(500, 64)
    rows[:, 8:] = 0
    rows = unit(rows)
    np.testing.assert_allclose(
        vendi(rows, np.array([0, 500]), q=0.1), truth(rows, [0, 500], q=0.1), rtol=1e-6
    )
    assert vendi(rows, np.array([0, 500]), q=0.01)[0] < 8


# Laws.


def test_falls_with_the_order_and_meets_itself_at_1():
    rows, groups = draw(12), np.array([0, 12])
    values = [
        vendi(rows, groups, q=q)[0]
        for q in [0.01, 0.5, 1 - 1e-9, 1.0, 1 + 1e-9, 1.02, 2, 2.0001, 100, 1e6, np.inf]
    ]
    assert np.all(np.diff(values) <= 1e-9)
    np.testing.assert_allclose(values[2:5], [values[3]] * 3, rtol=1e-8)
    np.testing.assert_allclose(values[-2], values[-1], rtol=1e-5)


def test_groups_do_not_see_each_other():
    sizes = [3, 0, 5, 3, 1, 40, 3, 5]
    rows, groups = draw(sum(sizes), 16), offsets(sizes)
    alone = [vendi(rows[a:b], np.array([0, b - a]))[0] for a, b in itertools.pairwise(groups)]
    np.testing.assert_allclose(vendi(rows, groups), alone, **REDUCTION)


@pytest.mark.parametrize("q", [1.0, 2.0])
def test_corpus_is_one_group_however_it_was_cut(q):
    rows = draw(120, 32)
    whole = vendi(rows, np.array([0, 120]), q=q)[0]
    parts = [rows[:0], rows[:1], rows[1:18], rows[18:60], rows[60:]]
    for order in itertools.permutations(range(5)):
        left = VendiCorpus(q=q)
        for i in order:
            corpus = VendiCorpus(q=q)
            corpus.add(parts[i])
            left.merge(corpus)
        np.testing.assert_allclose(left.result(), whole, **REDUCTION)


def test_merging_leaves_the_other_as_it_was():
    for count in (5, 50):
        one, other = VendiCorpus(q=1.0), VendiCorpus(q=1.0)
        other.add(draw(count))
        before = other.result()
        one.merge(other)
        one.add(draw(50, seed=1))
        assert other.result() == before


# What it must survive.


def test_nothing_at_all():
    assert vendi(np.zeros((0, 8), np.float32), np.array([0])).shape == (0,)
    assert np.isnan(vendi(np.zeros((0, 0), np.float32), np.array([0, 0]))).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("q", [1.0, 2.0])
def test_what_has_no_direction_stays_in_its_group(bad, q):
    rows = draw(46, 8)
    rows[1, 3] = bad
    rows[6, 3] = bad
    values = vendi(rows, np.array([0, 3, 6, 26, 46]), q=q)
    assert np.isnan(values[[0, 2]]).all()
    assert np.isfinite(values[[1, 3]]).all()


def test_many_rows_in_one_group():
    rows = draw(100_000, 16)
    values = vendi(rows, np.array([0, 99_990, 100_000]))
    assert 1 < values[0] <= 16
    spectrum = np.linalg.eigvalsh(
        np.cov(rows[:99_990].astype(np.float64).T, bias=True)
        + np.outer(*[rows[:99_990].mean(0, np.float64)] * 2)
    )
    np.testing.assert_allclose(values[0], np.exp(-np.sum(spectrum * np.log(spectrum))), rtol=1e-6)
