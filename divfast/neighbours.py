"""What the metrics over all pairs of vectors share: for every row, its nearest other and its sum over all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from divfast.gram import grams, to_cosines, to_rbf
from divfast.registry import Statistics
from divfast.similarity import pairs

Nearest = tuple[NDArray[np.float64], NDArray[np.int64]]

# Up to here the similarities of a group are one matrix in float64; above they are streamed, never stored.
MATRIX_ROWS = 2048
_PART_BYTES = 16 << 20


def nearest_similarity(rows: NDArray[np.float32], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the cosine of every row and the nearest other row of its group, ``float64[n]``; NaN where there is none.

    Parameters
    ----------
    rows, groups
        As metrics over vectors take them; the result has a number for each row from the first group to the last.

    Notes
    -----
    Exact, over all pairs: O(K^2 d) time a group. Groups of up to 2048 rows in float64; in larger ones the nearest row
    is found in float32, and its cosine is computed in float64.
    """
    out = np.full(groups[-1] - groups[0], np.nan)
    small, large = _by_size(groups, 2)
    for index, products in grams(rows, groups, small):
        to_cosines(products)
        # No row is its own neighbour.
        np.einsum("bii->bi", products)[...] -= 4.0
        out[_places(groups, index)] = products.max(axis=2)
    for g in large:
        group = rows[groups[g] : groups[g + 1]]
        found = pairs(group, nearest=1)
        if not found.undefined:
            out[groups[g] - groups[0] : groups[g + 1] - groups[0]] = cosines(
                group, group[found.neighbours[:, 0]]
            )
    return out


def kernel_sums(
    rows: NDArray[np.float32], groups: NDArray[np.int64], temperature: float
) -> NDArray[np.float64]:
    """Return for every row the sum of ``exp((cosine - 1) / temperature)`` over all rows of its group, ``float64[n]``.

    The row itself adds 1. O(K^2 d) time a group; groups of more than 2048 rows with products in float32.
    """
    out = np.full(groups[-1] - groups[0], np.nan)
    small, large = _by_size(groups, 1)
    for index, products in grams(rows, groups, small):
        # exp(-|x - y|^2 / (2 scale^2)) of unit rows is exp((cosine - 1) / scale^2).
        out[_places(groups, index)] = to_rbf(products, float(np.sqrt(temperature))).sum(axis=2)
    for g in large:
        found = pairs(rows[groups[g] : groups[g + 1]], nearest=0, temperature=min(temperature, 1e30))
        if not found.undefined:
            assert found.softmax is not None
            out[groups[g] - groups[0] : groups[g + 1] - groups[0]] = found.softmax
    return out


def sorted_distances(
    rows: NDArray[np.float32], groups: NDArray[np.int64], least: int
) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """Yield groups of at least `least` rows, with the distances of some of their rows to all others, ascending.

    Several times the same group where it is large: ``(g, float64[some, K - 1])``.
    """
    for g in np.flatnonzero(np.diff(groups) >= max(2, least)).tolist():
        group = rows[groups[g] : groups[g + 1]].astype(np.float64)
        lengths = np.sqrt(np.einsum("ij,ij->i", group, group))
        with np.errstate(invalid="ignore", divide="ignore"):
            group /= lengths[:, None]
        step = max(1, _PART_BYTES // (8 * len(group)))
        for start in range(0, len(group), step):
            distances = 1.0 - group[start : start + step] @ group.T
            own = np.arange(len(distances))
            # Each row is behind its others, and left out.
            distances[own, start + own] = np.where(np.isnan(distances[own, start + own]), np.nan, np.inf)
            distances.sort(axis=1)
            yield g, distances[:, :-1]


def _by_size(groups: NDArray[np.int64], least: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    sizes = np.diff(groups)
    small = np.flatnonzero((sizes >= least) & (sizes <= MATRIX_ROWS))
    return small, np.flatnonzero(sizes > MATRIX_ROWS)


def _places(groups: NDArray[np.int64], index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where the rows of groups of one size stand, ``int64[b, k]``."""
    places: NDArray[np.int64] = (groups[index] - groups[0])[:, None] + np.arange(
        groups[index[0] + 1] - groups[index[0]]
    )
    return places


def cosines(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the cosine of every row and the row of `others` beside it, in float64."""
    out = np.empty(len(rows))
    step = max(1, _PART_BYTES // (8 * max(1, rows.shape[1])))
    for start in range(0, len(rows), step):
        x = rows[start : start + step].astype(np.float64)
        y = others[start : start + step].astype(np.float64)
        squares = np.einsum("ij,ij->i", x, x) * np.einsum("ij,ij->i", y, y)
        out[start : start + step] = np.einsum("ij,ij->i", x, y) / np.sqrt(squares)
    return out


def gather_nearest(rows: NDArray[np.float32], groups: NDArray[np.int64], order: int) -> Nearest:
    """Return the nearest similarities and their groups, for the metrics that are numbers of these.

    `order` has no meaning: each row has one nearest.
    """
    return nearest_similarity(rows, groups), groups - groups[0]


def nearest_statistics(number: Callable[..., NDArray[np.float64]]) -> Statistics:
    """Return how a metric is ``number(nearest, **parameters)`` of what `gather_nearest` gives."""
    return Statistics(gather_nearest, lambda **_: 1, number)


class GatheredRows:
    """All rows of a corpus, and what was found of them."""

    def __init__(self) -> None:
        self.parts: list[NDArray[np.float32]] = []
        self._nearest: NDArray[np.float64] | None = None

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take one block of vectors."""
        if len(rows):
            self.parts.append(rows.copy())
            self._nearest = None

    def all(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return all rows as one group."""
        if len(self.parts) > 1:
            self.parts[:] = [np.concatenate(self.parts)]
        rows = self.parts[0] if self.parts else np.zeros((0, 0), np.float32)
        return rows, np.array([0, len(rows)], np.int64)

    def nearest(self) -> NDArray[np.float64]:
        """Return the similarity of every row and its nearest, computed once."""
        if self._nearest is None:
            self._nearest = nearest_similarity(*self.all())
        return self._nearest


class AllPairsCorpus:
    """What accumulators share that need every pair of a corpus: its rows, held once for all of them."""

    def __init__(self, **parameters: Any) -> None:
        self.parameters = parameters
        self.gathered = GatheredRows()

    @property
    def needs_rows(self) -> bool:
        """Whether the number is one of all pairs, whatever its parameters."""
        return True

    def adopt(self, other: Any) -> bool:
        """Let another accumulator of this kind read its number off the same rows."""
        if not (isinstance(other, AllPairsCorpus) and self.needs_rows and other.needs_rows):
            return False
        other.gathered = self.gathered
        return True

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take one block of vectors."""
        self.gathered.add(rows)

    def merge(self, other: Self) -> None:
        """Take what another accumulator has seen."""
        for part in other.gathered.parts:
            self.gathered.add(part)
