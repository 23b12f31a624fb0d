"""The data: rows of unequal length, and the samples of many prompts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from divfast import _core
from divfast.errors import DataError

Offsets = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of unequal length on one tape: row i is ``values[offsets[i]:offsets[i + 1]]``.

    Parameters
    ----------
    values : numpy.ndarray
        The tape, ``dtype[m]``.
    offsets : numpy.ndarray
        ``int64[n + 1]``, not decreasing, inside ``[0, m]``. They need not start at 0, so a slice copies nothing.
    """

    values: NDArray[Any]
    offsets: Offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[NDArray[Any]]:
        for start, stop in zip(self.offsets[:-1], self.offsets[1:], strict=True):
            yield self.values[start:stop]

    def row(self, index: int) -> NDArray[Any]:
        """Return one row, a view."""
        return self.values[self.offsets[index] : self.offsets[index + 1]]

    def slice(self, start: int, stop: int) -> Ragged:
        """Return rows ``start`` to ``stop``, a view."""
        return Ragged(self.values, self.offsets[start : stop + 1])

    @property
    def lengths(self) -> Offsets:
        """Length of every row, ``int64[n]``."""
        return np.diff(self.offsets)

    def take(self, index: NDArray[np.int64]) -> Ragged:
        """Return the rows that `index` names, in its order, copied."""
        gather = _core.gather_tokens if self.values.dtype == np.uint64 else _core.gather_bytes
        return Ragged(*gather(self.values, self.offsets, index))

    def strings(self) -> list[str]:
        """Return every row of a ``uint8`` tape as a string; bytes that are not UTF-8 become U+FFFD."""
        tape = self.values.data
        return [str(tape[a:b], "utf-8", "replace") for a, b in pairwise(self.offsets.tolist())]

    @classmethod
    def from_strings(cls, texts: Sequence[str | bytes]) -> Ragged:
        """Return texts as UTF-8 on one ``uint8`` tape; a lone surrogate becomes U+FFFD."""
        encoded = [text if isinstance(text, bytes) else _utf8(text) for text in texts]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(text) for text in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), np.uint8), offsets)

    @classmethod
    def from_arrow(cls, array: pa.Array) -> Ragged:
        """Return an Arrow string or binary array, without copying its bytes; null is an empty row."""
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        if array.null_count:
            array = array.fill_null(
                b"" if pa.types.is_large_binary(array.type) or pa.types.is_binary(array.type) else ""
            )
        array = array.cast(pa.large_binary())
        _, offsets, values = array.buffers()
        if len(array) == 0:
            return cls(np.zeros(0, np.uint8), np.zeros(1, np.int64))
        bounds = np.frombuffer(offsets, np.int64, len(array) + 1, array.offset * 8)
        return cls(np.frombuffer(values, np.uint8) if values is not None else np.zeros(0, np.uint8), bounds)

    def to_arrow(self, present: NDArray[np.uint8] | None = None) -> pa.LargeStringArray:
        """Return a ``uint8`` tape as an Arrow string array, sharing the bytes; where `present` is 0 it is null."""
        validity = None if present is None else pa.py_buffer(np.packbits(present, bitorder="little"))
        offsets = np.ascontiguousarray(self.offsets)
        nulls = 0 if present is None else -1
        return pa.LargeStringArray.from_buffers(
            len(self), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(self.values)), validity, nulls
        )

    @classmethod
    def concat(cls, parts: Sequence[Ragged]) -> Ragged:
        """Return the rows of all parts, one part after the other."""
        if len(parts) == 1:
            return parts[0]
        tapes = [part.values[part.offsets[0] : part.offsets[-1]] for part in parts]
        lengths = np.concatenate([part.lengths for part in parts])
        return cls(np.concatenate(tapes), np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64))


def _utf8(text: str) -> bytes:
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode("utf-8")


@dataclass(frozen=True, eq=False)
class Samples:
    """The sampled outputs of many prompts, immutable. One prompt is a group of consecutive rows.

    Parameters
    ----------
    text : Ragged
        The outputs as UTF-8, ``uint8``, n rows.
    groups : numpy.ndarray
        ``int64[g + 1]``: group i is rows ``groups[i]`` to ``groups[i + 1]``; any size, also 0 and 1.
    ids : pyarrow.LargeStringArray
        One id a group.
    prompts : pyarrow.LargeStringArray
        One prompt a group, null where the dump has none.
    positions : numpy.ndarray
        ``int64[n]``: where each row stood in the dump, counting samples from 0. Rows of one group that were
        scattered over the dump are brought together, so this need not be increasing.
    per_sample, per_prompt : Mapping[str, pyarrow.Array]
        Aligned columns (``correct``, ``scores``, ...; ``gold``, ``tests``, ...), of n and of g rows.
    meta : Mapping[str, object]
        ``model``, ``task`` and whatever else is true of the whole dump.
    """

    text: Ragged
    groups: Offsets
    ids: pa.LargeStringArray
    prompts: pa.LargeStringArray
    positions: NDArray[np.int64]
    per_sample: Mapping[str, pa.Array] = field(default_factory=dict)
    per_prompt: Mapping[str, pa.Array] = field(default_factory=dict)
    meta: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, g = len(self.text), len(self.groups) - 1
        if g < 0 or self.groups[0] != 0 or self.groups[-1] != n or np.any(np.diff(self.groups) < 0):
            raise DataError(
                "groups must run from 0 to the number of samples without decreasing.", where="groups"
            )
        for name, array, length in (
            ("ids", self.ids, g),
            ("prompts", self.prompts, g),
            ("positions", self.positions, n),
            *((name, column, n) for name, column in self.per_sample.items()),
            *((name, column, g) for name, column in self.per_prompt.items()),
        ):
            if len(array) != length:
                raise DataError(f"expected {length} values, got {len(array)}.", where=name)

    def __len__(self) -> int:
        """Number of groups."""
        return len(self.groups) - 1

    @property
    def rows(self) -> int:
        """Number of samples."""
        return len(self.text)

    def outputs(self, group: int) -> list[str]:
        """Return the texts of one group as strings."""
        return self.text.slice(int(self.groups[group]), int(self.groups[group + 1])).strings()

    @classmethod
    def from_lists(
        cls,
        outputs: Sequence[Sequence[str]],
        *,
        ids: Sequence[str] | None = None,
        prompts: Sequence[str | None] | None = None,
        **meta: Any,
    ) -> Samples:
        """Return samples from one list of strings a prompt.

        Raises
        ------
        DataError
            Where a prompt's outputs are not a list of strings.

        Examples
        --------
        >>> samples = Samples.from_lists([["a cat", "a dog"], ["one"]])
        >>> len(samples), samples.rows, samples.outputs(0)
        (2, 3, ['a cat', 'a dog'])
        """
        flat: list[str] = []
        groups = np.zeros(len(outputs) + 1, np.int64)
        for i, texts in enumerate(outputs):
            is_record = isinstance(texts, Mapping)
            # A generator can be gone through once.
            row = [] if is_record or not isinstance(texts, Iterable) else list(texts)
            if is_record or isinstance(texts, (str, bytes)) or not all(isinstance(text, str) for text in row):
                such_as = ', such as [record["outputs"] for record in records]' if is_record else ""
                raise DataError(
                    f"must be a list of strings{', and is a record' if is_record else ''}.",
                    where=f"outputs[{i}]",
                    remedy=f"Pass one list of strings for each prompt{such_as}.",
                )
            flat.extend(row)
            groups[i + 1] = len(flat)
        g = len(outputs)
        return cls(
            text=Ragged.from_strings(flat),
            groups=groups,
            ids=pa.array([str(i) for i in range(g)] if ids is None else ids, pa.large_string()),
            prompts=pa.array([None] * g if prompts is None else prompts, pa.large_string()),
            positions=np.arange(len(flat)),
            meta=meta,
        )

    @classmethod
    def from_arrow(cls, table: pa.Table, **options: Any) -> Samples:
        """Return samples from a table with a list column of texts, or with one row a sample.

        Takes the options of `divfast.read` that name fields (``outputs_field``, ``id_field``, ``prompt_field``).
        """
        from divfast.readers.parquet import samples_of

        return samples_of(table, **options)

    @classmethod
    def from_parquet(cls, path: str, **options: Any) -> Samples:
        """Return the samples of a Parquet file, all at once; `divfast.read` streams it instead."""
        from divfast.readers import read

        return cls.concat(list(read(path, reader="parquet", **options)))

    @classmethod
    def concat(cls, blocks: Iterable[Samples]) -> Samples:
        """Return all blocks as one; columns that only some blocks have are left out."""
        parts = list(blocks)
        if len(parts) == 1:
            return parts[0]
        if not parts:
            return cls.from_lists([])
        starts = np.cumsum([0, *(part.rows for part in parts)])
        groups = [part.groups[1:] + start for part, start in zip(parts, starts, strict=False)]
        return cls(
            text=Ragged.concat([part.text for part in parts]),
            groups=np.concatenate([[0], *groups]).astype(np.int64),
            ids=pa.concat_arrays([part.ids for part in parts]),
            prompts=pa.concat_arrays([part.prompts for part in parts]),
            positions=np.concatenate([part.positions for part in parts]),
            per_sample=_concat_columns([part.per_sample for part in parts]),
            per_prompt=_concat_columns([part.per_prompt for part in parts]),
            meta=parts[0].meta,
        )


def _concat_columns(parts: Sequence[Mapping[str, pa.Array]]) -> dict[str, pa.Array]:
    shared = [name for name in parts[0] if all(name in part for part in parts[1:])]
    out = {}
    for name in shared:
        columns = [part[name] for part in parts]
        types = {column.type for column in columns if not pa.types.is_null(column.type)}
        if len(types) == 1:
            (only,) = types
            out[name] = pa.concat_arrays([column.cast(only) for column in columns])
        elif not types:
            out[name] = pa.concat_arrays(columns)
        else:
            out[name] = pa.concat_arrays([column.cast(pa.large_string()) for column in columns])
    return out


def samples_or_paths(source: Any) -> Samples | list[str | Path]:
    """Return what users give as a source: samples in memory, or the paths and patterns of dumps.

    Parameters
    ----------
    source : Samples, list of list of str, table, str, Path, or a list of paths
        A table is whatever Arrow can take: of pyarrow, pandas or polars, as `Samples.from_arrow` reads it.

    Raises
    ------
    DataError
        Where it is something else.

    Examples
    --------
    >>> samples_or_paths("runs/*.jsonl"), len(samples_or_paths([["a", "b"], ["c"]]))
    (['runs/*.jsonl'], 2)
    """
    if isinstance(source, Samples):
        return source
    if isinstance(source, (str, Path)):
        return [source]
    if hasattr(source, "__arrow_c_stream__") and hasattr(source, "columns"):
        return Samples.from_arrow(pa.table(source))
    if isinstance(source, Mapping) or not isinstance(source, Iterable):
        raise DataError(
            f"{type(source).__name__} is nothing that can be scored.",
            remedy="Give a dump, a table, or a list with one list of strings for each prompt.",
        )
    items = list(source)
    if items and all(isinstance(item, (str, Path)) for item in items):
        return items
    return Samples.from_lists(items)
