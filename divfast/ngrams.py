"""The different n-grams of a corpus that arrives in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

from divfast import _core, engine
from divfast.samples import Ragged


class NgramCorpus:
    """What accumulators over n-grams share: the set of those seen, 11 to 21 bytes for every different one.

    Parameters
    ----------
    orders : sequence of int
        Which n, increasing.
    """

    def __init__(self, orders: Sequence[int]) -> None:
        self.sets = _core.NgramSets(list(orders))

    def add(self, rows: Ragged) -> None:
        """Take one block of tokens."""
        self.sets.add(rows.values, rows.offsets, threads=engine.threads())

    def merge(self, other: Self) -> None:
        """Take what another accumulator has seen."""
        self.sets.merge(other.sets, threads=engine.threads())
