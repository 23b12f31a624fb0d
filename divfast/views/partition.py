"""Partitions: the class of every sample, and its reward, as columns of the dump have them."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from divfast.errors import DataError, DivfastError
from divfast.readers.source import Source
from divfast.samples import Samples

PARTITION_SCOPES = ("prompt", "pooled")
_MOST_NAMED = 12


class Partition:
    """One label a sample: numbers, strings or booleans; equal ones are one class.

    Parameters
    ----------
    column : str
        Column of the dump.
    scope : {"prompt", "pooled"}
        Whether labels tell apart the samples of one prompt, or of all.
    path : Path, optional
        The dump, to say which columns it has.
    """

    def __init__(self, column: str, scope: str = "prompt", path: Path | None = None) -> None:
        self.column = column
        self.scope = scope
        self._path = path
        self._codes: dict[Any, int] = {}
        self._unlabelled = 0
        self._print = 0
        self._seen: set[str] = set()

    @property
    def signature(self) -> str:
        """``part:partition@1a2b3c4d``: the column, and a print of what was in it.

        ``part:cluster/pooled@...`` where its labels are those of the corpus.
        """
        return f"part:{self._columns}@{self._print:08x}"

    @property
    def _columns(self) -> str:
        return f"{self.column}{'/pooled' if self.scope == 'pooled' else ''}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Samples without a label."""
        return {"unlabelled": self._unlabelled} if self._unlabelled else {}

    def build(self, samples: Samples) -> NDArray[Any]:
        """Return the label of every sample as a number, ``int64[n]``; -1 where there is none.

        Raises
        ------
        DataError
            Where the dump has no such column.
        """
        values = column_of(samples, self.column, self._seen, self._path, "--partition")
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_nan(values), None, values)
        encoded = values.dictionary_encode()
        if self.scope == "prompt":
            self._codes.clear()
        # Labels of a corpus keep their number from block to block.
        known = encoded.dictionary.to_pylist()
        codes = [self._codes.setdefault(label, len(self._codes)) for label in known]
        index = encoded.indices.fill_null(len(codes)).to_numpy(zero_copy_only=False)
        self._unlabelled += encoded.indices.null_count
        # Of labels and not of their numbers, which blocks of another size would make others.
        prints = np.array([*map(_print_of, known), 0], np.uint32)[index]
        self._print = zlib.crc32(prints.tobytes(), self._print)
        labels: NDArray[np.int64] = np.array([*codes, -1], np.int64)[index]
        return labels


def _print_of(label: Any) -> int:
    """Return the print of a label; a block in which a column has other types may hold 1 for 1.0, or "a" as JSON."""
    text = str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)
    return zlib.crc32(text.strip('"').encode())


class Rewards(Partition):
    """Label and reward of every sample."""

    def __init__(
        self, column: str, scope: str = "prompt", reward: str = "scores", path: Path | None = None
    ) -> None:
        super().__init__(column, scope, path)
        self.reward = reward
        self._unrewarded = self._of_rewards = 0

    @property
    def signature(self) -> str:
        """``part:partition/scores@1a2b3c4d``: the two columns, and a print of what was in them."""
        columns = f"{self._columns}/{self.reward}"
        return f"part:{columns}@{self._print ^ self._of_rewards:08x}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Samples without a label, and without a reward."""
        return {**super().facts, **({"unrewarded": self._unrewarded} if self._unrewarded else {})}

    def build(self, samples: Samples) -> NDArray[Any]:
        """Return label and reward of every sample, ``float64[n, 2]``; NaN where there is none.

        Raises
        ------
        DataError
            Where the dump has no such columns, or rewards are no numbers.
        """
        labels = super().build(samples).astype(np.float64)
        labels[labels < 0] = np.nan
        rewards = numbers_of(samples, self.reward, self._seen, self._path)
        self._unrewarded += int(np.isnan(rewards).sum())
        self._of_rewards = zlib.crc32(np.ascontiguousarray(rewards).tobytes(), self._of_rewards)
        return np.stack([labels, rewards], axis=1)


def numbers_of(samples: Samples, name: str, seen: set[str], path: Path | None) -> NDArray[np.float64]:
    """Return a column of numbers, NaN where there is none; see `column_of`."""
    values = column_of(samples, name, seen, path, "--reward")
    if not (pa.types.is_null(values.type) or pa.types.is_boolean(values.type)):
        if not (pa.types.is_floating(values.type) or pa.types.is_integer(values.type)):
            raise DataError(
                f'"{name}" must hold numbers, as rewards do.',
                where=_where(path),
                remedy="Name another column with --reward.",
            )
        return np.asarray(values.cast(pa.float64()).fill_null(np.nan), np.float64)
    return np.asarray(values.cast(pa.int8()).cast(pa.float64()).fill_null(np.nan), np.float64)


def column_of(samples: Samples, name: str, seen: set[str], path: Path | None, option: str) -> pa.Array:
    """Return a column with a value for every sample; nulls where only other blocks have it.

    Raises
    ------
    DataError
        Where no block so far has it. It names the columns that are there.
    """
    found = samples.per_sample.get(name)
    if found is not None and not pa.types.is_null(found.type):
        seen.add(name)
        return found
    if name not in seen and samples.rows:
        there = _columns_of(path, samples)
        made = "; divfast cluster makes a partition" if option == "--partition" else ""
        listed = f" It has {', '.join(there[:_MOST_NAMED])}." if there else ""
        raise DataError(
            f'has no column "{name}".{listed}',
            where=_where(path),
            remedy=f"Name the one to take with {option}{made}.",
        )
    return pa.nulls(samples.rows)


def _where(path: Path | None) -> str:
    return "samples" if path is None else "stdin" if str(path) == "-" else str(path)


def _columns_of(path: Path | None, samples: Samples) -> Sequence[str]:
    """Return names of columns of a dump, for a message; none where they cannot be told."""
    if path is None or str(path) == "-":
        return sorted([*samples.per_sample, *samples.per_prompt])
    try:
        source = Source(path)
        record = source.first_record
        if record is not None:
            return list(record)
        return list(pq.read_schema(path).names) if source.head.startswith(b"PAR1") else []
    except (DivfastError, OSError, pa.ArrowException):
        return []
