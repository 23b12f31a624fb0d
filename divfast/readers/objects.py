"""Records that Python takes apart: one JSON object after the other, from lines or from one JSON list."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from divfast.readers.fields import Fields, Json, Malformed, elements, kind_of
from divfast.readers.records import Reading, RecordBuilder, Records
from divfast.readers.source import Source

WINDOW_BYTES = 1 << 22

Take = Callable[[RecordBuilder, Mapping[str, Any], int | str], None]


def build(source: Source, reading: Reading, take: Take) -> Iterator[Records]:
    """Yield the records that `take` makes of every JSON object of a file.

    Parameters
    ----------
    source, reading
        The file, and how to read it.
    take : callable
        ``take(builder, fields, line)`` adds what one object holds, or raises `Malformed`.
    """
    builder = RecordBuilder(reading)
    for line, fields in each_object(source, reading):
        yield from add(builder, take, fields, line, reading)
    yield from builder.flush()


def add(
    builder: RecordBuilder, take: Take, fields: Mapping[str, Any], line: int | str, reading: Reading
) -> Iterator[Records]:
    """Have `take` add one record; yield what has been collected once it is a block's worth."""
    try:
        take(builder, fields, line)
    except Malformed as bad:
        reading.bad(line, bad.what, bad.remedy)
    if builder.full:
        yield from builder.flush()


def each_object(source: Source, reading: Reading) -> Iterator[tuple[int, Fields]]:
    """Yield the JSON objects of a file, each with the line on which it begins."""
    if source.is_list:
        data = memoryview(source.read_all())
        try:
            spans = elements(data)
        except Malformed as bad:
            reading.fail(bad.what, "Check that the file is whole.", line_of(data, bad.at))
        for line, value in numbered(data, spans.tolist()):
            yield from _object(value, line, reading)
        return
    line = 0
    for window in source.windows(WINDOW_BYTES):
        for text in bytes(window).removesuffix(b"\n").split(b"\n"):
            line += 1
            if text.strip():
                yield from _object(text, line, reading)


def _object(value: Json, line: int, reading: Reading) -> Iterator[tuple[int, Fields]]:
    try:
        fields = Fields(value)
    except Malformed as bad:
        reading.bad(line, bad.what, bad.remedy)
    else:
        yield line, fields


def numbered(data: memoryview, spans: Sequence[Sequence[int]]) -> Iterator[tuple[int, memoryview]]:
    """Yield slices of a document, each with the line on which it begins."""
    line, seen = 1, 0
    for start, stop in spans:
        line += bytes(data[seen:start]).count(b"\n")
        seen = start
        yield line, data[start:stop]


def line_of(data: Json, at: int) -> int:
    """Return the line of a document on which a byte stands."""
    return bytes(data[:at]).count(b"\n") + 1


def expect_list(value: Any, name: str) -> list[Any]:
    """Return a list, or raise `Malformed`."""
    if not isinstance(value, list):
        raise Malformed(f'"{name}" must be a list, got {kind_of(value)}.')
    return value
