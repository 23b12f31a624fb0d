"""What ``divfast compare`` prints."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from divfast.cli import flat, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    from divfast.comparison import Comparison
    from divfast.moved import Moved

# Characters shown of an id and of a prompt.
_ID, _TEXT = 24, 50


def compare_text(comparison: Comparison, form: str) -> str:
    """Return a comparison as ``table``, ``json``, ``csv`` or ``md``."""
    if form == "json":
        return flat.as_json(comparison.to_dict())
    if form == "csv":
        headers, rows = _rows(comparison)
        moved = [[_as_cell(result.most_up), _as_cell(result.most_down)] for result in comparison]
        return flat.as_csv(
            [*headers, "most_up", "most_down"], [[*x, *y] for x, y in zip(rows, moved, strict=True)]
        )
    if form == "md":
        headers, rows = _rows(comparison)
        for row in rows:
            for i in (headers.index("p"), headers.index("p_holm")):
                row[i] = "" if row[i] is None else _p(row[i])
        tables = [flat.as_md(headers, rows, code=["signature_a", "signature_b"])]
        headers, rows = _moved(comparison)
        return "\n\n".join([*tables, flat.as_md(headers, rows)] if rows else tables)
    return _table(comparison)


def _as_cell(moved: Sequence[Moved]) -> str:
    """Return prompts as JSON in one cell."""
    return json.dumps([one.to_dict() for one in moved], allow_nan=False) if moved else ""


def _moved(comparison: Comparison) -> tuple[list[str], list[list[Any]]]:
    """Return a row for every prompt that moved most, up and then down, of every metric that moves on its own."""
    seen, rows = set(), []
    for result in comparison:
        values = result.values.tobytes()
        if values in seen:
            continue
        seen.add(values)
        digits = flat.decimals([result.a, result.b])
        for one in (*result.most_up, *result.most_down):
            row = [result.column, _signed(one.difference, digits)]
            row += [render.number(one.a, digits), render.number(one.b, digits)]
            rows.append(
                [*row, render.one_line(one.input_id or "", _ID), render.one_line(one.prompt or "", _TEXT)]
            )
    headers = ["moved most", "B - A", "A", "B", "input_id", "prompt"]
    if not any(row[-1] for row in rows):
        headers, rows = headers[:-1], [row[:-1] for row in rows]
    return headers, rows


def _table(comparison: Comparison) -> str:
    run = comparison.run
    title = [
        f"{name.upper()}: {' '.join(filter(None, (run[name]['run'], run[name]['model'] and _of(run[name]))))}"
        for name in ("a", "b")
    ]
    rows = []
    for result in comparison:
        digits = flat.decimals([result.a, result.b])
        rows.append(
            [
                result.column,
                result.scope,
                render.number(result.a, digits),
                render.number(result.b, digits),
                _signed(result.difference, digits),
                _interval(result.interval, digits),
                "" if math.isnan(result.effect.d) else _signed(result.effect.d, 2),
                f"{result.effect.up:,}/{result.effect.down:,}" if result.scope == "prompt" else "",
                _p(result.p),
                _p(result.p_holm),
                f"{result.pairs:,}" if result.scope == "prompt" else "",
                f"{result.undefined:,}" if result.undefined else "",
            ]
        )
    headers = ["metric", "scope", "A", "B", "B - A", "95% interval", "d_z", "up/down"]
    headers += ["p", "p (Holm)", "pairs", "undefined"]
    kept = [i for i, column in enumerate(zip(*rows, strict=True)) if any(column)]
    grid = render.table(
        [headers[i] for i in kept], [[row[i] for i in kept] for row in rows], right=headers[2:]
    )
    columns, moved = _moved(comparison)
    for above, row in zip(moved[-2::-1], moved[:0:-1], strict=True):
        row[0] = "" if row[0] == above[0] else row[0]
    most = [render.table(columns, moved, right=columns[1:4]), ""] if moved else []
    signatures = [_both(str(x), str(y)) for x, y in (result.signatures for result in comparison)]
    return "\n".join(
        [*map(render.bold, title), "", grid, "", *most, render.bold("signatures, * differs"), *signatures]
    )


def _of(run: dict[str, Any]) -> str:
    return f"({render.visible(run['model'])})"


def _signed(value: float, digits: int) -> str:
    return render.number(value, digits) if math.isnan(value) else f"{value:+.{digits}f}"


def _interval(ends: tuple[float, float], digits: int) -> str:
    return "" if math.isnan(ends[0]) else " to ".join(_signed(end, digits) for end in ends)


def _p(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _both(one: str, two: str) -> str:
    """Return what two signatures share; parts that differ are a star."""
    there = {word.partition(":")[0]: word for word in two.split("|")}
    words = []
    for i, word in enumerate(one.split("|")):
        key, _, _ = word.partition(":")
        words.append(word if there.get(key) == word else "*" if i == 0 else f"{key}:*")
    return "|".join(words)


def _rows(comparison: Comparison) -> tuple[list[str], list[list[Any]]]:
    """Return the columns of a flat table and its rows, one a result, None for what is undefined."""
    entries = comparison.to_dict()["results"]
    for entry in entries:
        entry["low"], entry["high"] = entry.pop("interval")
        for name in ("effect", "superiority"):
            entry[f"{name}_low"], entry[f"{name}_high"] = entry.pop(f"{name}_interval")
        if entry["scope"] != "prompt":
            entry["up"] = entry["down"] = None
    sizes = [size for size in ("k", "n") if any(size in entry for entry in entries)]
    headers = ["metric", "scope", *sizes, "a", "b", "difference", "low", "high", "p", "p_holm"]
    for name in ("effect", "superiority"):
        headers += [name, f"{name}_low", f"{name}_high"]
    headers += ["up", "down", "pairs", "undefined", "unit", "signature_a", "signature_b"]
    return headers, [[entry.get(name) for name in headers] for entry in entries]


def compare_remarks(comparison: Comparison) -> list[str]:
    """Return what happened on the way to the numbers, one line each."""
    run = comparison.run
    lines = [] if comparison.scored is None else render.score_remarks(comparison.scored)
    lines += run["left_out"]
    if run["only_a"] or run["only_b"]:
        lines.append(
            f"Not paired: {render.many(run['only_a'], 'prompt')} only in A, {run['only_b']:,} only in B."
        )
    if any(result.scope != "prompt" for result in comparison):
        lines.append("first and pooled are single values of each run: no interval, no test.")
    undefined = [
        f"{result.column} ({result.scope}) for {result.undefined:,}"
        for result in comparison
        if result.undefined
    ]
    if undefined:
        lines.append(f"Undefined in one of the runs or both: {', '.join(undefined)}.")
    return lines
