"""Bytes from anywhere: a file, a pipe, standard input, compressed or not, told apart by content."""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import IO, Any, BinaryIO

from divfast.errors import DataError, os_reason
from divfast.readers.compressed import compression_of, decompress
from divfast.readers.fields import Fields, Malformed, elements

HEAD_BYTES = 1 << 16
CHUNK_BYTES = 1 << 20

_BOM = b"\xef\xbb\xbf"


class Source:
    """One dump on disk or on standard input.

    Parameters
    ----------
    path : str or Path
        A file, a folder, a named pipe, or ``-`` for standard input.
    """

    def __init__(self, path: str | Path) -> None:
        self._is_stdin = str(path) == "-"
        self.path = Path(path)
        self.name = "stdin" if self._is_stdin else str(path)
        self.consumed = 0  # bytes of the file handed out in this pass, for progress
        self._spool: IO[bytes] | None = None
        self._pipe: IO[bytes] | None = None
        with self._readable():
            if self._is_stdin:
                self._pipe = sys.stdin.buffer
            elif not self.is_directory and not self.path.is_file():
                self._pipe = self.path.open("rb")
            if self._pipe is not None:
                self._raw_head = self._pipe.read(HEAD_BYTES)
            elif self.is_directory:
                self._raw_head = b""
            else:
                with self.path.open("rb") as file:
                    self._raw_head = file.read(HEAD_BYTES)

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(
                f"cannot be read: {os_reason(error)}.",
                where=self.name,
                remedy="Check the path and its permissions.",
            ) from None

    @cached_property
    def is_directory(self) -> bool:
        """Whether the path is a folder."""
        return not self._is_stdin and self.path.is_dir()

    @property
    def size(self) -> int | None:
        """Bytes on disk, None for a folder or a pipe."""
        return None if self._pipe is not None or self.is_directory else self.path.stat().st_size

    @cached_property
    def compression(self) -> str | None:
        """``gzip``, ``zstd``, ``xz`` or None, by the first bytes."""
        return compression_of(self._raw_head)

    @cached_property
    def head(self) -> bytes:
        """The first decompressed bytes, at most 64 KiB, without a byte order mark."""
        if self.compression is None:
            data = self._raw_head
        else:
            data = b""
            try:
                for chunk in decompress(io.BytesIO(self._raw_head), self.compression, self.name, 1 << 14):
                    data += chunk
                    if len(data) >= HEAD_BYTES:
                        break
            except DataError:
                # The raw head may end inside a compressed block; what was decompressed by then is enough.
                if len(self._raw_head) < HEAD_BYTES:
                    raise
        return data[:HEAD_BYTES].removeprefix(_BOM)

    @cached_property
    def starts_document(self) -> str:
        """The first character that is not white space, or an empty string."""
        return self.head.lstrip()[:1].decode("latin-1")

    @property
    def is_list(self) -> bool:
        """Whether the whole of it looks like one JSON list."""
        return self.starts_document == "["

    @cached_property
    def first_record(self) -> Mapping[str, Any] | None:
        """The first record: the first line that is a JSON object by itself, or the first element of a JSON list.

        Lines before it that are broken are passed over, since they may be skipped; a document of one object that
        is spread over several lines has no such line.
        """
        if self.is_list:
            return self._first_element()
        if self.starts_document != "{":
            return None
        lines = [line for line in self.head.split(b"\n") if line.strip()]
        if len(lines) == 1 and len(self.head) >= HEAD_BYTES - len(_BOM):
            # A first line longer than the head is read whole before it is given up.
            with contextlib.closing(self.windows(HEAD_BYTES)) as windows:
                lines = [bytes(next(windows, b"")).split(b"\n")[0]]
        elif lines[0].rstrip()[-1:] in b"{[,":
            return None
        for line in lines:
            with contextlib.suppress(Malformed):
                return Fields(line)
        return None

    def _first_element(self) -> Mapping[str, Any] | None:
        text = self.head.lstrip()[1:].lstrip()
        if not text.startswith(b"{"):
            return None
        try:
            _, stop = json.JSONDecoder().raw_decode(text.decode("utf-8", "replace"))
            return Fields(text.decode("utf-8", "replace")[:stop].encode(), allow_nan=True)
        except (ValueError, RecursionError, Malformed):
            pass
        if len(self.head) < HEAD_BYTES - len(_BOM):
            return None
        with contextlib.suppress(Malformed, DataError):
            data = memoryview(self.read_all())
            for start, stop in elements(data, allow_nan=True)[:1].tolist():
                return Fields(data[start:stop], allow_nan=True)
        return None

    def _rewindable(self) -> IO[bytes]:
        """Keep what comes through a pipe, in memory while it is small, so that it can be read more than once."""
        if self._spool is None:
            assert self._pipe is not None
            self._spool = tempfile.SpooledTemporaryFile(max_size=1 << 26, prefix="divfast-")  # noqa: SIM115
            try:
                self._spool.write(self._raw_head)
                while block := self._pipe.read(CHUNK_BYTES):
                    self._spool.write(block)
            except OSError as error:
                raise DataError(
                    f"cannot be kept in a temporary file: {os_reason(error)}.",
                    where=self.name,
                    remedy="Set TMPDIR to a folder with room, or give the dump as a file.",
                ) from None
        return self._spool

    def _raw(self) -> BinaryIO:
        if self._pipe is None:
            return self.path.open("rb")
        spool = self._rewindable()
        spool.seek(0)
        return io.BufferedReader(_Unclosed(spool))

    def chunks(self, size: int = CHUNK_BYTES) -> Iterator[bytes]:
        """Yield the decompressed bytes in order, at most `size` at a time, without a byte order mark."""
        with self._readable(), self._raw() as raw:
            first = True
            for block in self._blocks(raw, size):
                yield block.removeprefix(_BOM) if first else block
                first = False

    def _blocks(self, raw: BinaryIO, size: int) -> Iterator[bytes]:
        if self.compression is not None:
            for block in decompress(raw, self.compression, self.name, size):
                self.consumed = raw.tell()
                yield block
            return
        while block := raw.read(size):
            self.consumed += len(block)
            yield block

    def windows(self, size: int) -> Generator[memoryview | bytes, None, None]:
        """Yield whole lines, about `size` bytes of them at a time; the next but one may overwrite what was yielded."""
        if self.compression is not None:
            yield from _whole_lines(self.chunks(max(len(_BOM), min(size, CHUNK_BYTES))), size)
            return
        with self._readable(), self._raw() as raw:
            if raw.read(len(_BOM)) != _BOM:
                raw.seek(0)
            # Two buffers for all windows: fresh memory costs more than the reading.
            room = max(1, min(size, (self.size or size) + 1))
            buffer, other = bytearray(room), bytearray(room)
            held = 0
            while True:
                got = raw.readinto(memoryview(buffer)[held:])  # type: ignore[attr-defined]
                self.consumed += got
                held += got
                cut = buffer.rfind(b"\n", 0, held) + 1 if got else held
                if cut:
                    rest = held - cut
                    yield memoryview(buffer)[:cut]
                    # Only now is the window before this one done with.
                    if len(other) < len(buffer):
                        other = bytearray(len(buffer))
                    other[:rest] = memoryview(buffer)[cut:held]
                    buffer, other, held = other, buffer, rest
                if not got:
                    return
                if held == len(buffer):
                    # A line longer than the buffer. The old one may still be looked at, so it cannot grow.
                    buffer = buffer + bytes(held)

    def read_all(self) -> bytes:
        """Return the whole of it; for formats that are one document."""
        return b"".join(self.chunks())

    @contextlib.contextmanager
    def seekable(self) -> Iterator[BinaryIO]:
        """Give a file that can seek, for formats with an index at the end (Parquet, zip)."""
        if self.compression is not None:
            yield io.BytesIO(self.read_all())
            return
        with self._readable():
            file = self._raw()
        with file:
            yield file


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


def _whole_lines(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    pending: list[bytes] = []
    held = 0
    for chunk in chain(chunks, (b"",)):
        pending.append(chunk)
        held += len(chunk)
        if held >= size and b"\n" in chunk:
            whole = b"".join(pending)
            cut = whole.rfind(b"\n") + 1
            yield whole[:cut]
            pending = [whole[cut:]]
            held = len(pending[0])
    if held:
        yield b"".join(pending)
