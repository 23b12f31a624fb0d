"""Bytes from anywhere: a file, standard input, compressed or not, told apart by content."""

from __future__ import annotations

import contextlib
import io
import json
import lzma
import mmap
import sys
import tempfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import IO, Any, BinaryIO

import pyarrow as pa

from divfast.errors import DataError, os_reason

HEAD_BYTES = 1 << 18
CHUNK_BYTES = 1 << 22

_MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\x00": "xz"}


class Source:
    """One dump on disk or on standard input.

    Parameters
    ----------
    path : str or Path
        A file, a folder, or ``-`` for standard input.
    """

    def __init__(self, path: str | Path) -> None:
        self.is_stdin = str(path) == "-"
        self.path = Path(path)
        self.name = "stdin" if self.is_stdin else str(path)
        self.consumed = 0  # bytes of the file handed out in this pass, for progress
        self._spool: IO[bytes] | None = None
        if self.is_stdin:
            self._raw_head = sys.stdin.buffer.read(HEAD_BYTES)
            return
        try:
            if self.is_directory:
                self._raw_head = b""
                return
            with self.path.open("rb") as file:
                self._raw_head = file.read(HEAD_BYTES)
        except OSError as error:
            raise DataError(f"cannot be read: {os_reason(error)}.", where=self.name) from None

    @cached_property
    def is_directory(self) -> bool:
        """Whether the path is a folder."""
        return not self.is_stdin and self.path.is_dir()

    @property
    def size(self) -> int | None:
        """Bytes on disk, None for standard input."""
        return None if self.is_stdin or self.is_directory else self.path.stat().st_size

    @cached_property
    def compression(self) -> str | None:
        """``gzip``, ``zstd``, ``xz`` or None, by the first bytes."""
        return next((name for magic, name in _MAGIC.items() if self._raw_head.startswith(magic)), None)

    @cached_property
    def head(self) -> bytes:
        """The first decompressed bytes, at most 256 KiB, without a byte order mark."""
        if self.compression is None:
            data = self._raw_head
        else:
            data = b""
            # The raw head may end inside a compressed block; what was decompressed by then is enough.
            with contextlib.suppress(DataError):
                for chunk in _decompress(io.BytesIO(self._raw_head), self.compression, self.name):
                    data += chunk
                    if len(data) >= HEAD_BYTES:
                        break
        return data[:HEAD_BYTES].removeprefix(b"\xef\xbb\xbf")

    @cached_property
    def first_record(self) -> dict[str, Any] | None:
        """The object on the first line that is not blank, where that line is a JSON object by itself."""
        for line in self.head.split(b"\n"):
            if line.strip():
                try:
                    record = json.loads(line)
                except ValueError:
                    # A first line longer than the head is read whole before it is given up.
                    return (
                        self._long_first_record()
                        if line.startswith(b"{") and b"\n" not in self.head
                        else None
                    )
                return record if isinstance(record, dict) else None
        return None

    def _long_first_record(self) -> dict[str, Any] | None:
        line = b""
        for chunk in self.chunks():
            before, newline, _ = chunk.partition(b"\n")
            line += before
            if newline:
                break
        try:
            record = json.loads(line)
        except ValueError:
            return None
        return record if isinstance(record, dict) else None

    @property
    def starts_document(self) -> str:
        """The first character that is not white space, or an empty string."""
        return self.head.lstrip()[:1].decode("latin-1")

    def rewindable(self) -> None:
        """Keep standard input, in memory while it is small, so that it can be read more than once."""
        if not self.is_stdin or self._spool is not None:
            return
        self._spool = tempfile.SpooledTemporaryFile(max_size=1 << 26, prefix="divfast-")  # noqa: SIM115
        try:
            self._spool.write(self._raw_head)
            while block := sys.stdin.buffer.read(CHUNK_BYTES):
                self._spool.write(block)
        except OSError as error:
            raise DataError(
                f"cannot be kept in a temporary file: {os_reason(error)}.",
                where=self.name,
                remedy="Set TMPDIR to a folder with room, or give the dump as a file.",
            ) from None

    def _raw(self) -> BinaryIO:
        if not self.is_stdin:
            return self.path.open("rb")
        self.rewindable()
        assert self._spool is not None
        self._spool.seek(0)
        return io.BufferedReader(_Unclosed(self._spool))

    def chunks(self) -> Iterator[bytes]:
        """Yield the decompressed bytes in order."""
        try:
            with self._raw() as raw:
                if self.compression is None:
                    while block := raw.read(CHUNK_BYTES):
                        self.consumed += len(block)
                        yield block
                else:
                    for block in _decompress(raw, self.compression, self.name):
                        self.consumed = raw.tell()
                        yield block
        except OSError as error:
            raise DataError(f"cannot be read: {os_reason(error)}.", where=self.name) from None

    @contextlib.contextmanager
    def mapped(self) -> Iterator[memoryview | None]:
        """Give the bytes of a plain file without reading them, or None where that is not possible."""
        if self.is_stdin or self.compression is not None or not self.size:
            yield None
            return
        with self.path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            if hasattr(mmap, "MADV_SEQUENTIAL"):
                data.madvise(mmap.MADV_SEQUENTIAL)
            view = memoryview(data)
            try:
                yield view
            finally:
                view.release()

    def read_all(self) -> bytes:
        """Return the whole of it; for formats that are one document."""
        return b"".join(self.chunks()).removeprefix(b"\xef\xbb\xbf")

    def seekable(self) -> BinaryIO:
        """Return a file that can seek, for formats with an index at the end (Parquet, zip)."""
        if self.compression is not None:
            return io.BytesIO(self.read_all())
        return self._raw()


class _Unclosed(io.RawIOBase):
    """A file that outlives those who read it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def readinto(self, buffer: Any) -> int:
        data = self._file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _decompress(raw: BinaryIO, kind: str, name: str) -> Iterator[bytes]:
    if kind == "zstd":
        yield from _zstd(raw, name)
        return
    broken = DataError(
        f"the {kind} data ends early or is damaged.", where=name, remedy="Copy or compress the file again."
    )
    # Gzip and xz files may hold several members one after the other.
    decoder: Any = None
    pending = b""
    try:
        while block := pending or raw.read(CHUNK_BYTES):
            if decoder is None:
                if kind == "xz" and not block.strip(b"\x00"):
                    pending = b""
                    continue
                if kind == "gzip" and not block.startswith(b"\x1f"):
                    if block.strip(b"\x00"):
                        raise broken
                    pending = b""
                    continue
                decoder = zlib.decompressobj(31) if kind == "gzip" else lzma.LZMADecompressor()
            yield decoder.decompress(block)
            pending = b""
            if decoder.eof:
                pending = decoder.unused_data
                decoder = None
    except (zlib.error, lzma.LZMAError):
        raise broken from None
    if decoder is not None:
        raise broken


def _zstd(raw: BinaryIO, name: str) -> Iterator[bytes]:
    try:
        with pa.CompressedInputStream(raw, "zstd") as stream:
            while block := stream.read(CHUNK_BYTES):
                yield block
    except (OSError, pa.ArrowException):
        raise DataError(
            "the zstd data ends early or is damaged.", where=name, remedy="Copy or compress the file again."
        ) from None
