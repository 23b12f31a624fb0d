"""Gzip, zstd and xz streams, of one member or of many, in bounded memory."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from divfast.errors import DataError

CHUNK_BYTES = 1 << 20

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\x00": "xz"}


def compression_of(head: bytes) -> str | None:
    """Return ``gzip``, ``zstd``, ``xz`` or None, by the first bytes."""
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def decompress(raw: BinaryIO, kind: str, name: str, size: int = CHUNK_BYTES) -> Iterator[bytes]:
    """Yield what a compressed file holds, at most `size` bytes at a time.

    Raises
    ------
    DataError
        Where the data are cut off or damaged.
    """
    try:
        for block in _zstd(raw, size) if kind == "zstd" else _members(raw, kind, size):
            if block:
                yield block
    except (EOFError, zlib.error, lzma.LZMAError, pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"the {kind} data end early or are damaged.",
            where=name,
            remedy="Copy or compress the file again.",
        ) from None


def _zstd(raw: BinaryIO, size: int) -> Iterator[bytes]:
    with pa.CompressedInputStream(pa.PythonFile(_Open(raw), "r"), "zstd") as stream:
        while block := stream.read(size):
            yield block


def _members(raw: BinaryIO, kind: str, size: int) -> Iterator[bytes]:
    """Members follow each other, and zeros may follow the last."""
    pending = raw.read(CHUNK_BYTES)
    while pending:
        decoder: Any = _Gzip() if kind == "gzip" else lzma.LZMADecompressor(lzma.FORMAT_XZ)
        while not decoder.eof:
            if decoder.needs_input and not pending:
                pending = raw.read(CHUNK_BYTES)
                if not pending:
                    raise EOFError
            yield decoder.decompress(pending, size)
            pending = b""
        pending = decoder.unused_data.lstrip(b"\x00")
        while not pending and (block := raw.read(CHUNK_BYTES)):
            pending = block.lstrip(b"\x00")


class _Gzip:
    """The interface of `lzma.LZMADecompressor` for gzip."""

    def __init__(self) -> None:
        self._decoder = zlib.decompressobj(31)

    @property
    def eof(self) -> bool:
        return self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return not self._decoder.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._decoder.unused_data

    def decompress(self, data: bytes, limit: int) -> bytes:
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, limit)


class _Open:
    """A file that Arrow reads but does not close."""

    def __init__(self, raw: BinaryIO) -> None:
        self.read = raw.read
        self.tell = raw.tell
        self.closed = False

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        """Leave the file to who opened it."""
