"""Embeddings that the user brings: a ``.npy`` file, a Parquet column, an array or tensor in memory."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import engine
from divfast.errors import DataError, nearest, os_reason
from divfast.samples import Samples

Progress = Callable[[int, int, str], None]

# Rows are taken a few at a time, so that no copy of a whole file is ever held.
_STEP_BYTES = 8 << 20


class EmbeddingView:
    """Rows that were computed elsewhere, in the order of the samples in the dump.

    Parameters
    ----------
    values : numpy.ndarray
        ``[n, d]``, numbers of any kind; may be memory-mapped.
    source : str
        What to call it in messages.
    progress : callable, optional
        Called with rows hashed, rows in all, ``"rows"``.
    """

    def __init__(self, values: NDArray[Any], source: str, progress: Progress | None = None) -> None:
        if values.ndim != 2 or (len(values) and not values.shape[1]):
            raise DataError(
                f"embeddings must be a matrix with one row a sample, got the shape {values.shape}.",
                where=source,
            )
        if values.dtype.kind not in "fiu":
            raise DataError(f"embeddings must be numbers, got {values.dtype}.", where=source)
        self.values = values
        self.source = source
        self._progress = progress

    @cached_property
    def signature(self) -> str:
        """``emb:`` and the start of a hash of the content, and the dimensions: ``emb:1f2e3d4c/384``.

        The hash is of the float32 values, so the same numbers from a file and from memory have the same one.
        """
        n, d = self.values.shape
        step = max(1, _STEP_BYTES // (4 * max(1, d)))

        def digest(start: int) -> bytes:
            with np.errstate(over="ignore"):
                part = np.ascontiguousarray(self.values[start : start + step], "<f4")
            return hashlib.blake2b(part.data, digest_size=16).digest()

        whole = hashlib.blake2b(f"{n}x{d}".encode(), digest_size=16)
        for i, part in enumerate(engine.map_ordered(digest, range(0, n, step))):
            whole.update(part)
            if self._progress:
                self._progress(min(n, (i + 1) * step), n, "rows")
        return f"emb:{whole.hexdigest()[:8]}/{d}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Where the rows come from."""
        return {"embeddings": self.source, "rows": len(self.values)}

    def build(self, samples: Samples) -> NDArray[np.float32]:
        """Return the unit row of every sample, ``float32[n, d]``.

        Raises
        ------
        DataError
            For a sample without a row, and for a row that has no direction: NaN, infinite or zero.
        """
        positions = samples.positions
        if len(positions) and int(positions.max()) >= len(self.values):
            raise DataError(
                f"{len(self.values):,} embeddings, but the dump has more samples than that.",
                where=self.source,
                remedy="Give one embedding for each sample, in the order of the dump.",
            )
        d = self.values.shape[1]
        out = np.empty((len(positions), d), np.float32)
        step = max(1, _STEP_BYTES // (8 * max(1, d)))
        for start in range(0, len(positions), step):
            self._unit(positions[start : start + step], out[start : start + step])
        return out

    def _unit(self, rows: NDArray[np.int64], out: NDArray[np.float32]) -> None:
        first, last = int(rows[0]), int(rows[-1])
        in_order = last - first == len(rows) - 1 and bool(np.all(np.diff(rows) == 1))
        values = self.values[first : last + 1] if in_order else self.values[rows]
        values = values.astype(np.float64)
        # The largest is taken out first: squares of float64 can overflow and vanish.
        scale = np.abs(values).max(axis=1)
        bad = ~np.isfinite(scale) | (scale == 0)
        if bad.any():
            at = int(np.argmax(bad))
            what = "is all zeros, so it has no direction" if scale[at] == 0 else "holds NaN or infinity"
            raise DataError(
                f"row {rows[at]} {what}.",
                where=self.source,
                remedy="Rows are counted from 0, in the order of the dump.",
            )
        values /= scale[:, None]
        values /= np.sqrt(np.einsum("ij,ij->i", values, values))[:, None]
        out[:] = values

    def finish(self, samples: int) -> None:
        """Raise `DataError` unless there was one row for each of the samples seen in all."""
        if samples != len(self.values):
            raise DataError(
                f"{len(self.values):,} embeddings for {samples:,} samples.",
                where=self.source,
                remedy="Give one embedding for each sample, in the order of the dump.",
            )


def open_embeddings(source: Any, *, progress: Progress | None = None) -> EmbeddingView:
    """Open embeddings that the user brings; row i belongs to the i-th sample of the dump.

    Parameters
    ----------
    source : str, os.PathLike, numpy.ndarray, torch.Tensor or sequence
        A ``.npy`` file, which is memory-mapped; ``FILE.parquet:COLUMN``, a list column, which is streamed
        into a temporary file (of ``4 n d`` bytes, in ``TMPDIR``); or a matrix in memory.
    progress : callable, optional
        ``progress(done, total, unit)``, called now and then during long work.

    Raises
    ------
    DataError
        Where the source cannot be read or is not a matrix of numbers.

    Examples
    --------
    >>> view = open_embeddings(np.array([[3.0, 4.0], [0.0, 2.0]]))
    >>> view.build(Samples.from_lists([["a", "b"]])).tolist()
    [[0.6000000238418579, 0.800000011920929], [0.0, 1.0]]
    """
    if not isinstance(source, (str, os.PathLike)):
        return EmbeddingView(_in_memory(source), "embeddings", progress)
    text = os.fspath(source)
    path, column = Path(text), None
    if not path.exists() and ":" in text:
        file, _, column = text.rpartition(":")
        path = Path(file)
    if not path.exists():
        raise DataError("no such file.", where=str(path), remedy="Give a .npy file, or FILE.parquet:COLUMN.")
    try:
        with path.open("rb") as file_start:
            magic = file_start.read(6)
    except OSError as error:
        raise DataError(f"cannot be read, {os_reason(error)}.", where=str(path)) from error
    if magic.startswith(b"PAR1"):
        return EmbeddingView(_parquet(path, column, progress), text, progress)
    if magic == b"\x93NUMPY":
        try:
            return EmbeddingView(np.load(path, mmap_mode="r", allow_pickle=False), text, progress)
        except (ValueError, OSError) as error:
            reason = str(error).split("\n")[0].rstrip(".")
            raise DataError(f"not a whole .npy file of numbers: {reason}.", where=text) from error
    raise DataError("neither .npy nor Parquet.", where=text, remedy="Save a matrix with numpy.save.")


def _in_memory(source: Any) -> NDArray[Any]:
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(source, torch.Tensor):
        tensor = source.detach().cpu()
        # NumPy has no bfloat16.
        array: NDArray[Any] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
        return array
    try:
        return np.asarray(source)
    except ValueError as error:
        raise DataError("rows must all have the same length.", where="embeddings") from error


def _parquet(path: Path, column: str | None, progress: Progress | None) -> NDArray[np.float32]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError("not a whole Parquet file.", where=str(path)) from error
    with file:
        schema = file.schema_arrow
        lists = [field.name for field in schema if _is_matrix(field.type)]
        if column is None and len(lists) == 1:
            (column,) = lists
        if column is None or column not in schema.names:
            what = "name the column of the embeddings." if column is None else f"no column {column!r}."
            found = (
                f"Columns of lists of numbers: {', '.join(lists)}."
                if lists
                else "No column holds lists of numbers."
            )
            remedy = nearest(column, schema.names) if column and lists else found
            raise DataError(what, where=str(path), remedy=f"{remedy} Write {path.name}:COLUMN.")
        if column not in lists:
            raise DataError(
                f"column {column!r} must hold lists of numbers, got {schema.field(column).type}.",
                where=str(path),
            )
        n = file.metadata.num_rows
        # Rows are asked for in any order; a file that is mapped gives them without being held.
        with tempfile.TemporaryFile() as spool:
            d, done = 0, 0
            try:
                for batch in file.iter_batches(batch_size=4096, columns=[column]):
                    rows = _matrix(batch.column(0), d, done, f"{path}:{column}")
                    spool.write(rows.data)
                    d, done = rows.shape[1], done + len(rows)
                    if progress:
                        progress(done, n, "rows")
                spool.flush()
            except OSError as error:
                raise DataError(
                    f"cannot be unpacked, {os_reason(error)}.",
                    where=str(path),
                    remedy="Name a folder with room for the embeddings in TMPDIR, or save them as .npy.",
                ) from error
            if not done:
                return np.zeros((0, d), np.float32)
            return np.memmap(spool, np.float32, "r", shape=(done, d))


def _is_matrix(kind: Any) -> bool:
    import pyarrow as pa

    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)))


def _matrix(column: Any, d: int, start: int, where: str) -> NDArray[np.float32]:
    """Return a list column as a matrix, whose rows must all have length `d` (0: that of the first)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lengths = pc.fill_null(pc.list_value_length(column), -1).to_numpy(zero_copy_only=False)
    d = d or int(lengths[0])
    wrong = np.flatnonzero(lengths != d)
    if len(wrong) or d <= 0:
        at = int(wrong[0]) if len(wrong) else 0
        has = "is null" if lengths[at] < 0 else f"has {lengths[at]} numbers"
        raise DataError(f"row {start + at} {has}, others have {max(d, 0)}.", where=where)
    values = column.flatten().cast(pa.float32(), safe=False).to_numpy(zero_copy_only=False)
    matrix: NDArray[np.float32] = np.ascontiguousarray(values, np.float32).reshape(len(column), d)
    return matrix
