"""All vectors of a corpus as one matrix: in memory, or in a temporary file where memory is short."""

from __future__ import annotations

import tempfile
from typing import IO, Any, Self

import numpy as np
from numpy.typing import NDArray

from divfast.errors import DataError, os_reason


class VectorStore:
    """Collects rows block by block.

    Parameters
    ----------
    memory : int, optional
        About how many bytes all work may take: past half of it the rows go to a temporary file, which is mapped.

    Examples
    --------
    >>> with VectorStore(None) as store:
    ...     store.add(np.ones((2, 3), np.float32))
    ...     store.add(np.zeros((1, 3), np.float32))
    ...     store.rows().shape
    (3, 3)
    """

    def __init__(self, memory: int | None) -> None:
        self._limit = None if memory is None else memory // 2
        self._held: NDArray[np.float32] = np.zeros((0, 0), np.float32)
        self._count = 0
        self._width = 0
        self._spool: IO[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._spool is not None:
            self._spool.close()

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take a block of rows, ``float32[n, d]``, of the same d as those before."""
        if not len(rows):
            return
        n, d = rows.shape
        if self._count and d != self._width:
            raise DataError(
                f"vectors of {d} dimensions follow vectors of {self._width}.",
                remedy="Give embeddings of one encoder for all dumps.",
            )
        if self._spool is None and self._limit is not None and 4 * d * (self._count + n) > self._limit:
            self._spool = tempfile.TemporaryFile(prefix="divfast-")  # noqa: SIM115
            self._write(self._held[: self._count])
            self._held = np.zeros((0, d), np.float32)
        if self._spool is not None:
            self._write(rows)
        else:
            if self._count + n > len(self._held):
                # In place where the system can move pages: a copy would hold everything twice.
                grown = max(self._count + n, len(self._held) * 3 // 2)
                self._held.resize((grown, d), refcheck=False)
            self._held[self._count : self._count + n] = rows
        self._width, self._count = d, self._count + n

    def _write(self, rows: NDArray[Any]) -> None:
        assert self._spool is not None
        try:
            self._spool.write(np.ascontiguousarray(rows).data)
        except OSError as error:
            raise DataError(
                f"the vectors do not fit the memory and cannot be kept in a temporary file: {os_reason(error)}.",
                remedy="Set TMPDIR to a folder with room, or name a larger --memory.",
            ) from None

    def rows(self) -> NDArray[np.float32]:
        """Return all rows, ``float32[n, d]``."""
        if not self._count:
            return np.zeros((0, 1), np.float32)
        if self._spool is None:
            return self._held[: self._count]
        self._spool.flush()
        return np.memmap(self._spool, np.float32, "r", shape=(self._count, self._width))
