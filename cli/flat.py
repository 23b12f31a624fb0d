"""Results as JSON, CSV and Markdown: a line a result, in full precision where a machine may read it."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def as_json(value: Any) -> str:
    """Return JSON text as in ``report.json``."""
    return json.dumps(value, indent=2, allow_nan=False)


def of_report(report: Mapping[str, Any], form: str) -> str:
    """Return what ``report.json`` holds as ``json``, or its results, one a line, as ``csv`` or ``md``."""
    if form == "json":
        return as_json(report)
    headers, rows = _columns(report["results"])
    return as_table(form, headers, rows, code=["signature"])


def _columns(results: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return the names of columns and the rows, None where a result has no such entry."""
    rows: list[dict[str, Any]] = []
    for entry in results:
        row: dict[str, Any] = {}
        for name, value in entry.items():
            row |= {"low": value[0], "high": value[1]} if name == "interval" else {name: value}
        rows.append(row)
    headers: list[str] = []
    for row in rows:
        at = 0
        for name in row:
            # A name that only some entries have stands where they have it.
            if name not in headers:
                headers.insert(at, name)
            at = headers.index(name) + 1
    return headers, [[row.get(name) for name in headers] for row in rows]


def as_table(
    form: str, headers: Sequence[str], rows: Iterable[Sequence[Any]], *, code: Sequence[str] = ()
) -> str:
    """Return a table as ``csv`` or ``md``."""
    return as_csv(headers, rows) if form == "csv" else as_md(headers, rows, code=code)


def as_csv(headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table as CSV, in full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    return text.getvalue().removesuffix("\n")


def as_md(headers: Sequence[str], rows: Iterable[Sequence[Any]], *, code: Sequence[str] = ()) -> str:
    """Return a table as Markdown, the columns of `code` in backquotes."""
    lines = [headers, ["---"] * len(headers)]
    for row in rows:
        digits = decimals([value for value in row if isinstance(value, float)][:1])
        cells = []
        for header, cell in zip(headers, row, strict=True):
            text = f"{cell:.{digits}f}" if isinstance(cell, float) else "" if cell is None else str(cell)
            cells.append((f"`{text}`" if header in code else text).replace("|", "\\|"))
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def decimals(values: Iterable[float]) -> int:
    """Return decimals that show three digits of the smallest value, or tenths where there are hundreds."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    if not sizes:
        return 3
    return 1 if max(sizes) >= 100 else min(6, max(3, 2 - math.floor(math.log10(min(sizes)))))
