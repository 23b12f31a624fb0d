"""What was computed from a text, kept by the content of that text, in write-once Arrow files.

A folder holds one recipe (model, revision, pooling, length, dtype). Every flush makes one immutable file:
written under a temporary name in the same folder, then renamed. So there is no lock to hold or to lose:
readers see whole files only, any number of processes may write, a kill leaves at most a temporary file, and
the worst that two writers do is to store a row twice.
"""

from __future__ import annotations

import hashlib
import itertools
import os
import time
import uuid
import warnings
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from divfast.errors import DivfastWarning, os_reason
from divfast.samples import Ragged

KEY_BYTES = 16
_FORMAT = {b"divfast": b"cache-1"}
_STALE_SECONDS = 86_400
_SMALL_BYTES = 1 << 20
_SMALL_FILES = 64
_SEGMENTS = 16

Keys = NDArray[np.uint64]


def content_keys(rows: Ragged) -> Keys:
    """Return the first 16 bytes of BLAKE2b of every row of a ``uint8`` tape, ``uint64[n, 2]``."""
    start, stop = int(rows.offsets[0]), int(rows.offsets[-1])
    tape = memoryview(rows.values[start:stop].tobytes())
    bounds = (rows.offsets - start).tolist()
    digest = hashlib.blake2b
    keys = b"".join(
        [digest(tape[a:b], digest_size=KEY_BYTES).digest() for a, b in itertools.pairwise(bounds)]
    )
    return np.frombuffer(keys, np.uint64).reshape(-1, 2)


@dataclass(frozen=True)
class _Segment:
    """Where each key lies: file number and row, sorted by the first word of the key."""

    first: NDArray[np.uint64]
    second: NDArray[np.uint64]
    file: NDArray[np.int32]
    row: NDArray[np.int32]

    @classmethod
    def of(cls, keys: Keys, file: int) -> _Segment:
        order = np.argsort(keys[:, 0], kind="stable")
        return cls(
            np.ascontiguousarray(keys[order, 0]),
            np.ascontiguousarray(keys[order, 1]),
            np.full(len(keys), file, np.int32),
            order.astype(np.int32),
        )

    @classmethod
    def merged(cls, parts: list[_Segment]) -> _Segment:
        first = np.concatenate([part.first for part in parts])
        order = np.argsort(first, kind="stable")
        columns = [
            np.concatenate([getattr(part, name) for part in parts])[order]
            for name in ("second", "file", "row")
        ]
        return cls(first[order], *columns)


class ContentCache:
    """Rows of numbers by the content that they were computed from.

    Parameters
    ----------
    folder : pathlib.Path or None
        One folder for one recipe; made when something is first written. None keeps rows in memory alone.
    width : int
        Numbers in a row.
    dtype : numpy.dtype
        Of the rows.
    flush_bytes : int
        Rows are written once this much is waiting, so a killed run loses no more.

    Warns
    -----
    DivfastWarning
        For a file in the folder that is torn or foreign (it is ignored), and, once, where nothing can be
        written (what was to be kept is forgotten, and look-ups go on).

    Notes
    -----
    Opening reads the keys of every file and maps the rest; 24 bytes of memory for every row that is kept. A
    look-up compares 128 bits. Two keys that share their first 64 bits are never confused, but one of them may
    be reported missing.
    """

    def __init__(
        self,
        folder: Path | None,
        *,
        width: int,
        dtype: np.dtype[np.generic] | type[np.generic] = np.float32,
        flush_bytes: int = 32 << 20,
    ) -> None:
        self.folder = folder
        self.width = width
        self.dtype = np.dtype(dtype)
        self.flush_bytes = flush_bytes
        self._schema = pa.schema(
            [("key", pa.binary(KEY_BYTES)), ("row", pa.list_(pa.from_numpy_dtype(self.dtype), width))],
            metadata=_FORMAT,
        )
        self._files: list[NDArray[np.generic]] = []
        self._segments: list[_Segment] = []
        self._waiting: list[tuple[Keys, NDArray[np.generic]]] = []
        self._waiting_bytes = 0
        self._writable = True
        if folder is not None:
            self._open(folder)

    def __len__(self) -> int:
        """Number of rows that a look-up can find; a row stored twice counts twice."""
        return sum(len(segment.first) for segment in self._segments)

    def lookup(self, keys: Keys, out: NDArray[np.generic]) -> NDArray[np.bool_]:
        """Copy the row of every key that is kept into the same row of `out`.

        Parameters
        ----------
        keys : numpy.ndarray
            ``uint64[n, 2]`` of `content_keys`.
        out : numpy.ndarray
            ``dtype[n, width]``; rows of missing keys stay as they are.

        Returns
        -------
        numpy.ndarray
            ``bool[n]``, whether the key was found.
        """
        found = np.zeros(len(keys), np.bool_)
        for segment in self._segments:
            wanted = np.flatnonzero(~found)
            at = np.searchsorted(segment.first, keys[wanted, 0])
            inside = at < len(segment.first)
            wanted, at = wanted[inside], at[inside]
            same = (segment.first[at] == keys[wanted, 0]) & (segment.second[at] == keys[wanted, 1])
            wanted, at = wanted[same], at[same]
            found[wanted] = True
            files = segment.file[at]
            for file in np.unique(files):
                here = files == file
                out[wanted[here]] = self._files[file][segment.row[at[here]]]
        return found

    def add(self, keys: Keys, rows: NDArray[np.generic]) -> None:
        """Keep rows under their keys; they are found by look-ups after the next flush."""
        if not self._writable or not len(keys):
            return
        rows = np.array(rows, self.dtype, order="C")
        self._waiting.append((keys.copy(), rows))
        self._waiting_bytes += rows.nbytes
        if self._waiting_bytes >= self.flush_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting as one file."""
        if not self._waiting:
            return
        keys = np.concatenate([keys for keys, _ in self._waiting])
        rows = np.concatenate([rows for _, rows in self._waiting])
        self._waiting, self._waiting_bytes = [], 0
        if self.folder is None:
            self._hold(keys, rows)
            return
        path = self._write(self.folder, keys, rows)
        if path is not None:
            self._index(path)

    def _write(self, folder: Path, keys: Keys, rows: NDArray[np.generic]) -> Path | None:
        name = uuid.uuid4().hex
        temporary = folder / f".{name}.tmp"
        path = folder / f"{name}.arrow"
        batch = pa.record_batch(
            [
                pa.FixedSizeBinaryArray.from_buffers(
                    pa.binary(KEY_BYTES), len(keys), [None, pa.py_buffer(np.ascontiguousarray(keys))]
                ),
                pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), self.width),
            ],
            schema=self._schema,
        )
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with temporary.open("xb") as sink:
                with pa.ipc.new_file(sink, self._schema) as writer:
                    writer.write_batch(batch)
                # Without this a power cut could leave a file that has its final name and size but not its
                # bytes.
                sink.flush()
                os.fsync(sink.fileno())
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            self._writable = False
            warnings.warn(
                f"{folder}: nothing can be cached here, {os_reason(error)}; scoring goes on without. "
                "Name another folder in DIVFAST_CACHE.",
                DivfastWarning,
                stacklevel=2,
            )
            return None
        return path

    def _open(self, folder: Path) -> None:
        try:
            paths = sorted(folder.iterdir())
        except FileNotFoundError:
            return
        except OSError as error:
            self._writable = False
            warnings.warn(
                f"{folder}: the cache cannot be read, {os_reason(error)}; scoring goes on without. "
                "Name another folder in DIVFAST_CACHE.",
                DivfastWarning,
                stacklevel=3,
            )
            return
        small: list[tuple[Path, Keys, int]] = []
        for path in paths:
            if path.suffix == ".tmp" and path.name.startswith("."):
                _remove_stale(path)
            elif path.suffix == ".arrow" and (keys := self._index(path)) is not None:
                rows = self._files[-1]
                if rows.nbytes < _SMALL_BYTES:
                    small.append((path, keys, len(self._files) - 1))
        self._segments = [_Segment.merged(self._segments)] if self._segments else []
        if len(small) > _SMALL_FILES:
            self._compact(folder, small)

    def _index(self, path: Path) -> Keys | None:
        try:
            keys, rows = self._map(path)
        except FileNotFoundError:
            # Another process has just put small files together.
            return None
        except (OSError, pa.ArrowException, ValueError) as error:
            reason = os_reason(error) if isinstance(error, PermissionError) else "it is torn or foreign"
            text = f"{path}: ignored in the cache, {reason}; it can be deleted."
            warnings.warn(text, DivfastWarning, stacklevel=4)
            return None
        self._hold(keys, rows)
        return keys

    def _hold(self, keys: Keys, rows: NDArray[np.generic]) -> None:
        self._files.append(rows)
        self._segments.append(_Segment.of(keys, len(self._files) - 1))
        if len(self._segments) > _SEGMENTS:
            self._segments = [_Segment.merged(self._segments)]

    def _map(self, path: Path) -> tuple[Keys, NDArray[np.generic]]:
        # Closing gives the file descriptor back; the arrays keep the mapping itself alive.
        with pa.memory_map(str(path)) as source:
            reader = pa.ipc.open_file(source)
            if not reader.schema.equals(self._schema, check_metadata=True) or reader.num_record_batches != 1:
                raise pa.ArrowInvalid("another layout")
            batch = reader.get_batch(0)
            batch.validate()
            keys, rows = batch.column(0), batch.column(1)
            if keys.null_count or rows.null_count:
                raise pa.ArrowInvalid("nulls")
            words = np.frombuffer(keys.buffers()[1], np.uint64, count=2 * len(keys)).reshape(-1, 2)
            return words.copy(), rows.flatten().to_numpy(zero_copy_only=True).reshape(len(keys), self.width)

    def _compact(self, folder: Path, small: list[tuple[Path, Keys, int]]) -> None:
        # A training loop that scores every few steps leaves one small file a call; opening thousands takes
        # seconds. Should another process do the same now, rows are stored twice; should it miss a file, it
        # encodes again.
        keys = np.concatenate([keys for _, keys, _ in small])
        rows = np.concatenate([self._files[file] for _, _, file in small])
        _, once = np.unique(keys, axis=0, return_index=True)
        if self._write(folder, keys[once], rows[once]) is None:
            return
        for path, _, _ in small:
            with suppress(OSError):
                path.unlink(missing_ok=True)


def _remove_stale(path: Path) -> None:
    # A younger one may belong to a process that is still writing.
    with suppress(OSError):
        if time.time() - path.stat().st_mtime > _STALE_SECONDS:
            path.unlink(missing_ok=True)
