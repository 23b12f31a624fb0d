"""Samples of the rows of a corpus: bounded, seeded, fair, and the same for any cut into blocks."""

from itertools import pairwise

import numpy as np
import pytest

from divfast.samples import Ragged
from divfast.sampling import RowSample

N = 1000


def texts(numbers):
    return Ragged.from_strings([f"row {i}" for i in numbers])


def tokens(numbers):
    lengths = np.array([i % 3 for i in numbers], np.int64)
    values = np.repeat(np.array(list(numbers), np.uint64), lengths)
    return Ragged(values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def vectors(numbers):
    return np.array([[i, -i] for i in numbers], np.float32)


def listed(rows):
    if rows is None:
        return []
    return [row.tobytes() for row in rows]


def drawn(build, cuts, size=50, seed=0):
    sample = RowSample(size, seed=seed)
    for start, stop in pairwise(cuts):
        sample.add(build(range(start, stop)))
    return sample


@pytest.mark.parametrize("build", [texts, tokens, vectors])
def test_blocks_change_nothing(build):
    whole = drawn(build, [0, N])
    assert whole.seen == N and len(whole.rows()) == 50 and not whole.whole
    for cuts in ([0, 1, 2, 40, 41, 999, N], [0, 500, 500, N], [*range(0, N + 1, 7), N]):
        assert listed(drawn(build, cuts).rows()) == listed(whole.rows())


@pytest.mark.parametrize("build", [texts, tokens, vectors])
def test_few_rows_are_all_kept(build):
    sample = drawn(build, [0, 20, 50])
    assert sample.whole
    assert sorted(listed(sample.rows())) == sorted(listed(build(range(50))))


def test_nothing_is_nothing():
    sample = RowSample(3)
    sample.add(texts([]))
    assert sample.rows() is None and sample.whole and sample.seen == 0


def test_merging_in_any_order_draws_the_same():
    def parts():
        return [drawn(texts, [0, 300]), drawn(texts, [300, 320]), drawn(texts, [320, N])]

    first, second, third = parts()
    first.merge(second)
    first.merge(third)
    a, b, c = parts()
    b.merge(c)
    b.merge(a)
    assert first.seen == b.seen == N
    assert listed(first.rows()) == listed(b.rows()) and len(b.rows()) == 50
    assert len(listed(third.rows())) == 50
    # and what comes later is drawn as before
    first.add(texts(range(N, 2 * N)))
    assert first.seen == 2 * N and len(first.rows()) == 50


def test_another_seed_draws_others():
    assert listed(drawn(texts, [0, N]).rows()) != listed(drawn(texts, [0, N], seed=1).rows())


@pytest.mark.parametrize("same", [False, True])
def test_every_row_is_as_likely(same):
    # 400 draws of 50 among 1,000: 20 each, give or take sqrt(19); rows of equal bytes are told apart by number
    counts = np.zeros(N)
    for seed in range(400):
        sample = RowSample(50, seed=seed)
        block = np.arange(N, dtype=np.float64).reshape(-1, 1)
        if same:
            text = Ragged.from_strings(["same"] * N)
            from divfast import _core

            priorities = _core.row_priorities(text.values, text.offsets, seed, 0)
            counts[np.argsort(priorities)[:50]] += 1
        else:
            sample.add(block)
            counts[sample.rows()[:, 0].astype(int)] += 1
    assert abs(counts.mean() - 20) < 1e-12
    assert np.var(counts) == pytest.approx(19, rel=0.25)
    assert counts.max() < 20 + 6 * 19**0.5 and counts.min() > 0


def test_one_block_larger_than_the_sample_is_let_go():
    block = np.zeros((100_000, 8), np.float32)
    sample = RowSample(10)
    sample.add(block)
    assert sample.rows().base is not block and len(sample.rows()) == 10
