"""What commands print. Numbers are rounded here and nowhere else."""

from __future__ import annotations

import math
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from divfast.cli import flat
from divfast.cli.flat import decimals

if TYPE_CHECKING:
    from divfast.coverage import Coverage
    from divfast.model_similarity import Similarity
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
        grid.add_column(
            visible(header), justify="right" if header in right else "left", no_wrap=header not in wrap
        )
    for row in rows:
        grid.add_row(*(visible(cell) if isinstance(cell, str) else cell for cell in row))
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
    if form != "table":
        return flat.of_report(report.to_dict(), form)
    return _of_several(report) if report.several else _of_one(report)


def _of_one(report: Report) -> str:
    dump = report.run["dumps"][0]
    named = [part for part in (dump["model"], dump["task"]) if part]
    counts = many(dump["prompts"], "prompt"), many(dump["samples"], "sample")
    title = visible(", ".join([*named, *counts]))
    rows = []
    for result in report:
        digits = decimals([result.value])
        rows.append(
            [
                result.column,
                result.scope,
                number(result.value, digits),
                "" if math.isnan(result.std) else number(result.std, digits),
                interval(result, digits),
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
    return "\n".join([bold(title), "", grid, "", *signatures([[result] for result in report])])


def _of_several(report: Report) -> str:
    dumps = report.run["dumps"]
    by_column: dict[tuple[str, str], list[Result]] = {}
    for result in report:
        by_column.setdefault((result.scope, result.column), []).append(result)
    labels = {
        "model": [dump["model"] or "" for dump in dumps],
        "task": [dump["task"] or "" for dump in dumps],
    }
    if not any(labels["task"]):
        del labels["task"]
    parts = []
    for scope, columns in groupby(by_column.items(), key=lambda item: item[0][0]):
        parts += [bold(_SCOPES[scope]), ""]
        cells = {metric: _cells(results) for (_, metric), results in columns}
        for some in _that_fit(labels, cells):
            parts += [table([*labels, *some], zip(*labels.values(), *some.values(), strict=True)), ""]
    parts += [*signatures(list(by_column.values())), "", _dumps(report, labels, list(by_column.values()))]
    return "\n".join(parts)


def _cells(results: Sequence[Result]) -> list[Any]:
    """Return one column: values with a bar from zero to the greatest, below each its interval."""
    from rich.text import Text

    values = [result.value for result in results]
    digits = decimals(values)
    known = [value for value in values if not math.isnan(value)]
    longest = max(known, default=0.0) if min(known, default=0.0) >= 0 else 0.0
    wide = max(len(number(value, digits)) for value in values)
    cells = []
    for result in results:
        cell = Text(number(result.value, digits).rjust(wide))
        if longest > 0 and not math.isnan(result.value):
            cell.append(" ").append(_bar(result.value / longest), style="cyan")
        for line in (interval(result, digits), f"{result.undefined} undefined" if result.undefined else ""):
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


def signatures(columns: Sequence[Sequence[Result | Coverage | Similarity]]) -> list[str]:
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
    return [bold(f"signatures{stars}"), *lines]


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
                # Whether draws were needed depends on the size; the same for all metrics that draw.
                size = results[0].column.removeprefix(results[0].metric)
                differ.setdefault(f"draws{size}" if key == "draws" else key, values)
    shown = {**labels, **known, **differ, "file": [dump["dump"] for dump in dumps]}
    return table(list(shown), zip(*shown.values(), strict=True), right=("prompts", "samples"), wrap=("file",))


def wrote(folder: str, *names: str) -> str:
    """Return a line that names the files that were written into a folder."""
    *others, last = (str(Path(folder, name)) for name in names)
    return f"Wrote {', '.join(others)} and {last}."


def bold(text: str) -> str:
    """Return a title, bold where stdout is a terminal."""
    return click.style(text, bold=True) if _styled() else text


def many(count: int, what: str) -> str:
    """Return a count with its noun."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def visible(text: str) -> str:
    """Return a text without what a terminal would obey: names, also of exceptions, are whatever a model wrote."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def one_line(text: str, width: int) -> str:
    """Return the beginning of a text on one line, without what would move the cursor."""
    line = visible(text).replace("\n", " ")
    return line if len(line) <= width else line[: width - 1] + "…"


def number(value: float, digits: int) -> str:
    """Return a number with so many decimals."""
    return "undefined" if math.isnan(value) else f"{value:.{digits}f}"


def interval(result: Result | Coverage, digits: int) -> str:
    """Return the ends of an interval; nothing where there is none."""
    low, high = result.interval
    dash = "–" if _can_show("–") else "-"
    return "" if math.isnan(low) else f"{low:.{digits}f}{dash}{high:.{digits}f}"


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def score_remarks(report: Report) -> list[str]:
    """Return what happened on the way to the numbers, one line each."""
    lines = [f"Left out: {report.run['left_out']}"] if "left_out" in report.run else []
    if "no_values_per_sample" in report.run:
        lines.append(f"No values per sample: {', '.join(report.run['no_values_per_sample'])}.")
    programs = [dump["programs"] for dump in report.run["dumps"] if "programs" in dump]
    if unparseable := sum(found["unparseable"] for found in programs):
        seen = sum(found["programs"] for found in programs)
        lines.append(f"Programs that do not parse: {unparseable:,} of {seen:,} ({unparseable / seen:.1%}).")
    lines += reading_remarks(report.counts, report.run["dumps"])
    if alone := _of_one_sample(report):
        of = f" of {' and '.join(alone)}" if report.several else ""
        lines.append(
            f"Every prompt{of} has one sample, with nothing to compare it with. If several records are samples of one "
            "prompt, name the field that they share with --id-field."
        )
    if undefined := _undefined(report):
        lines.append(f"Undefined: {', '.join(undefined)}.")
    return lines


def _of_one_sample(report: Report) -> list[str]:
    """Return the models of which every prompt has one sample, where a metric compares the samples of a prompt."""
    compared = [
        result
        for result in report
        if result.scope == "prompt" and not {"labels", "where"} & set(result.signature.parts)
    ]
    models, start = [], 0
    for dump in report.run["dumps"] if compared else ():
        sizes = report.groups["n"].slice(start, dump["prompts"]).to_numpy()
        start += dump["prompts"]
        if len(sizes) and (sizes == 1).all():
            models.append(str(dump["model"]))
    return models


def reading_remarks(counts: dict[str, int], dumps: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what readers changed or left out, one line each."""
    lines = []
    counts = dict(counts)
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
        listed = [line for dump in dumps for line in dump.get("skipped_records", ())]
        more = f" And {skipped - 3:,} more." if skipped > 3 else ""
        lines.append(f"Bad records skipped: {skipped:,}. {' '.join(listed[:3])}{more}")
    lines += [f"{name.replace('_', ' ').capitalize()}: {count:,}." for name, count in counts.items()]
    return lines


def _undefined(report: Report) -> list[str]:
    by_column: dict[tuple[str, str], list[Result]] = {}
    for result in report:
        if result.undefined:
            by_column.setdefault((result.column, result.scope), []).append(result)
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
