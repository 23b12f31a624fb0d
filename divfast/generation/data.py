"""The records of a data set: from the Hugging Face Hub, or from files of the same columns."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from divfast.errors import BackendError, DataError
from divfast.generation.template import Record
from divfast.readers.source import Source

_KINDS = (".jsonl", ".json", ".ndjson", ".csv", ".parquet")
COMPRESSED = (".gz", ".zst", ".xz")


def read_hub(dataset: str, config: str | None, split: str, revision: str | None) -> Sequence[Record]:
    """Return the records of a data set on the Hugging Face Hub, or in a folder that is laid out like one.

    Raises
    ------
    BackendError
        Where the package ``datasets`` is not installed.
    DataError
        Where the data set cannot be had.
    """
    try:
        import datasets
    except ImportError:
        raise BackendError(
            f"{dataset} is read with the package datasets.",
            remedy="pip install 'divfast[generate]', or name local files with --data.",
        ) from None
    try:
        found: Sequence[Record] = datasets.load_dataset(dataset, config, split=split, revision=revision)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0]
        raise DataError(
            f"cannot be had: {reason or type(error).__name__}",
            where=dataset,
            remedy="Check the network and its name, or name local files with --data.",
        ) from None
    return found


def read_local(path: Path, config: str | None, split: str) -> list[Record]:
    """Return the records of a file, or of the files in a folder.

    Raises
    ------
    DataError
        Where there is none, or one cannot be read.
    """
    if not path.exists():
        raise DataError("is not there.", where=str(path), remedy="Check the path given with --data.")
    records = [record for file in _files(path, config, split) for record in _records(file)]
    if not records:
        raise DataError("holds no records.", where=str(path), remedy="Check the path given with --data.")
    return records


def columns_of(records: Sequence[Record]) -> list[str]:
    """Return the names of the columns, as the data set or its first record has them."""
    names = getattr(records, "column_names", None)
    return list(names) if names is not None else list(records[0])


def _files(path: Path, config: str | None, split: str) -> list[Path]:
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file() and _kind(file) in _KINDS)
    if not found:
        raise DataError(f"holds no file that ends in {', '.join(_KINDS)}.", where=str(path))
    for word in (config, split):
        if word is not None:
            named = [file for file in found if _names(file.relative_to(path), word)]
            found = named or found
    return found


def _names(path: Path, word: str) -> bool:
    """Return whether a word stands in a path, not within another."""
    return (
        re.search(rf"(?<![A-Za-z0-9]){re.escape(word)}(?![A-Za-z0-9])", str(path), re.IGNORECASE) is not None
    )


def _kind(file: Path) -> str:
    return (file.with_suffix("") if file.suffix in COMPRESSED else file).suffix.lower()


def _records(file: Path) -> Iterator[Record]:
    kind = _kind(file)
    if kind == ".parquet":
        yield from _parquet(file)
        return
    source = Source(file)
    if kind == ".csv":
        yield from (row for _, row in table_rows(source))
        return
    from divfast.readers.objects import each_object
    from divfast.readers.records import Reading, ReadOptions

    for _, fields in each_object(source, Reading(source.name, ReadOptions())):
        yield dict(fields)


def _parquet(file: Path) -> Iterator[Record]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        yield from pq.read_table(file).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"cannot be read as Parquet: {error}", where=str(file)) from None


def table_rows(source: Source, delimiter: str = ",") -> list[tuple[int, dict[str, Any]]]:
    """Return the rows of a CSV file, each with the line on which it ends; the first row has the names.

    Raises
    ------
    DataError
        Where it is no UTF-8 or no CSV, or a row has more values than there are names.
    """
    try:
        text = bytes(source.read_all()).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"is not UTF-8 (byte {error.start + 1}).", where=source.name, remedy="Save it as UTF-8."
        ) from None
    # The limit is one for the whole process.
    limit = csv.field_size_limit(max(len(text), csv.field_size_limit()))
    found: list[tuple[int, dict[str, Any]]] = []
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
        for row in reader:
            if any(row.pop(None, ())):
                raise csv.Error(f"line {reader.line_num} has more values than the first line has names")
            found.append((reader.line_num, row))
    except csv.Error as error:
        raise DataError(
            f"cannot be read as CSV: {error}.",
            where=source.name,
            remedy="Put quotes around values with commas.",
        ) from None
    finally:
        csv.field_size_limit(limit)
    return found
