"""Rows on disk, and the table of what is beside what."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from divfast.errors import DataError, os_reason
from divfast.throughput.harness import Row, describe


def load(path: Path) -> list[Row]:
    """Return the rows of a file.

    Raises
    ------
    DataError
        Where it holds something else.
    """
    try:
        rows = json.loads(path.read_text("utf-8"))
        if not isinstance(rows, list) or not all(isinstance(row, dict) and "case" in row for row in rows):
            raise ValueError
    except OSError as error:
        raise DataError(f"cannot be read: {os_reason(error)}.", where=str(path)) from None
    except ValueError:
        raise DataError(
            "is no file of benchmark rows.", where=str(path), remedy="Name another one."
        ) from None
    return rows


def save(rows: Iterable[Row], path: Path) -> None:
    """Write rows into a file; they take the place of those of the same case, size, implementation and machine.

    A row without a time replaces none that has one, unless the values differ.
    """
    kept = {_key(row): row for row in (load(path) if path.exists() else [])}
    for row in rows:
        if row["status"] in ("ok", "differs") or _key(row) not in kept:
            kept[_key(row)] = row
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".part")
    aside.write_text(json.dumps(list(kept.values()), indent=1) + "\n", "utf-8")
    aside.replace(path)


def _key(row: Row) -> tuple[str, ...]:
    return (
        row["case"],
        json.dumps(row["size"], sort_keys=True),
        row["implementation"],
        row["backend"],
        json.dumps(row["machine"], sort_keys=True),
    )


HEADERS = ("case", "size", "peer", "times as fast", "at least", "peak MB", "peer's")


def beside(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return lines in the columns of `HEADERS`: one for each peer of each case and size.

    A case without a peer, with a limit of its own or without a time has a line for divfast too, with its time.
    """
    lines: list[tuple[str, ...]] = []
    for own in rows:
        if own["implementation"] != "divfast":
            continue
        peers = [row for row in rows if row is not own and _key(row)[:2] == _key(own)[:2]]
        here = (own["case"], describe(own["size"]))
        if not peers or own.get("goal") or own["status"] != "ok":
            lines.append((*here, "", _absolute(own), _least(own), _peak(own), ""))
        if own["status"] == "ok":
            for row in peers:
                speed = _times(row["ratio"]) if "ratio" in row else row["status"]
                lines.append((*here, row["implementation"], speed, _least(row), _peak(own), _peak(row)))
    return lines


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 100 else f"{ratio:.3g}"


def reasons(rows: Sequence[Row]) -> list[str]:
    """Return a sentence for every row without a time."""
    return [
        f"{row['case']} {describe(row['size'])}, {row['implementation']}: {row['status']}, {row['reason']}"
        for row in rows
        if "reason" in row
    ]


def markdown(headers: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    rows = [headers, ["---"] * len(headers), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _absolute(row: Row) -> str:
    if "seconds" not in row:
        return str(row["status"])
    seconds: float = row["seconds"]["median"]
    samples = row["work"].get("samples")
    each = f", {seconds / samples * 1e6:.3g} us a sample" if samples else ""
    return f"in {seconds:.3g} s{each}"


def _least(row: Row) -> str:
    goal = row.get("goal", {})
    words = [f"{goal['ratio']:g}"] if "ratio" in goal else []
    if "seconds" in goal:
        words.append(f"{goal['seconds']:g} s")
    if "peak" in goal:
        words.append(f"{goal['peak'] / 1e6:g} MB")
    return ", ".join(words) + ("" if row.get("reached", True) else " (missed)")


def _peak(row: Row) -> str:
    return f"{row['peak_mb']:,.0f}" if "peak_mb" in row else ""
