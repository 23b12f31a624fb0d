"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from divfast.errors import OutputError, os_reason

# Dumps have names like samples.parquet too.
_MARK = b"divfast"


def marked(table: pa.Table) -> pa.Table:
    """Return a table that `is_marked` knows when it is a file."""
    return table.replace_schema_metadata({_MARK: b"samples"})


def is_marked(path: Path) -> bool:
    """Return whether a file is a table that divfast wrote."""
    try:
        return _MARK in (pq.read_schema(path).metadata or {})
    except (OSError, pa.ArrowInvalid):
        return False


def check_not_a_dump(path: Path) -> None:
    """Raise `OutputError` where a file is there that divfast did not write."""
    if path.exists() and not is_marked(path):
        raise OutputError(
            "is there already and was not written by divfast.",
            where=str(path),
            remedy="Name another folder with -o.",
        )


def check_folder(folder: str | Path, *, per_sample: bool = False) -> None:
    """Raise `OutputError` where `Report.save` could not write into `folder`; nothing is left behind or made.

    For callers with hours of work ahead; `per_sample` says that there will be values per sample.
    """
    folder = Path(folder)
    if per_sample:
        check_not_a_dump(folder / "samples.parquet")
    try:
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        raise _no_folder(folder, error) from None


def _no_folder(folder: Path, error: OSError) -> OutputError:
    return OutputError(
        f"cannot be made or written into: {os_reason(error)}.",
        where=str(folder),
        remedy="Name another folder with -o.",
    )


def save_report(
    folder: str | Path,
    report: Mapping[str, Any],
    tables: Mapping[str, pa.Table],
    *,
    name: str = "report.json",
) -> None:
    """Write tables by the names of their files, and a report, into `folder`: all or none.

    Raises
    ------
    OutputError
        Where the folder or a file cannot be written.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _no_folder(folder, error) from None
    # Escapes keep the file valid JSON even where a dump has a name that is not UTF-8.
    text = json.dumps(report, indent=2, allow_nan=False) + "\n"

    def writing(table: pa.Table) -> Callable[[Path], object]:
        return lambda path: pq.write_table(table, path)

    write_whole(
        {
            **{folder / file: writing(table) for file, table in tables.items()},
            folder / name: lambda path: path.write_text(text, encoding="utf-8"),
        }
    )


def write_whole(files: Mapping[Path, Callable[[Path], object]]) -> None:
    """Write files under temporary names beside them, then rename all: they are there whole or not at all.

    Parameters
    ----------
    files : Mapping[Path, callable]
        For every file, what writes it to the path that it is called with.

    Raises
    ------
    OutputError
        Where one cannot be written; then none is replaced.
    """
    suffix = f"{uuid.uuid4().hex[:8]}.tmp"
    staged = {path: path.with_name(f".{path.name}.{suffix}") for path in files}
    path = next(iter(files))
    try:
        for path, write in files.items():
            write(staged[path])
            with staged[path].open("rb+") as file:
                os.fsync(file.fileno())
        for path, temporary in staged.items():
            temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot be written: {os_reason(error)}.",
            where=str(path),
            remedy="Free some room or name another folder.",
        ) from None
    finally:
        for temporary in staged.values():
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
