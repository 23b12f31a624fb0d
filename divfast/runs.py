"""Runs to compare: a folder that `divfast.Report.save` wrote, a report in memory, or a dump that is scored now."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from divfast.dumps import Progress
from divfast.errors import DataError, MetricError, nearest, os_reason
from divfast.readers import find_dumps
from divfast.result import Report, Signature, column_name
from divfast.scoring import score


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
    dump : Path or None
        The dump, where it was scored now.
    """

    name: str
    model: str | None
    entries: Sequence[Entry]
    groups: pa.Table
    dump: Path | None = None

    def sizes(self) -> NDArray[np.int64]:
        """Return K of every prompt."""
        return np.asarray(self.groups["n"], np.int64)

    def values(self, column: str) -> NDArray[np.float64]:
        """Return one value a prompt."""
        if column not in self.groups.column_names:
            raise DataError(f"groups.parquet has no column {column!r}.", where=self.name, remedy=_AGAIN)
        return np.asarray(self.groups[column], np.float64)


_AGAIN = "Write it again with divfast score DUMP -o DIR."


def open_runs(
    sources: Sequence[Any],
    metrics: Sequence[str] | None,
    scopes: Sequence[str],
    seed: int,
    progress: Progress | None,
    scoring: Mapping[str, Any],
) -> tuple[list[Run], Report | None]:
    """Return a run for every source, opened or scored, and the report of those that were scored.

    Parameters
    ----------
    sources : sequence
        As for `open_run`, or dumps.
    metrics, scopes, seed, progress, scoring
        Of `divfast.score`, for the dumps, which are scored alike.

    Raises
    ------
    DivfastError
        Where `open_run` or `divfast.score` raises, a pattern names several dumps, or there are options for scoring
        and no dump.
    """
    paths = {str(source): _one_file(str(source)) for source in sources if _is_dump(source)}
    if not paths:
        if scoring:
            raise MetricError(
                f"{' and '.join(scoring)} would change how dumps are scored, and both runs are scored already.",
                remedy="Leave that out, or name the dumps in place of the runs.",
            )
        return [open_run(source) for source in sources], None
    different = list(dict.fromkeys(paths.values()))
    report = score(different, metrics, scopes=scopes, seed=seed, progress=progress, **scoring)
    scored = dict(zip(different, _runs(report, different), strict=True))
    runs = [scored[paths[str(x)]] if str(x) in paths else open_run(x) for x in sources]
    return runs, report


def _is_dump(source: Any) -> bool:
    if isinstance(source, Report) or Path(source).is_dir():
        return False
    folder, colon, _ = str(source).partition(":")
    return Path(source).exists() or not (colon and Path(folder).is_dir())


def _one_file(dump: str) -> Path:
    found = find_dumps([dump])
    if len(found) > 1:
        raise DataError(
            f"names {len(found)} dumps, and one is compared with one.",
            where=dump,
            remedy="Name one; or score them all, divfast score DUMP... -o DIR, and compare DIR:MODEL.",
        )
    return found[0]


def _runs(report: Report, dumps: Sequence[Path]) -> Iterator[Run]:
    """Yield what each dump of a report scored."""
    many, start = len(report) // len(dumps), 0
    for i, (path, facts) in enumerate(zip(dumps, report.run["dumps"], strict=True)):
        entries = [_entry(result.to_dict()) for result in report.results[i * many : (i + 1) * many]]
        rows = report.groups.slice(start, facts["prompts"])
        yield Run(str(path), facts["model"], entries, rows, path)
        start += facts["prompts"]


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
