"""A seeded sample of the rows of a corpus that arrives in blocks."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.viewed import concat_rows, rows_tape, take_rows


class RowSample:
    """Rows drawn without replacement, each equally likely, in the memory of the rows drawn; all, while they are few.

    Every row gets a priority, a hash of the seed, its number and its bytes; the lowest stay. So neither the cuts
    between blocks nor the order of merges change what is drawn. A corpus cut into parts that are merged numbers its
    rows from 0 in every part, so it draws other rows than the same corpus as one stream, as fairly.

    Parameters
    ----------
    size : int
        Most rows to keep, at least 1.
    seed : int
        From 0 to 2^64 - 1; the same one draws the same rows.

    Attributes
    ----------
    seen : int
        How many rows there were.

    Examples
    --------
    >>> from divfast.samples import Ragged
    >>> sample = RowSample(2, seed=3)
    >>> sample.add(Ragged.from_strings(["a", "b", "c"]))
    >>> sample.add(Ragged.from_strings(["d", "e"]))
    >>> sample.seen, len(sample.rows()), sample.whole
    (5, 2, False)
    """

    def __init__(self, size: int, *, seed: int = 0) -> None:
        self.size = size
        self.seed = seed
        self.seen = 0
        self._parts: list[tuple[NDArray[np.uint64], Any]] = []
        self._held = 0
        self._bound: np.uint64 | None = None

    @property
    def whole(self) -> bool:
        """Whether every row seen was kept."""
        return self.seen <= self.size

    def add(self, rows: Any) -> None:
        """Take one block: rows of any view."""
        n = len(rows)
        if n == 0:
            return
        priorities = _core.row_priorities(*rows_tape(rows), self.seed, self.seen, threads=engine.threads())
        self.seen += n
        self._keep(priorities, rows)

    def merge(self, other: Self) -> None:
        """Take what another sample of the same size and seed has seen; it stays as it is."""
        self.seen += other.seen
        for priorities, rows in other._parts:
            self._keep(priorities, rows)

    def rows(self) -> Any:
        """Return the rows drawn, in the order of their priorities; None where no row was ever seen."""
        self._shrink()
        return self._parts[0][1] if self._parts else None

    def _keep(self, priorities: NDArray[np.uint64], rows: Any) -> None:
        chosen = np.argsort(priorities, kind="stable")[: self.size]
        if self._bound is not None:
            chosen = chosen[priorities[chosen] < self._bound]
        if not len(chosen):
            return
        # Copied, so that the block these rows came from is not held on to.
        self._parts.append((priorities[chosen], take_rows(rows, chosen)))
        self._held += len(chosen)
        if self._held >= 2 * self.size:
            self._shrink()

    def _shrink(self) -> None:
        """Make one part, sorted, of those kept."""
        if len(self._parts) > 1:
            priorities = np.concatenate([part for part, _ in self._parts])
            order = np.argsort(priorities, kind="stable")[: self.size]
            rows = take_rows(concat_rows([rows for _, rows in self._parts]), order)
            self._parts = [(priorities[order], rows)]
            self._held = len(order)
            if len(order) == self.size:
                self._bound = priorities[order[-1]]
