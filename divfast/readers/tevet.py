"""The CSV tables of Tevet and Berant's diversity evaluation: a context and its responses a row."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator

from divfast.readers.records import Reading, RecordBuilder, Records
from divfast.readers.source import Source

NAME = "tevet"
SUMMARY = "CSV of Tevet and Berant: sample_id, context, resp_0, resp_1, ..."

_HEADER = re.compile(rb"[^\n]*\bresp_0\b")


def sniff(source: Source) -> bool:
    """Whether the first line names responses."""
    return not source.starts_document.startswith(("{", "[")) and bool(_HEADER.match(source.head))


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the rows."""
    builder = RecordBuilder(reading)
    data = source.read_all()
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        reading.fail("not valid UTF-8.", "Save the table as UTF-8.", data.count(b"\n", 0, error.start) + 1)
    rows = csv.DictReader(io.StringIO(text, newline=""))
    try:
        names = [name for name in rows.fieldnames or () if name.startswith("resp_")]
        for row in rows:
            outputs = [row[name] or "" for name in names]
            # A table has no other way to say that a row has fewer responses.
            while outputs and not outputs[-1]:
                outputs.pop()
            builder.add(row.get("sample_id"), row.get("context"), outputs, line=rows.line_num)
            if builder.full:
                yield from builder.flush()
    except csv.Error as error:
        reading.fail(f"cannot be read as CSV: {error}.", "Check the quotes.", rows.line_num)
    yield from builder.flush()
