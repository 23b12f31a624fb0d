"""What ``divfast compare`` prints."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from divfast.cli import flat, render

if TYPE_CHECKING:
    from divfast.comparison import Comparison


def compare_text(comparison: Comparison, form: str) -> str:
    """Return a comparison as ``table``, ``json``, ``csv`` or ``md``."""
    if form == "json":
        return flat.as_json(comparison.to_dict())
    if form == "csv":
        return flat.as_csv(*_rows(comparison))
    if form == "md":
        headers, rows = _rows(comparison)
        for row in rows:
            for i in (headers.index("p"), headers.index("p_holm")):
                row[i] = "" if row[i] is None else _p(row[i])
        return flat.as_md(headers, rows, code=["signature_a", "signature_b"])
    return _table(comparison)


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
                _p(result.p),
                _p(result.p_holm),
                f"{result.pairs:,}" if result.scope == "prompt" else "",
                f"{result.undefined:,}" if result.undefined else "",
            ]
        )
    headers = ["metric", "scope", "A", "B", "B - A", "95% interval", "p", "p (Holm)", "pairs", "undefined"]
    kept = [i for i, column in enumerate(zip(*rows, strict=True)) if any(column)]
    grid = render.table(
        [headers[i] for i in kept], [[row[i] for i in kept] for row in rows], right=headers[2:]
    )
    signatures = [_both(str(x), str(y)) for x, y in (result.signatures for result in comparison)]
    return "\n".join(
        [*map(render.bold, title), "", grid, "", render.bold("signatures, * differs"), *signatures]
    )


def _of(run: dict[str, Any]) -> str:
    return f"({run['model']})"


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
    sizes = [size for size in ("k", "n") if any(size in entry for entry in entries)]
    headers = ["metric", "scope", *sizes, "a", "b", "difference", "low", "high", "p", "p_holm", "pairs"]
    headers += ["undefined", "unit", "signature_a", "signature_b"]
    return headers, [[entry.get(name) for name in headers] for entry in entries]


def compare_remarks(comparison: Comparison) -> list[str]:
    """Return what happened on the way to the numbers, one line each."""
    run = comparison.run
    lines = list(run["left_out"])
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
