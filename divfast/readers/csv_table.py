"""Tables as CSV, or with tabs or semicolons between the cells: a row a sample."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv

from divfast.errors import DataError
from divfast.readers.arrow import layout_of, records_of
from divfast.readers.records import OUTPUT_FIELDS, Reading, Records
from divfast.readers.source import Source

NAME = "csv"
SUMMARY = "CSV (commas, tabs or semicolons) with a header and a row a sample: prompt, output"

_DELIMITERS = ",\t;"
# A row has to fit.
_BLOCK_BYTES = 1 << 24


def sniff(source: Source) -> bool:
    """Whether the first line is a header that names samples."""
    if source.starts_document in ("{", "["):
        return False
    names = _header(source)[0]
    return len(names) > 1 and any(name in names for name, _ in OUTPUT_FIELDS)


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the rows."""
    names, delimiter = _header(source)
    layout = layout_of(pa.schema([(name, pa.string()) for name in dict.fromkeys(names)]), reading)
    # Verdicts and scores are numbers where they look like it; a text stays one, also where it is 007.
    values = {column for name, column in layout.carried.items() if reading.options.is_per_sample(name)}

    def refused(row: Any) -> str:
        if reading.options.on_error != "skip":
            return "error"
        reading.bad(row.number, f"has {row.actual_columns} cells under {row.expected_columns} names.")
        return "skip"

    first_row = 1
    try:
        with source.seekable() as file:
            table = arrow_csv.open_csv(
                file,
                # Rows are numbered only on one thread.
                arrow_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES),
                arrow_csv.ParseOptions(
                    delimiter=delimiter, newlines_in_values=True, invalid_row_handler=refused
                ),
                arrow_csv.ConvertOptions(
                    # What is not UTF-8 is seen to, and counted, where texts are.
                    check_utf8=False,
                    include_columns=layout.columns,
                    column_types={name: pa.string() for name in layout.columns if name not in values},
                ),
            )
            for batch in table:
                yield records_of(batch, layout, first_row, reading)
                first_row += len(batch)
    except pa.ArrowException as error:
        words = str(error).splitlines()[0].removeprefix("CSV parse error: ").rstrip(".")
        raise DataError(
            f"cannot be read as CSV: {words}.",
            where=source.name,
            remedy="Check the quotes, or leave out rows that do not fit with --on-error skip.",
        ) from None


def _header(source: Source) -> tuple[list[str], str]:
    """Return the names in the first line, and what stands between them."""
    line = source.head.split(b"\n", 1)[0].rstrip(b"\r").decode("utf-8", "replace")
    try:
        found = [(next(csv.reader([line], delimiter=one), []), one) for one in _DELIMITERS]
    except csv.Error:
        return [], ","
    return max(found, key=lambda names: len(names[0]))
