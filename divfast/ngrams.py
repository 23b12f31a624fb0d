"""n-grams of groups, counted once for all metrics of a block, and of a corpus that arrives in blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.samples import Ragged

Counts = NDArray[np.int64]

# What is known of blocks that are still there: the groups that it is of, and what was counted.
_KNOWN: WeakKeyDictionary[Ragged, tuple[Counts, dict[tuple[str, int], Any]]] = WeakKeyDictionary()


def _known(rows: Ragged, groups: Counts) -> dict[tuple[str, int], Any]:
    """Return what was counted of these groups, to be added to.

    Metrics that are asked for together share it. Neither the rows nor the groups may be written to meanwhile.
    """
    entry = _KNOWN.get(rows)
    if entry is None or entry[0] is not groups:
        entry = _KNOWN[rows] = (groups, {})
    return entry[1]


def ngram_counts(rows: Ragged, groups: Counts, max_order: int) -> tuple[Counts, Counts]:
    """Return how many different n-grams every group has and how many in all, each ``int64[g, max_order]``."""
    known = _known(rows, groups)
    for (what, order), (unique, total) in known.items():
        if what == "counts" and order >= max_order:
            return unique[:, :max_order], total[:, :max_order]
    counted: tuple[Counts, Counts] = _core.ngram_counts(
        rows.values, rows.offsets, groups, max_order=max_order, threads=engine.threads()
    )
    known["counts", max_order] = counted
    return counted


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

    count: Counts
    many: Counts
    group: Counts
    groups: int

    def sums(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Return the sum of one value an entry over each group, ``float64[g]``."""
        return np.bincount(self.group, values, self.groups).astype(np.float64, copy=False)


def ngram_spectrum(rows: Ragged, groups: Counts, n: int) -> Spectrum:
    """Return how often the n-grams of every group occur."""
    known = _known(rows, groups)
    if ("spectrum", n) not in known:
        count, many, bounds = _core.ngram_spectrum(
            rows.values, rows.offsets, groups, order=n, threads=engine.threads()
        )
        g = len(groups) - 1
        known["spectrum", n] = Spectrum(count, many, np.repeat(np.arange(g), np.diff(bounds)), g)
    spectrum: Spectrum = known["spectrum", n]
    return spectrum


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


class FrequencyCorpus:
    """What accumulators over frequencies share: a count for every different n-gram, 21 to 43 bytes each.

    Parameters
    ----------
    n : int
        Order of the n-grams.
    """

    def __init__(self, n: int) -> None:
        self.counts = _core.NgramCounts(n)

    def add(self, rows: Ragged) -> None:
        """Take one block of tokens."""
        self.counts.add(rows.values, rows.offsets, threads=engine.threads())

    def merge(self, other: Self) -> None:
        """Take what another accumulator has seen."""
        self.counts.merge(other.counts, threads=engine.threads())

    def spectrum(self) -> Spectrum:
        """Return how often the n-grams seen so far occur, as of one group."""
        count, many = self.counts.spectrum()
        return Spectrum(count, many, np.zeros(len(count), np.int64), 1)
