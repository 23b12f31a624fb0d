"""What a score is: a number, its spread, and the recipe that made it."""

from __future__ import annotations

import contextlib
import json
import math
import os
import tempfile
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from divfast.errors import MetricError, OutputError, nearest, os_reason
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
        Standard deviation over groups; NaN outside the scope ``prompt``.
    interval : (float, float)
        95% bootstrap interval of the mean over groups; NaN outside the scope ``prompt``.
    groups, undefined : int
        How many groups there are, and for how many the metric is undefined (these are not in the mean).
    unit : str
        What the value measures.
    signature : Signature
        The recipe.
    values : numpy.ndarray
        ``float64[groups]``, one value a group; one value in the scopes ``first`` and ``pooled``.
    model, task : str or None
        What the dump is of.
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

    @property
    def mean(self) -> float:
        """The value, by its usual name."""
        return self.value

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of ``report.json``: JSON types, null for what is undefined."""
        return {
            "metric": self.metric,
            "scope": self.scope,
            "value": _json_number(self.value),
            "std": _json_number(self.std),
            "interval": [_json_number(end) for end in self.interval],
            "groups": self.groups,
            "undefined": self.undefined,
            "unit": self.unit,
            "signature": str(self.signature),
        }


def _json_number(value: float) -> float | None:
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

    def __getitem__(self, key: str | tuple[str, str]) -> Result:
        """Return the result of a metric, or of a (metric, scope); of the first dump where there are several."""
        metric, scope = key if isinstance(key, tuple) else (key, None)
        for result in self.results:
            if result.metric == metric and scope in (None, result.scope):
                return result
        known = sorted({result.metric for result in self.results})
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
        total: Counter[str] = Counter()
        for facts in self.run["dumps"]:
            total.update(facts.get("counts", {}))
        return dict(total)

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
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _no_folder(folder, error) from None
        # Escapes keep the file valid JSON even where a dump has a name that is not UTF-8.
        text = json.dumps(self.to_dict(), indent=2, allow_nan=False) + "\n"
        files: dict[Path, Callable[[Path], object]] = {
            folder / "groups.parquet": lambda path: pq.write_table(self.groups, path),
            folder / "report.json": lambda path: path.write_text(text, encoding="utf-8"),
        }
        per_sample = folder / "samples.parquet"
        if self.samples is not None:
            _check_not_a_dump(per_sample)
            marked = self.samples.replace_schema_metadata({_MARK: b"samples"})
            files[per_sample] = lambda path: pq.write_table(marked, path)
        write_whole(files)
        if self.samples is None and _is_marked(per_sample):
            per_sample.unlink(missing_ok=True)


# Dumps have names like samples.parquet too.
_MARK = b"divfast"


def _is_marked(path: Path) -> bool:
    try:
        return _MARK in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowInvalid):
        return False


def _check_not_a_dump(path: Path) -> None:
    if path.exists() and not _is_marked(path):
        raise OutputError(
            "is there already and was not written by divfast.",
            where=str(path),
            remedy="Name another folder with -o.",
        )


def check_folder(folder: str | Path, *, per_sample: bool = False) -> None:
    """Raise `OutputError` where `Report.save` could not write into `folder`; nothing is left behind or made.

    For callers with hours of work ahead; `per_sample` says that there will be values per sample.
    """
    folder = Path(folder)
    if per_sample:
        _check_not_a_dump(folder / "samples.parquet")
    try:
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise _no_folder(folder, error) from None


def _no_folder(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot be made or written into: {os_reason(error)}.",
        where=str(folder),
        remedy="Name another folder with -o.",
    )


def write_whole(files: Mapping[Path, Callable[[Path], object]]) -> None:
    """Write files under temporary names beside them, then rename all: they are there whole or not at all.

    Parameters
    ----------
    files : Mapping[Path, callable]
        For every file, what writes it to the path that it is called with.

    Raises
    ------
    OutputError
        Where one cannot be written; then none is replaced.
    """
    suffix = f"{uuid.uuid4().hex[:8]}.tmp"
    staged = {path: path.with_name(f".{path.name}.{suffix}") for path in files}
    path = next(iter(files))
    try:
        for path, write in files.items():
            write(staged[path])
            with staged[path].open("rb+") as file:
                os.fsync(file.fileno())
        for path, temporary in staged.items():
            temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {os_reason(error)}.",
            where=str(path),
            remedy="Free some room or name another folder.",
        ) from None
    finally:
        for temporary in staged.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
