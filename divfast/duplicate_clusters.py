"""What a search for duplicates is made with, and what it found."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from divfast.dumps import total_counts
from divfast.errors import MetricError, nearest
from divfast.output import write_whole
from divfast.result import Signature

SCOPES = ("pooled", "prompt")
UNITS = ("chars", "words")
NORMALISATIONS = ("none", "fold")
_RECALL = 0.99
_ROWS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Recipe:
    """What decides which samples are duplicates; see `divfast.duplicates.find_duplicates`."""

    scope: str
    threshold: float
    exact: bool
    unit: str
    shingle: int
    hashes: int
    bands: int | None
    normalise: str
    seed: int

    def __post_init__(self) -> None:
        for name, value, known in (
            ("scope", self.scope, SCOPES),
            ("unit", self.unit, UNITS),
            ("normalise", self.normalise, NORMALISATIONS),
        ):
            if value not in known:
                raise MetricError(f"{name} cannot be {value!r}.", remedy=nearest(value, known))
        if not 0 < self.threshold <= 1:
            raise MetricError(f"threshold must be above 0 and at most 1, got {self.threshold:g}.")
        for name, count, most in (
            ("shingle", self.shingle, 1 << 20),
            ("hashes", self.hashes, 1 << 16),
            ("bands", self.bands or 1, self.hashes),
        ):
            if not 1 <= count <= most:
                raise MetricError(f"{name} must be from 1 to {most:,}, got {count:,}.")
        if not 0 <= self.seed < 1 << 32:
            raise MetricError(f"seed must be from 0 to {(1 << 32) - 1:,}, got {self.seed:,}.")

    @property
    def searched(self) -> bool:
        """Whether pairs are found by bands, and not by looking at all."""
        return self.scope == "pooled" and not self.exact

    @cached_property
    def bands_and_rows(self) -> tuple[int, int]:
        """How the signature is cut: the longest rows with which a pair at the threshold is found often enough."""
        if self.bands is not None:
            return self.bands, self.hashes // self.bands
        rows = 1
        while rows < self.hashes and self._recall(self.hashes // (rows + 1), rows + 1) >= _RECALL:
            rows += 1
        return self.hashes // rows, rows

    @property
    def recall(self) -> float:
        """Probability that a pair exactly at the threshold is compared; 1 where every pair is."""
        return self._recall(*self.bands_and_rows) if self.searched else 1.0

    def _recall(self, bands: int, rows: int) -> float:
        return float(1 - (1 - self.threshold**rows) ** bands)

    @property
    def canonical(self) -> str:
        """The recipe with every parameter that changes a cluster, as it stands in a signature."""
        if self.exact:
            return "dedupe:exact"
        words = f"dedupe:threshold={self.threshold:g},unit={self.unit},shingle={self.shingle}"
        if not self.searched:
            return words
        bands, rows = self.bands_and_rows
        return f"{words},hashes={self.hashes},bands={bands}x{rows},seed={self.seed}"


def first_rows(labels: NDArray[Any], whole: Any) -> NDArray[Any]:
    """Return for every row the first row with its label."""
    n = len(labels)
    first = np.zeros(int(labels.max()) + 1 if n else 0, whole)
    # Of several values for one place the last one stays.
    first[labels[::-1]] = np.arange(n - 1, -1, -1, dtype=whole)
    firsts: NDArray[Any] = first[labels]
    return firsts


def number(labels: NDArray[Any], whole: Any) -> tuple[NDArray[np.bool_], NDArray[Any], NDArray[Any]]:
    """Return for every row whether its label is new, the label's number in order of appearance, and its frequency.

    Examples
    --------
    >>> import numpy as np
    >>> [column.tolist() for column in number(np.array([7, 2, 7]), np.int64)]
    [[True, True, False], [0, 1, 0], [2, 1, 2]]
    """
    firsts = first_rows(labels, whole)
    new = firsts == np.arange(len(labels), dtype=whole)
    numbers = (np.cumsum(new, dtype=whole) - 1)[firsts]
    return new, numbers, np.bincount(numbers, minlength=1).astype(whole)[numbers]


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of duplicates, a row a sample in the order of the dumps.

    Attributes
    ----------
    recipe, signature
        What was looked for, and on what.
    dumps : sequence of str or None
        Names of the dumps.
    ids : pyarrow.LargeStringArray
        Id of every prompt of every dump.
    dump, group : numpy.ndarray
        Number of the dump and of the prompt that a sample is of.
    position : numpy.ndarray
        Where a sample stands in its dump, counting from 0.
    cluster, size : numpy.ndarray
        Number of its cluster, in order of appearance, and how many samples that has.
    kept : numpy.ndarray
        Whether it is the first of its cluster.
    exact : numpy.ndarray
        Whether an equal text stands before it.
    largest : sequence of (int, str)
        Row and beginning of the text of the kept sample of the largest clusters that have a duplicate.
    run : Mapping
        What changes only the time, or tells what happened.
    """

    recipe: Recipe
    signature: Signature
    dumps: Sequence[str | None]
    ids: pa.LargeStringArray
    dump: NDArray[Any]
    group: NDArray[Any]
    position: NDArray[np.int64]
    cluster: NDArray[Any]
    size: NDArray[Any]
    kept: NDArray[np.bool_]
    exact: NDArray[np.bool_]
    largest: Sequence[tuple[int, str]]
    run: Mapping[str, Any]

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.kept)

    @property
    def recall(self) -> float:
        """Probability that a pair exactly at the threshold is compared; 1 where every pair is."""
        return self.recipe.recall

    @property
    def counts(self) -> dict[str, int]:
        """What readers changed or left out, over all dumps."""
        return total_counts(self.run["dumps"])

    @property
    def samples(self) -> pa.Table:
        """``input_id``, ``position``, ``cluster``, ``size``, ``kept``, ``exact``; of several dumps also ``dump``."""
        return pa.Table.from_batches(list(self._batches()), self._schema())

    def _schema(self) -> pa.Schema:
        columns = [("dump", pa.large_string())] if len(self.dumps) > 1 else []
        columns += [("input_id", pa.large_string()), ("position", pa.int64()), ("cluster", pa.int64())]
        columns += [("size", pa.int64()), ("kept", pa.bool_()), ("exact", pa.bool_())]
        return pa.schema(columns)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        schema = self._schema()
        names = pa.array(self.dumps, pa.large_string())
        for start in range(0, len(self), _ROWS_AT_ONCE):
            rows = slice(start, start + _ROWS_AT_ONCE)
            columns = {
                "dump": names.take(pa.array(self.dump[rows])),
                "input_id": self.ids.take(pa.array(self.group[rows])),
                "position": self.position[rows],
                "cluster": self.cluster[rows],
                "size": self.size[rows],
                "kept": self.kept[rows],
                "exact": self.exact[rows],
            }
            yield pa.record_batch(
                [pa.array(columns[name]).cast(schema.field(name).type) for name in schema.names], schema
            )

    def save(self, path: str | Path) -> None:
        """Write `samples` to a Parquet file, whole or not at all.

        Raises
        ------
        OutputError
            Where it cannot be written.
        """

        def write(temporary: Path) -> None:
            with pq.ParquetWriter(temporary, self._schema()) as writer:
                for batch in self._batches():
                    writer.write_batch(batch)

        write_whole({Path(path): write})

    def totals(self) -> list[dict[str, Any]]:
        """Return ``samples``, ``exact`` and ``near`` duplicates, ``kept``, shares, of each dump and of all."""
        m = len(self.dumps)
        columns = {
            "samples": np.bincount(self.dump, minlength=m),
            "exact": np.bincount(self.dump[self.exact], minlength=m),
            "near": np.bincount(self.dump[~self.exact & ~self.kept], minlength=m),
            "kept": np.bincount(self.dump[self.kept], minlength=m),
        }
        prompts = [dump["prompts"] for dump in self.run["dumps"]]
        rows = []
        for i, name in enumerate(self.dumps):
            own = {key: int(column[i]) for key, column in columns.items()}
            rows.append({"dump": name, "prompts": prompts[i], **own})
        if m > 1:
            whole = {key: int(column.sum()) for key, column in columns.items()}
            rows.append({"dump": None, "prompts": sum(prompts), **whole})
        for row in rows:
            n = row["samples"]
            row["unique_exact"] = (n - row["exact"]) / n if n else None
            row["unique_near"] = row["kept"] / n if n else None
        return rows

    def to_dict(self) -> dict[str, Any]:
        """Return what ``divfast dedupe --format json`` prints."""
        largest = [
            {
                "cluster": int(self.cluster[row]),
                "size": int(self.size[row]),
                **({"dump": self.dumps[int(self.dump[row])]} if len(self.dumps) > 1 else {}),
                "input_id": self.ids[int(self.group[row])].as_py(),
                "position": int(self.position[row]),
                "text": text,
            }
            for row, text in self.largest
        ]
        return {
            "results": [{**row, "signature": str(self.signature)} for row in self.totals()],
            "scope": self.recipe.scope,
            "clusters": int(self.kept.sum()),
            "clusters_with_duplicates": int(np.count_nonzero(self.kept & (self.size > 1))),
            "recall_at_threshold": self.recall,
            "largest": largest,
            "run": dict(self.run),
        }
