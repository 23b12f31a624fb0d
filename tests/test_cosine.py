"""Mean pairwise cosine distance: values by hand, the reference, sizes, blocks."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divfast import engine
from divfast.metrics.cosine import CosineCorpus, cosine
from divfast.reference.cosine import cosine as truth
from tolerances import EXACT, REDUCTION, SPECTRAL

SIZES = [0, 1, 15, 16, 17, 63, 64, 65]


def unit(matrix):
    matrix = np.asarray(matrix, np.float64)
    return (matrix / np.linalg.norm(matrix, axis=1, keepdims=True)).astype(np.float32)


def draw(n, d=24, seed=0):
    return unit(np.random.default_rng(seed).standard_normal((n, d)) + 0.3)


def offsets(sizes):
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


# Known values.


@pytest.mark.parametrize(
    ("rows", "value"),
    [
        ([[1, 0], [0, 1]], 1.0),
        ([[1, 0], [-1, 0]], 2.0),
        ([[1, 0], [1, 0], [0, 1]], 2 / 3),
        ([[1, 0], [0.6, 0.8]], 0.4),
        ([[1, 0], [0.6, 0.8], [0, 1]], (0.4 + 1 + 0.2) / 3),
        ([[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, -1]], (5 * 1 + 2) / 6),
    ],
)
def test_known(rows, value):
    rows = np.array(rows, np.float32)
    np.testing.assert_allclose(cosine(rows, np.array([0, len(rows)])), [value], rtol=1e-7)


def test_undefined_groups_are_nan_or_zero_in_the_paper():
    rows, groups = draw(3), np.array([0, 0, 1, 3])
    np.testing.assert_array_equal(np.isnan(cosine(rows, groups)), [True, True, False])
    assert cosine(rows, groups, preset="paper")[:2].tolist() == [0.0, 0.0]
    for count in (0, 1):
        for preset, check in (("default", np.isnan), ("paper", lambda value: value == 0.0)):
            corpus = CosineCorpus(preset=preset)
            corpus.add(rows[:count])
            assert check(corpus.result())


def test_identical_rows_are_at_no_distance():
    rows = np.repeat(draw(1, 384), 1000, axis=0)
    np.testing.assert_allclose(cosine(rows, np.array([0, 2, 1000])), [0, 0], atol=1e-13)


# Agreement.


@given(
    st.lists(st.integers(0, 20), max_size=6),
    st.integers(1, 40),
    st.sampled_from(["default", "paper"]),
    st.integers(0, 9),
)
def test_agrees(sizes, d, preset, seed):
    rows, groups = draw(sum(sizes), d, seed), offsets(sizes)
    np.testing.assert_allclose(
        cosine(rows, groups, preset=preset), truth(rows, groups, preset=preset), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("k", SIZES)
def test_sizes(k):
    rows, groups = draw(k + 7, 65), offsets([k, 7])
    np.testing.assert_allclose(cosine(rows, groups), truth(rows, groups), **SPECTRAL)


# Laws.


def test_threads_and_slices_change_nothing(monkeypatch):
    rows, groups = draw(640, 48), offsets([10] * 64)
    whole = cosine(rows, groups)
    monkeypatch.setattr("divfast.metrics.cosine._PART_BYTES", 1 << 10)
    for count in (1, 2, 7):
        with engine.use_threads(count):
            np.testing.assert_allclose(cosine(rows, groups), whole, **EXACT)
    np.testing.assert_allclose(cosine(rows[100:], groups[10:] - 100), whole[10:], **EXACT)
    np.testing.assert_allclose(cosine(rows, groups[10:]), whole[10:], **EXACT)


def test_corpus_is_one_group_however_it_was_cut():
    rows = draw(300, 40)
    whole = cosine(rows, np.array([0, 300]))[0]
    parts = [rows[:0], rows[:1], rows[1:18], rows[18:82], rows[82:]]
    for order in itertools.permutations(range(5)):
        corpora = []
        for i in order:
            corpora.append(CosineCorpus())
            corpora[-1].add(parts[i])
        left = CosineCorpus()
        for corpus in corpora:
            left.merge(corpus)
        np.testing.assert_allclose(left.result(), whole, **REDUCTION)


def test_merging_leaves_the_other_as_it_was():
    one, other = CosineCorpus(), CosineCorpus()
    other.add(draw(5))
    before = other.result()
    one.merge(other)
    one.add(draw(5, seed=1))
    assert other.result() == before


# What it must survive.


def test_nothing_at_all():
    assert cosine(np.zeros((0, 8), np.float32), np.array([0])).shape == (0,)
    assert np.isnan(cosine(np.zeros((0, 0), np.float32), np.array([0, 0]))).all()


def test_nan_stays_in_its_group():
    rows = draw(6)
    rows[1, 3] = np.nan
    values = cosine(rows, np.array([0, 3, 6]))
    assert np.isnan(values[0])
    assert np.isfinite(values[1])


def test_many_rows_in_one_group():
    rows = draw(100_000, 16)
    exact = rows.astype(np.float64)
    n = len(rows)
    expected = 1 - (np.sum(exact.sum(axis=0) ** 2) - np.sum(exact**2)) / (n * (n - 1))
    np.testing.assert_allclose(cosine(rows, np.array([0, n])), [expected], rtol=1e-6)
