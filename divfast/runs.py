"""Runs that were scored before: a folder that `divfast.Report.save` wrote, or a report in memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from divfast.errors import DataError, nearest, os_reason
from divfast.result import Report, Signature, column_name


@dataclass(frozen=True)
class Entry:
    """One entry of ``report.json``."""

    metric: str
    scope: str
    k: int | None
    n: int | None
    value: float
    unit: str
    rows: int
    signature: Signature

    @property
    def column(self) -> str:
        """The name of its column in ``groups.parquet``."""
        return column_name(self.metric, self.k, self.n)


@dataclass(frozen=True)
class Run:
    """What one dump scored: its entries, and a row a prompt.

    Attributes
    ----------
    name : str
        The folder, and the model where the folder holds several.
    model : str or None
        What the dump is of.
    """

    name: str
    model: str | None
    entries: Sequence[Entry]
    groups: pa.Table

    def sizes(self) -> NDArray[np.int64]:
        """Return K of every prompt."""
        return np.asarray(self.groups["n"], np.int64)

    def values(self, column: str) -> NDArray[np.float64]:
        """Return one value a prompt."""
        if column not in self.groups.column_names:
            raise DataError(f"groups.parquet has no column {column!r}.", where=self.name, remedy=_AGAIN)
        return np.asarray(self.groups[column], np.float64)


_AGAIN = "Write it again with divfast score DUMP -o DIR."


def open_run(source: Any) -> Run:
    """Return a run.

    Parameters
    ----------
    source : str, Path or Report
        A folder that ``divfast score -o`` wrote; where it holds several dumps, ``FOLDER:MODEL``, or
        ``FOLDER:MODEL/TASK`` where a model has several. Or a report of one dump.

    Raises
    ------
    DataError
        Where it is no such folder, or holds several dumps and none or an unknown one is named.
    """
    if isinstance(source, Report):
        return _one_dump("the report", source.to_dict()["results"], source.run, source.groups, None)
    text = str(source)
    folder, chosen = Path(text), None
    if not folder.exists() and ":" in text:
        before, _, after = text.partition(":")
        folder, chosen = Path(before), after
    for name in ("report.json", "groups.parquet"):
        if not (folder / name).is_file():
            raise DataError(
                f"is not a folder that divfast score -o wrote: it has no {name}.",
                where=str(folder),
                remedy="Score the dump first: divfast score DUMP -o DIR.",
            )
    try:
        report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
        groups = pq.read_table(folder / "groups.parquet")
        return _one_dump(str(folder), report["results"], report["run"], groups, chosen)
    except OSError as error:
        raise DataError(f"cannot be read: {os_reason(error)}.", where=str(folder), remedy=_AGAIN) from None
    except (ValueError, KeyError, TypeError, AttributeError, pa.ArrowException) as error:
        raise DataError(
            f"holds no report of divfast ({type(error).__name__}: {error}).", where=str(folder), remedy=_AGAIN
        ) from None


def _one_dump(name: str, entries: Sequence[Any], run: Any, groups: pa.Table, chosen: str | None) -> Run:
    facts = [(dump["model"], dump["task"]) for dump in run["dumps"]]
    if missing := {"input_id", "n"} - set(groups.column_names):
        raise ValueError(f"groups.parquet has no column {min(missing)}")
    if chosen is None and len(facts) > 1:
        raise DataError(
            f"holds {len(facts)} dumps.",
            where=name,
            remedy=f"Name one as FOLDER:MODEL, of {', '.join(sorted({str(model) for model, _ in facts}))}.",
        )
    if chosen is None:
        model = facts[0][0] if facts else None
    else:
        found = [(m, t) for m, t in facts if chosen in (m, f"{m}/{t}")]
        if len(found) != 1:
            known = [f"{m}/{t}" if t else str(m) for m, t in facts]
            many = f"holds {len(found)} dumps" if found else "holds no dump"
            raise DataError(f"{many} called {chosen!r}.", where=name, remedy=nearest(chosen, known))
        model, task = found[0]
        if len(facts) > 1:
            entries = [entry for entry in entries if (entry["model"], entry["task"]) == (model, task)]
            is_it = pc.equal(groups["model"], pa.scalar(model, pa.large_string()))
            of_task = (
                pc.is_null(groups["task"])
                if task is None
                else pc.equal(groups["task"], pa.scalar(task, pa.large_string()))
            )
            groups = groups.filter(pc.and_(is_it, of_task))
        name = f"{name}:{chosen}"
    return Run(name, model, [_entry(entry) for entry in entries], groups)


def _entry(entry: Any) -> Entry:
    value, signature = entry["value"], Signature.parse(entry["signature"])
    return Entry(
        metric=entry["metric"],
        scope=entry["scope"],
        k=entry.get("k"),
        n=entry.get("n"),
        value=float("nan") if value is None else float(value),
        unit=entry["unit"],
        rows=int(signature.parts["rows"]),
        signature=signature,
    )
