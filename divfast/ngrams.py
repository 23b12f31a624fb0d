"""The n-grams of groups, and of a corpus that arrives in blocks: how many different ones, and how often each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.samples import Ragged


class Counts(NamedTuple):
    """Different and all n-grams of groups by order, each ``int64[g, order]``."""

    unique: NDArray[np.int64]
    total: NDArray[np.int64]


def count_ngrams(rows: Ragged, groups: NDArray[np.int64], order: int) -> Counts:
    """Return how many n-grams every group has, from order 1 up."""
    return Counts(
        *_core.ngram_counts(rows.values, rows.offsets, groups, max_order=order, threads=engine.threads())
    )


@dataclass(frozen=True)
class Spectrum:
    """How often the n-grams of groups occur: ``many[i]`` different ones occur ``count[i]`` times each.

    Attributes
    ----------
    count, many : numpy.ndarray
        ``int64[m]``, one group after the other, in each the highest count first.
    group : numpy.ndarray
        ``int64[m]``, the group of each entry.
    groups : int
        How many groups there are.
    """

    count: NDArray[np.int64]
    many: NDArray[np.int64]
    group: NDArray[np.int64]
    groups: int

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sum of one value an entry over each group, ``float64[g]``."""
        return np.bincount(self.group, values, self.groups).astype(np.float64, copy=False)


def ngram_spectrum(rows: Ragged, groups: NDArray[np.int64], n: int) -> Spectrum:
    """Return how often the n-grams of every group occur."""
    count, many, bounds = _core.ngram_spectrum(
        rows.values, rows.offsets, groups, order=n, threads=engine.threads()
    )
    g = len(groups) - 1
    return Spectrum(count, many, np.repeat(np.arange(g), np.diff(bounds)), g)


class NgramCorpus:
    """What accumulators over n-grams share: the set of those seen, 11 to 21 bytes for every different one.

    Parameters
    ----------
    orders : sequence of int
        Which n, increasing.
    shares : bool
        Whether the rows are counted as they come, so that another accumulator may count the same ones.
    """

    def __init__(self, orders: Sequence[int], *, shares: bool = True) -> None:
        self.orders = list(orders)
        self.shares = shares
        self._seen = _Seen(self.orders)

    def add(self, rows: Ragged) -> None:
        """Take one block of tokens."""
        self._seen.sets.add(rows.values, rows.offsets, threads=engine.threads())

    def merge(self, other: Self) -> None:
        """Take what another accumulator has seen."""
        self._seen.sets.merge(other._seen.sets, threads=engine.threads())

    def adopt(self, other: Any) -> bool:
        """Let `other` see what this one sees, if it is over n-grams too; then only one is to be given rows."""
        if not (self.shares and isinstance(other, NgramCorpus) and other.shares):
            return False
        self._seen.widen(other.orders)
        other._seen = self._seen
        return True

    def counts(self) -> Counts:
        """Return the n-grams seen so far, of one's own orders alone, each ``int64[orders]``."""
        sets = self._seen.sets
        own = [sets.orders.index(order) for order in self.orders]
        return Counts(sets.unique()[own], sets.total()[own])


class _Seen:
    """The sets that several accumulators may have in common."""

    def __init__(self, orders: Sequence[int]) -> None:
        self.sets = _core.NgramSets(list(orders))

    def widen(self, orders: Sequence[int]) -> None:
        self.sets = _core.NgramSets(sorted({*self.sets.orders, *orders}))


class FrequencyCorpus:
    """What accumulators over frequencies share: a count for every different n-gram, 21 to 43 bytes each.

    Parameters
    ----------
    n : int
        Order of the n-grams.
    """

    def __init__(self, n: int) -> None:
        self.n = n
        self.counts = _core.NgramCounts(n)

    def add(self, rows: Ragged) -> None:
        """Take one block of tokens."""
        self.counts.add(rows.values, rows.offsets, threads=engine.threads())

    def merge(self, other: Self) -> None:
        """Take what another accumulator has seen."""
        self.counts.merge(other.counts, threads=engine.threads())

    def adopt(self, other: Any) -> bool:
        """Let `other` see what this one sees, if it is over frequencies of the same order."""
        if not isinstance(other, FrequencyCorpus) or other.n != self.n:
            return False
        other.counts = self.counts
        return True

    def spectrum(self) -> Spectrum:
        """Return how often the n-grams seen so far occur, as of one group."""
        count, many = self.counts.spectrum()
        return Spectrum(count, many, np.zeros(len(count), np.int64), 1)
