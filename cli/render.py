"""What commands print. Numbers are rounded here and nowhere else."""

from __future__ import annotations

import csv
import io
import json
import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from divfast.result import Report, Result

# Wide enough for signatures in a file or a pipe, where there is no terminal to ask.
_WIDTH_WITHOUT_TERMINAL = 120
_BAR_CELLS = 5
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_SCOPES = {
    "prompt": "prompt: mean over prompts of the samples of each, and its 95% interval",
    "first": "first: the first sample of every prompt, together",
    "pooled": "pooled: all samples together",
}


def as_json(value: Any) -> str:
    """Return JSON text as in ``report.json``."""
    return json.dumps(value, indent=2, allow_nan=False)


def _styled() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _width() -> int:
    return shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 0)).columns


def table(
    headers: Sequence[str],
    rows: Iterable[Sequence[Any]],
    *,
    right: Sequence[str] = (),
    wrap: Sequence[str] = (),
) -> str:
    """Return a table as text, styled where stdout is a terminal.

    Parameters
    ----------
    headers : sequence of str
        Column titles.
    rows : iterable of sequence
        Cells: strings or rich's Text.
    right, wrap : sequence of str
        Columns to align to the right, and those that may be broken into lines where the terminal is narrow.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    grid = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )
    for header in headers:
        grid.add_column(header, justify="right" if header in right else "left", no_wrap=header not in wrap)
    for row in rows:
        grid.add_row(*row)
    # In a pipe nothing is cut: the columns that wrap are what fits them in.
    width = _width() if wrap or sys.stdout.isatty() else 10_000
    console = Console(
        file=sys.stdout, width=width, force_terminal=_styled(), markup=False, emoji=False, highlight=False
    )
    with console.capture() as captured:
        console.print(grid)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def score_text(report: Report, form: str) -> str:
    """Return a report as ``table``, ``json``, ``csv`` or ``md``."""
    if form == "json":
        return as_json(report.to_dict())
    if form == "csv":
        return _csv(report)
    if form == "md":
        return _md(report)
    return _of_several(report) if report.several else _of_one(report)


def _of_one(report: Report) -> str:
    dump = report.run["dumps"][0]
    named = [part for part in (dump["model"], dump["task"]) if part]
    title = ", ".join([*named, many(dump["prompts"], "prompt"), many(dump["samples"], "sample")])
    rows = []
    for result in report:
        digits = _digits([result.value])
        rows.append(
            [
                result.metric,
                result.scope,
                _number(result.value, digits),
                "" if math.isnan(result.std) else _number(result.std, digits),
                _interval(result, digits),
                f"{result.undefined} of {result.groups}" if result.undefined else "",
                result.unit,
            ]
        )
    headers = ["metric", "scope", "value", "std", "95% interval", "undefined", "unit"]
    right = ("value", "std", "95% interval", "undefined")
    kept = [i for i, column in enumerate(zip(*rows, strict=True)) if any(column)]
    grid = table(
        [headers[i] for i in kept], [[row[i] for i in kept] for row in rows], right=right, wrap=("unit",)
    )
    return "\n".join([_bold(title), "", grid, "", *_signatures([[result] for result in report])])


def _of_several(report: Report) -> str:
    dumps = report.run["dumps"]
    by_column: dict[tuple[str, str], list[Result]] = {}
    for result in report:
        by_column.setdefault((result.scope, result.metric), []).append(result)
    labels = {
        "model": [dump["model"] or "" for dump in dumps],
        "task": [dump["task"] or "" for dump in dumps],
    }
    if not any(labels["task"]):
        del labels["task"]
    parts = []
    for scope, columns in groupby(by_column.items(), key=lambda item: item[0][0]):
        parts += [_bold(_SCOPES[scope]), ""]
        cells = {metric: _cells(results) for (_, metric), results in columns}
        for some in _that_fit(labels, cells):
            parts += [table([*labels, *some], zip(*labels.values(), *some.values(), strict=True)), ""]
    parts += [*_signatures(list(by_column.values())), "", _dumps(report, labels, list(by_column.values()))]
    return "\n".join(parts)


def _cells(results: Sequence[Result]) -> list[Any]:
    """Return one column: values with a bar from zero to the greatest, below each its interval."""
    from rich.text import Text

    values = [result.value for result in results]
    digits = _digits(values)
    known = [value for value in values if not math.isnan(value)]
    longest = max(known, default=0.0) if min(known, default=0.0) >= 0 else 0.0
    wide = max(len(_number(value, digits)) for value in values)
    cells = []
    for result in results:
        cell = Text(_number(result.value, digits).rjust(wide))
        if longest > 0 and not math.isnan(result.value):
            cell.append(" ").append(_bar(result.value / longest), style="cyan")
        for line in (_interval(result, digits), f"{result.undefined} undefined" if result.undefined else ""):
            if line:
                cell.append("\n").append(line, style="dim")
        cells.append(cell)
    return cells


def _bar(part: float) -> str:
    """Return a bar that fills `part` of its cells."""
    if not _can_show(_EIGHTHS):
        return "#" * round(part * _BAR_CELLS)
    eighths = round(part * _BAR_CELLS * 8)
    return _EIGHTHS[-1] * (eighths // 8) + _EIGHTHS[eighths % 8].strip()


def _that_fit(
    labels: Mapping[str, Sequence[str]], cells: Mapping[str, list[Any]]
) -> Iterator[dict[str, list[Any]]]:
    """Split columns into as many tables as the width of the terminal asks for."""
    taken = sum(max(map(len, [name, *values])) + 2 for name, values in labels.items())
    fits: dict[str, list[Any]] = {}
    used = taken
    for name, column in cells.items():
        wide = max(len(name), *(len(line) for cell in column for line in cell.plain.split("\n"))) + 2
        if fits and used + wide - 2 > _width():
            yield fits
            fits, used = {}, taken
        fits[name] = column
        used += wide
    yield fits


def _signatures(columns: Sequence[Sequence[Result]]) -> list[str]:
    """Return one line a column; what is not the same for all dumps is a star."""
    lines = []
    for results in columns:
        signatures = [result.signature for result in results]
        parts = {
            key: value if all(other.parts.get(key) == value for other in signatures) else "*"
            for key, value in signatures[0].parts.items()
        }
        lines.append("|".join([signatures[0].metric, *(f"{key}:{value}" for key, value in parts.items())]))
    stars = ", * by dump as listed below" if any("*" in line for line in lines) else ""
    return [_bold(f"signatures{stars}"), *lines]


def _dumps(report: Report, labels: Mapping[str, Sequence[str]], columns: Sequence[Sequence[Result]]) -> str:
    """Return the table of dumps with every part that is a star in the signatures."""
    dumps = report.run["dumps"]
    known = {
        "prompts": [f"{dump['prompts']:,}" for dump in dumps],
        "samples": [f"{dump['samples']:,}" for dump in dumps],
    }
    differ: dict[str, list[str]] = {}
    for results in columns:
        for key in results[0].signature.parts:
            values = [str(result.signature.parts.get(key, "")) for result in results]
            if key not in ("groups", "rows") and len(set(values)) > 1:
                differ.setdefault(key, values)
    shown = {**labels, **known, **differ, "file": [dump["dump"] for dump in dumps]}
    return table(list(shown), zip(*shown.values(), strict=True), right=("prompts", "samples"), wrap=("file",))


def _bold(text: str) -> str:
    return click.style(text, bold=True) if _styled() else text


def many(count: int, what: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _digits(values: Iterable[float]) -> int:
    """Return decimals that show three digits of the smallest value, or tenths where there are hundreds."""
    sizes = [abs(value) for value in values if math.isfinite(value) and value]
    if not sizes:
        return 3
    return 1 if max(sizes) >= 100 else min(6, max(3, 2 - math.floor(math.log10(min(sizes)))))


def _number(value: float, digits: int) -> str:
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}"


def _interval(result: Result, digits: int) -> str:
    low, high = result.interval
    dash = "–" if _can_show("–") else "-"
    return "" if math.isnan(low) else f"{low:.{digits}f}{dash}{high:.{digits}f}"


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _rows(report: Report) -> tuple[list[str], list[list[Any]]]:
    """Return the columns of a flat table and its rows, one a result, None for what is undefined."""
    entries = report.to_dict()["results"]
    rows = []
    for entry in entries:
        low, high = entry.pop("interval")
        signature = entry.pop("signature")
        rows.append({**entry, "low": low, "high": high, "signature": signature})
    headers = [
        *(["model", "task"] if report.several else []),
        "metric",
        "scope",
        "value",
        "std",
        "low",
        "high",
    ]
    headers += ["groups", "undefined", "unit", "signature"]
    return headers, [[row[name] for name in headers] for row in rows]


def _csv(report: Report) -> str:
    """Return a report as CSV, in full precision."""
    headers, rows = _rows(report)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    return text.getvalue().removesuffix("\n")


def _md(report: Report) -> str:
    """Return a report as a Markdown table."""
    headers, rows = _rows(report)
    lines = [headers, ["---"] * len(headers)]
    for row in rows:
        digits = _digits([value for value in row if isinstance(value, float)][:1])
        cells = [
            f"{cell:.{digits}f}" if isinstance(cell, float) else "" if cell is None else str(cell)
            for cell in row
        ]
        cells[-1] = f"`{cells[-1]}`"
        lines.append([cell.replace("|", "\\|") for cell in cells])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def score_remarks(report: Report) -> list[str]:
    """Return what happened on the way to the numbers, one line each."""
    lines = []
    counts = report.counts
    if "left_out" in report.run:
        lines.append(f"Left out: {report.run['left_out']}")
    if "no_values_per_sample" in report.run:
        lines.append(f"No values per sample: {', '.join(report.run['no_values_per_sample'])}.")
    if stripped := counts.pop("reasoning_stripped", 0):
        emptied = counts.pop("reasoning_emptied", 0)
        lines.append(
            f"Reasoning up to </think> was stripped from {many(stripped, 'sample')}, of which {emptied:,} "
            "had nothing after it. Keep it with --keep-reasoning."
        )
    if nulls := counts.pop("null_outputs", 0):
        lines.append(f"Outputs of null, where the sampler got nothing, that count as empty texts: {nulls:,}.")
    if surrogates := counts.pop("lone_surrogates", 0):
        lines.append(f"Lone surrogates that became U+FFFD: {surrogates:,}.")
    if skipped := counts.pop("skipped", 0):
        listed = [line for dump in report.run["dumps"] for line in dump.get("skipped_records", ())]
        more = f" And {skipped - 3:,} more." if skipped > 3 else ""
        lines.append(f"Bad records skipped: {skipped:,}. {' '.join(listed[:3])}{more}")
    lines += [f"{name.replace('_', ' ').capitalize()}: {count:,}." for name, count in counts.items()]
    if undefined := _undefined(report):
        lines.append(f"Undefined: {', '.join(undefined)}.")
    return lines


def _undefined(report: Report) -> list[str]:
    by_column: dict[tuple[str, str], list[Result]] = {}
    for result in report:
        if result.undefined:
            by_column.setdefault((result.metric, result.scope), []).append(result)
    if report.several:
        dumps = len(report.run["dumps"])
        return [
            f"{metric} ({scope}) in {len(of)} of {dumps:,} dumps" for (metric, scope), of in by_column.items()
        ]
    return [
        f"{metric} for {of[0].undefined:,} of {of[0].groups:,} prompts"
        if scope == "prompt"
        else f"{metric} {scope}"
        for (metric, scope), of in by_column.items()
    ]
