"""What a score is: a number, its spread, and the recipe that made it."""

from __future__ import annotations

import math
import os
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import divfast
from divfast import engine
from divfast.dumps import total_counts
from divfast.errors import MetricError, nearest
from divfast.output import check_not_a_dump, is_marked, marked, save_report
from divfast.scope import Scope


@dataclass(frozen=True)
class Signature:
    """What changes a number, as ordered ``key:value`` parts.

    Examples
    --------
    >>> str(Signature("vendi:q=2", {"scope": "prompt", "groups": 500, "v": "0.1.0"}))
    'vendi:q=2|scope:prompt|groups:500|v:0.1.0'
    """

    metric: str
    parts: Mapping[str, Any]

    def __str__(self) -> str:
        return "|".join([self.metric, *(f"{key}:{value}" for key, value in self.parts.items())])

    @classmethod
    def parse(cls, text: str) -> Signature:
        """Return a signature from its text; every part is a string.

        Examples
        --------
        >>> Signature.parse("vendi:q=2|scope:prompt|groups:500").parts["groups"]
        '500'
        """
        metric, *words = text.split("|")
        parts: dict[str, str] = {}
        for word in words:
            key, colon, value = word.partition(":")
            if colon:
                parts[key] = value
        return cls(metric, parts)


@dataclass(frozen=True, eq=False)
class Result:
    """One metric on one dump in one scope.

    Attributes
    ----------
    metric : str
        The spec as the user gave it.
    scope : str
        ``prompt``, ``first`` or ``pooled``.
    value : float
        Mean over groups, or the value itself in the scopes ``first`` and ``pooled``; NaN where undefined.
    std : float
        Standard deviation over groups, or over draws from the corpus; NaN where there is one value.
    interval : (float, float)
        95% bootstrap interval of the mean over groups; NaN outside the scope ``prompt``.
    groups, undefined : int
        How many groups there are, and for how many the metric is undefined (these are not in the mean).
    unit : str
        What the value measures.
    signature : Signature
        The recipe.
    values : numpy.ndarray
        ``float64[groups]``, one value a group; in the scopes ``first`` and ``pooled`` one value, or one a draw.
    model, task : str or None
        What the dump is of.
    k, n : int or None
        The value is the one expected on k of each prompt's samples, or on n rows of the corpus.
    """

    metric: str
    scope: Scope
    value: float
    std: float
    interval: tuple[float, float]
    groups: int
    undefined: int
    unit: str
    signature: Signature
    values: NDArray[np.float64] = field(repr=False)
    model: str | None = None
    task: str | None = None
    k: int | None = None
    n: int | None = None

    @property
    def column(self) -> str:
        """The name of its column in ``groups.parquet`` and in tables: ``ead``, ``ead@k=4``, ``ead@n=500``."""
        return column_name(self.metric, self.k, self.n)

    @property
    def mean(self) -> float:
        """The value, by its usual name."""
        return self.value

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of ``report.json``: JSON types, null for what is undefined."""
        return {
            "metric": self.metric,
            "scope": self.scope,
            **sizes(self.k, self.n),
            "value": json_number(self.value),
            "std": json_number(self.std),
            "interval": [json_number(end) for end in self.interval],
            "groups": self.groups,
            "undefined": self.undefined,
            "unit": self.unit,
            "signature": str(self.signature),
        }


def sizes(k: int | None, n: int | None) -> dict[str, int]:
    """Return those sizes that a score was rarefied to."""
    return {key: size for key, size in (("k", k), ("n", n)) if size is not None}


def column_name(metric: str, k: int | None, n: int | None) -> str:
    """Return the name of a score among others: its metric, and the size that it was rarefied to."""
    return "".join([metric, *(f"@{key}={size}" for key, size in sizes(k, n).items())])


def json_number(value: float) -> float | None:
    """Return a number as JSON has it: null where it is undefined."""
    return float(value) if math.isfinite(value) else None


@dataclass(frozen=True, eq=False)
class Report:
    """All results of one call of `divfast.score`.

    Attributes
    ----------
    results : list of Result
        In the order of dumps, scopes, metrics.
    groups : pyarrow.Table
        One row a prompt: ``input_id``, ``n`` (its number of samples), one column a metric; ``model`` and ``task``
        first where several dumps were scored.
    run : Mapping
        What changes only the time, or tells what happened: versions, machine, seconds, counts of what was stripped,
        replaced or skipped.
    samples : pyarrow.Table, optional
        Where values per sample were asked for: one row a sample in the order of the dump, ``input_id``, ``position``
        (its number in the dump), one column a metric within the prompt, and ``SPEC@pooled`` within the corpus.
    """

    results: Sequence[Result]
    groups: pa.Table
    run: Mapping[str, Any]
    several: bool = False
    samples: pa.Table | None = None

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __repr__(self) -> str:
        # A line a result; what a dataclass would show is all of its tables.
        lines = []
        for result in self.results:
            named = [name for name in (result.model, result.task) if name and self.several]
            low, high = result.interval
            ends = "" if math.isnan(low) else f" [{low:.6g}, {high:.6g}]"
            lines.append(" ".join([*named, result.scope, result.column, f"{result.value:.6g}{ends}"]))
        return "\n".join(lines)

    def __getitem__(self, key: str | tuple[str, str]) -> Result:
        """Return the result of a metric, or of a (metric, scope); of the first dump where there are several.

        A metric at equal size is ``report["ead@k=4"]``.
        """
        metric, scope = key if isinstance(key, tuple) else (key, None)
        for result in self.results:
            if result.column == metric and scope in (None, result.scope):
                return result
        known = sorted({result.column for result in self.results})
        raise MetricError(f"the report has no result {key!r}.", remedy=nearest(metric, known))

    def to_dict(self) -> dict[str, Any]:
        """Return ``report.json`` as Python objects."""
        entries = []
        for result in self.results:
            entry = result.to_dict()
            if self.several:
                entry = {"model": result.model, "task": result.task, **entry}
            entries.append(entry)
        return {"results": entries, "run": dict(self.run)}

    @property
    def counts(self) -> dict[str, int]:
        """What readers changed or left out, over all dumps; see `divfast.readers.records.Reading`."""
        return total_counts(self.run["dumps"])

    def save(self, folder: str | Path) -> None:
        """Write ``groups.parquet`` and ``report.json`` into `folder`, and ``samples.parquet`` where there are values
        per sample.

        All are written under temporary names first: the folder holds the old ones or the new ones. Without values per
        sample those of an earlier report are removed.

        Raises
        ------
        OutputError
            Where the folder or a file cannot be written; nothing half-written is left behind.
        """
        folder = Path(folder)
        per_sample = folder / "samples.parquet"
        tables = {"groups.parquet": self.groups}
        if self.samples is not None:
            check_not_a_dump(per_sample)
            tables[per_sample.name] = marked(self.samples)
        save_report(folder, self.to_dict(), tables)
        if self.samples is None and is_marked(per_sample):
            per_sample.unlink(missing_ok=True)


def run_facts(seconds: float) -> dict[str, Any]:
    """Return what changes only the time of a run, or says where it was made."""
    return {
        "version": divfast.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "threads": engine.threads(),
        "seconds": round(seconds, 3),
        "command": list(sys.argv),
    }
