"""The different n-grams of groups, and of a corpus that arrives in blocks."""

from __future__ import annotations

from collections.abc import Sequence
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


class NgramCorpus:
    """What accumulators over n-grams share: the set of those seen, 11 to 21 bytes for every different one.

    Parameters
    ----------
    orders : sequence of int
        Which n, increasing.
    """

    def __init__(self, orders: Sequence[int]) -> None:
        self.orders = list(orders)
        self._seen = _Seen(self.orders)

    def add(self, rows: Ragged) -> None:
        """Take one block of tokens."""
        self._seen.sets.add(rows.values, rows.offsets, threads=engine.threads())

    def merge(self, other: Self) -> None:
        """Take what another accumulator has seen."""
        self._seen.sets.merge(other._seen.sets, threads=engine.threads())

    def adopt(self, other: Any) -> bool:
        """Let `other` see what this one sees, if it is over n-grams too; then only one is to be given rows."""
        if not isinstance(other, NgramCorpus):
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
