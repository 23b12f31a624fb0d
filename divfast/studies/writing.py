"""Tables as files: Parquet and CSV to compute with, Markdown and LaTeX to read."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from divfast.errors import OutputError, os_reason
from divfast.output import write_whole

_TEX = {
    **{char: f"\\{char}" for char in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
}
# In percent: tenths are more than their intervals allow.
_PERCENT = ("share", "low", "high")
# What is too long to read stands in Parquet and CSV alone.
_NOT_TO_READ = ("signature", "unit", "std")


def write_tables(
    folder: Path, tables: Mapping[str, pa.Table], told: Mapping[str, Any], names: Iterable[str]
) -> None:
    """Write every table as ``NAME.parquet``, ``.csv``, ``.md`` and ``.tex``, and ``study.json``: all or none.

    Of all `names` that tables have, those that are not among them now are removed where an earlier study left them.

    Raises
    ------
    OutputError
        Where the folder or a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot be made: {os_reason(error)}.", where=str(folder), remedy="Name another folder with -o."
        ) from None
    text = json.dumps(told, indent=2, allow_nan=False) + "\n"
    files: dict[Path, Callable[[Path], object]] = {
        folder / "study.json": lambda path: path.write_text(text, encoding="utf-8")
    }
    for name, table in tables.items():
        files[folder / f"{name}.parquet"] = lambda path, table=table: pq.write_table(table, path)  # type: ignore[misc]
        for suffix, write in (("csv", as_csv), ("md", as_md), ("tex", as_tex)):
            text_of = f"{write(table)}\n"
            files[folder / f"{name}.{suffix}"] = lambda path, text_of=text_of: path.write_text(  # type: ignore[misc]
                text_of, encoding="utf-8", newline="\n"
            )
    was_study = (folder / "study.json").is_file()
    write_whole(files)
    for name in names if was_study else ():
        if name not in tables:
            for suffix in ("parquet", "csv", "md", "tex"):
                (folder / f"{name}.{suffix}").unlink(missing_ok=True)


def as_csv(table: pa.Table) -> str:
    """Return a table as CSV in full precision; what is undefined is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(_rows(table))
    return text.getvalue().removesuffix("\n")


def as_md(table: pa.Table) -> str:
    """Return a table as Markdown, an interval in the cell of its value."""
    headers, rows = to_read(table)
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (headers, *rows)]
    lines = [escaped[0], ["---"] * len(headers), *escaped[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_tex(table: pa.Table) -> str:
    """Return a table as LaTeX (package booktabs; longtable, since it may be longer than a page)."""
    headers, rows = to_read(table)
    numeric = [all(_is_number(row[i]) for row in rows) for i in range(len(headers))]
    lines = [
        f"\\begin{{longtable}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
        r"\toprule",
        f"{' & '.join(map(_tex, headers))} \\\\",
        r"\midrule",
        r"\endhead",
        *(f"{_tex_row(row)} \\\\" for row in rows),
        r"\bottomrule",
        r"\end{longtable}",
    ]
    return "\n".join(lines)


def to_read(table: pa.Table) -> tuple[list[str], list[list[str]]]:
    """Return headers and cells as texts: numbers rounded, ``NAME_low`` and ``NAME_high`` beside ``NAME``."""
    names = [name for name in table.column_names if name not in _NOT_TO_READ]
    columns = {name: table[name].to_pylist() for name in names}
    ends = {name: of for name in names if (of := _interval_of(name, names)) is not None}
    percent = "share" in names and "lineage" in names and "share_low" not in names
    out: dict[str, list[str]] = {}
    for name in names:
        if name in ends:
            continue
        low, high = (
            next((end for end, of in ends.items() if of == name and end.endswith(side)), None)
            for side in ("low", "high")
        )
        digits = 0 if percent and name in _PERCENT else _digits(columns[name])
        texts = []
        for i, cell in enumerate(columns[name]):
            text = _text(cell, digits, name)
            if low is not None and high is not None and columns[low][i] is not None:
                text += f" [{_text(columns[low][i], digits, name)}, {_text(columns[high][i], digits, name)}]"
            texts.append(text)
        if any(texts):
            out[name] = texts
    return list(out), [list(row) for row in zip(*out.values(), strict=True)]


def _interval_of(name: str, names: Sequence[str]) -> str | None:
    """Return the column whose interval a column is an end of."""
    for side in ("low", "high"):
        if name == side:
            # The nearest column of numbers before it that is not an end itself.
            before = names[: names.index("low")]
            return before[-1] if before else None
        if name.endswith(f"_{side}") and name.removesuffix(f"_{side}") in names:
            return name.removesuffix(f"_{side}")
    return None


def _digits(cells: Sequence[Any]) -> int:
    sizes = [abs(cell) for cell in cells if isinstance(cell, float) and math.isfinite(cell) and cell]
    return 1 if sizes and max(sizes) >= 100 else 3


def _text(cell: Any, digits: int, name: str) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        if name in ("p", "p_holm"):
            return f"{cell:.4f}" if cell >= 0.0001 else "<0.0001"
        rounded = f"{cell:.{digits}f}"
        return rounded.removeprefix("-") if float(rounded) == 0 else rounded
    return str(cell)


def _is_number(text: str) -> bool:
    return not text or text.strip("-<").replace(".", "", 1).isdigit() or text[:1].isdigit() or text[:1] == "-"


def _tex_row(row: Sequence[str]) -> str:
    text = " & ".join(map(_tex, row))
    # After the end of a row a bracket would be how far to skip, and a star its variant.
    return f"{{}}{text}" if text.startswith(("[", "*")) else text


def _tex(text: str) -> str:
    return "".join(_TEX.get(char, char) for char in text)


def _rows(table: pa.Table) -> Iterator[list[Any]]:
    for batch in table.to_batches():
        yield from (list(row.values()) for row in batch.to_pylist())
