"""The tokens of a corpus that arrives in blocks, in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO

import numpy as np
from numpy.typing import NDArray

from divfast import engine
from divfast.errors import DataError, os_reason
from divfast.samples import Ragged

_TOKEN = np.dtype(np.uint64)


class TokenTape:
    """Tokens as they came or, past a third of `engine.memory`, in a temporary file.

    The file has no name once it is open, so it is gone however the process ends.
    """

    def __init__(self) -> None:
        self.blocks: list[NDArray[np.uint64]] = []
        self.file: IO[bytes] | None = None
        self._lengths: list[NDArray[np.int64]] = []
        self._held = 0

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of every row, ``int64[n]``."""
        return np.concatenate([np.zeros(0, np.int64), *self._lengths])

    def add(self, rows: Ragged) -> None:
        """Take one block of tokens; where it stays in memory, it is not copied."""
        self._take(rows.values[rows.offsets[0] : rows.offsets[-1]], rows.lengths)

    def merge(self, other: TokenTape) -> None:
        """Take what another tape has."""
        for values, lengths in other:
            self._take(values, lengths)

    def __iter__(self) -> Iterator[tuple[NDArray[np.uint64], NDArray[np.int64]]]:
        """Yield the blocks and the lengths of their rows."""
        if self.file is None:
            yield from zip(self.blocks, list(self._lengths), strict=True)
            return
        position = 0
        for lengths in list(self._lengths):
            size = int(lengths.sum()) * _TOKEN.itemsize
            self.file.seek(position)
            position += size
            yield np.frombuffer(self.file.read(size), _TOKEN), lengths

    def _take(self, values: NDArray[np.uint64], lengths: NDArray[np.int64]) -> None:
        self._lengths.append(lengths)
        self.blocks.append(values)
        self._held += values.nbytes
        limit = engine.memory()
        if self.file is not None or (limit is not None and self._held > limit // 3):
            self._spill()

    def _spill(self) -> None:
        try:
            if self.file is None:
                self.file = tempfile.TemporaryFile(prefix="divfast-")  # noqa: SIM115 - open as long as the tape
            self.file.seek(0, 2)
            for block in self.blocks:
                self.file.write(np.ascontiguousarray(block).data)
            self.file.flush()
        except OSError as error:
            raise DataError(
                f"the tokens of the corpus cannot be put aside: {os_reason(error)}.",
                where=tempfile.gettempdir(),
                remedy="Make room, name another folder with TMPDIR, or allow more with --memory.",
            ) from None
        self.blocks = []
        self._held = 0
