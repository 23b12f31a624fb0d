"""Rows of any view: what the loop, random subsets and the reference need to do with them.

Rows are a `Ragged`, an array with one row a sample, or an object of a view's own with the methods of `Rows`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from divfast.samples import Ragged

Offsets = NDArray[np.int64]


class Rows(Protocol):
    """Rows that are neither a `Ragged` nor an array."""

    def __len__(self) -> int: ...

    def take(self, index: NDArray[np.int64]) -> Self:
        """Return the rows that `index` names, in its order, copied."""

    def joined(self, others: Sequence[Self]) -> Self:
        """Return these rows and those of the others, one after the other."""

    def tape(self) -> tuple[NDArray[np.uint8], Offsets]:
        """Return bytes that tell the rows apart, and where those of each begin and end, ``int64[n + 1]``."""

    def plain(self) -> Any:
        """Return the rows as the reference takes them."""


def take_rows(rows: Any, index: NDArray[np.int64]) -> Any:
    """Return the rows that `index` names, in its order."""
    return rows[index] if isinstance(rows, np.ndarray) else rows.take(index)


def concat_rows(parts: Sequence[Any]) -> Any:
    """Return the rows of all parts, one part after the other."""
    if isinstance(parts[0], Ragged):
        return Ragged.concat(parts)
    return np.concatenate(parts) if isinstance(parts[0], np.ndarray) else parts[0].joined(parts[1:])


def rows_tape(rows: Any) -> tuple[NDArray[np.uint8], Offsets]:
    """Return rows as a tape of bytes and its offsets; those of a `Ragged` or an array are not copied."""
    if isinstance(rows, Ragged):
        width = rows.values.dtype.itemsize
        return np.ascontiguousarray(rows.values).view(np.uint8), rows.offsets * width
    if isinstance(rows, np.ndarray):
        values = np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
        return values, np.arange(len(rows) + 1) * (len(values) // max(1, len(rows)))
    values, offsets = rows.tape()
    return values, offsets


def row_bytes(rows: Any) -> NDArray[np.int64]:
    """Return about how many bytes each row takes, ``int64[n]``."""
    return np.diff(rows_tape(rows)[1]) + 8


def plain_rows(rows: Any) -> Any:
    """Return rows as the reference takes them: strings, lists of tokens, float64 vectors, or what the view says."""
    if isinstance(rows, Ragged):
        return rows.strings() if rows.values.dtype == np.uint8 else [row.tolist() for row in rows]
    return np.asarray(rows, np.float64) if isinstance(rows, np.ndarray) else rows.plain()
