"""Tables as texts: CSV to compute with, Markdown and LaTeX to read."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

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
# "share" is of the base in one table, of a loss in another.
_OF_BASE, _OF_LOSS = "share of base, %", "residual / loss"
_PIPE = re.compile(r"[|]")
_MD = re.compile(r"[|*`]|<(?=[^\d\s])")
# What is too long to read stands in Parquet and CSV alone.
_NOT_TO_READ = ("signature", "unit", "std")
# What no page has room for, and stands in Markdown.
_NOT_ON_A_PAGE = (
    *("from", "to", "before", "after", "change", "p", "undefined", "tasks"),
    *("base_all", "model_all", "base_correct", "model_correct", "computable_base", "computable_model"),
)


def as_csv(table: pa.Table) -> str:
    """Return a table as CSV in full precision; what is undefined is empty."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(_rows(table))
    return text.getvalue().removesuffix("\n")


def as_md(table: pa.Table) -> str:
    """Return a table as Markdown, an interval in the cell of its value."""
    return md_table(*to_read(table))


def md_table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, plain: bool = True) -> str:
    """Return texts as a table of Markdown; unless `plain`, they are Markdown themselves."""
    signs = _MD if plain else _PIPE
    escaped = [[signs.sub(r"\\\g<0>", one_line(cell)) for cell in row] for row in (headers, *rows)]
    lines = [escaped[0], ["---"] * len(headers), *escaped[1:]]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def as_tex(table: pa.Table) -> str:
    """Return a table as LaTeX, without the columns that make it wider than a page.

    It needs the packages booktabs, and longtable, since it may be longer than a page.
    """
    left = set(_NOT_ON_A_PAGE)
    names = table.column_names
    if "at_equal_length" in names:
        left.remove("change")
    if "loss" in names:
        # Base and model say which.
        left.add("lineage")
    elif "base" in names:
        # Here it is a number.
        left.add("base")
    return tex_table(*to_read(table.drop_columns([name for name in names if name in left])))


def tex_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return texts as a table of LaTeX, columns of numbers to the right."""
    numeric = [all(_is_number(row[i]) for row in rows) for i in range(len(headers))]
    kinds = [_tex_number if right else _tex for right in numeric]
    lines = [
        f"\\begin{{longtable}}{{{''.join('r' if right else 'l' for right in numeric)}}}",
        r"\toprule",
        _tex_row([_tex(header) for header in headers]),
        r"\midrule",
        r"\endhead",
        *(_tex_row([write(cell) for write, cell in zip(kinds, row, strict=True)]) for row in rows),
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
        digits = 0 if percent and name in _PERCENT else digits_of(columns[name])
        texts = []
        for i, cell in enumerate(columns[name]):
            text = _text(cell, digits, name)
            if low is not None and high is not None and columns[low][i] is not None:
                text += f" [{_text(columns[low][i], digits, name)}, {_text(columns[high][i], digits, name)}]"
            texts.append(text)
        if any(texts):
            of_loss = _OF_LOSS if "share_low" in names else name
            heading = _OF_BASE if percent else of_loss
            out[heading if name == "share" else name] = texts
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


def digits_of(cells: Sequence[Any]) -> int:
    """Return decimals: 3, or as many as show a digit of the middle one of some numbers; 1 where there are hundreds."""
    sizes = [abs(cell) for cell in cells if isinstance(cell, float) and math.isfinite(cell) and cell]
    if not sizes:
        return 3
    return 1 if max(sizes) >= 100 else min(6, max(3, -math.floor(math.log10(sorted(sizes)[len(sizes) // 2]))))


def _text(cell: Any, digits: int, name: str) -> str:
    if cell is None:
        return ""
    if isinstance(cell, float):
        if name == "rank":
            return f"{cell:g}"
        if name in ("p", "p_holm"):
            return f"{cell:.4f}" if cell >= 0.0001 else "<0.0001"
        rounded = f"{cell:.{digits}f}"
        return rounded.removeprefix("-") if float(rounded) == 0 else rounded
    return str(cell)


def _is_number(text: str) -> bool:
    return not text or text.strip("-<").replace(".", "", 1).isdigit() or text[:1].isdigit() or text[:1] == "-"


def _tex_row(cells: Sequence[str]) -> str:
    text = " & ".join(cells)
    # After the end of a row a bracket would be how far to skip, and a star its variant.
    return f"{'{}' if text.startswith(('[', '*')) else ''}{text} \\\\"


def _tex(text: str) -> str:
    escaped = "".join(_TEX.get(char, char) for char in one_line(text))
    # Two of these would be one sign of another kind.
    return re.sub(r"([-'`,])(?=\1)|([?!])(?=`)", r"\1\2{}", escaped)


def _tex_number(text: str) -> str:
    return re.sub(r"-(?=\d)", "$-$", _tex(text))


def one_line(text: str) -> str:
    """Return a text without what would end a line, or cannot be seen."""
    return "".join(char if char.isprintable() else " " for char in text)


def _rows(table: pa.Table) -> Iterator[list[Any]]:
    for batch in table.to_batches():
        yield from (list(row.values()) for row in batch.to_pylist())
