"""Distinct n-grams, counted by the core: against sets of tuples, in any number of pieces."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divfast import _core
from divfast.samples import Ragged

rows_of_tokens = st.lists(st.lists(st.integers(0, 6), max_size=12), max_size=10)


def ragged(rows):
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Ragged(np.array([token for row in rows for token in row], np.uint64), offsets)


def grams(rows, n):
    return [tuple(row[i : i + n]) for row in rows for i in range(len(row) - n + 1)]


@given(st.lists(rows_of_tokens, max_size=5), st.integers(1, 6), st.integers(1, 3))
def test_counts(groups, order, threads):
    rows = [row for group in groups for row in group]
    tokens = ragged(rows)
    bounds = np.concatenate([[0], np.cumsum([len(group) for group in groups])]).astype(np.int64)
    unique, total = _core.ngram_counts(
        tokens.values, tokens.offsets, bounds, max_order=order, threads=threads
    )
    for g, group in enumerate(groups):
        for n in range(1, order + 1):
            expected = grams(group, n)
            assert (unique[g, n - 1], total[g, n - 1]) == (len(set(expected)), len(expected))


@given(st.lists(rows_of_tokens, min_size=1, max_size=5), st.sets(st.integers(1, 6), min_size=1))
def test_sets_take_blocks_in_any_split(blocks, orders):
    orders = sorted(orders)
    apart = []
    together = _core.NgramSets(orders)
    for block in blocks:
        tokens = ragged(block)
        together.add(tokens.values, tokens.offsets)
        alone = _core.NgramSets(orders)
        alone.add(tokens.values, tokens.offsets)
        apart.append(alone)
    merged = apart[-1]
    for other in apart[:-1]:
        merged.merge(pickle.loads(pickle.dumps(other)))
    rows = [row for block in blocks for row in block]
    for sets in (together, merged):
        assert sets.unique().tolist() == [len(set(grams(rows, n))) for n in orders]
        assert sets.total().tolist() == [len(grams(rows, n)) for n in orders]


@pytest.mark.parametrize("threads", [1, 4])
def test_large_block_over_threads(threads):
    random = np.random.default_rng(0)
    rows = [random.integers(0, 50, size).tolist() for size in random.integers(0, 60, 6000)]
    tokens = ragged(rows)
    sets = _core.NgramSets([1, 3])
    sets.add(tokens.values, tokens.offsets, threads=threads)
    sets.add(tokens.values, tokens.offsets, threads=threads)
    assert sets.unique().tolist() == [50, len(set(grams(rows, 3)))]
    assert sets.total().tolist() == [2 * len(grams(rows, 1)), 2 * len(grams(rows, 3))]


@pytest.mark.parametrize("orders", [[], [0], [2, 1], [1, 1]])
def test_bad_orders(orders):
    with pytest.raises(ValueError, match="order"):
        _core.NgramSets(orders)


def test_offsets_are_checked():
    tokens = ragged([[1, 2], [3]])
    for groups in ([0, 3], [1, 0], [-1, 2], []):
        with pytest.raises(ValueError, match="groups"):
            _core.ngram_counts(tokens.values, tokens.offsets, np.array(groups, np.int64), max_order=1)
    with pytest.raises(ValueError, match="offsets"):
        _core.ngram_counts(tokens.values, np.array([0, 9], np.int64), np.array([0, 1], np.int64), max_order=1)
