"""Plain text, one sample a line, one group; only when asked for by name."""

from __future__ import annotations

from collections.abc import Iterator

from divfast.readers.records import Reading, RecordBuilder, Records
from divfast.readers.source import Source

NAME = "lines"
SUMMARY = "plain text, one sample a line, all in one group (only with --reader lines)"


def sniff(source: Source) -> bool:
    """Never: any text could be this."""
    return False


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the lines; an empty line is an empty sample, the end of the last line is not."""
    builder = RecordBuilder(reading)
    rest = b""
    number = 0
    for chunk in source.chunks():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            number += 1
            _add(builder, line, number, reading)
            if builder.full:
                yield from builder.flush()
    if rest:
        _add(builder, rest, number + 1, reading)
    yield from builder.flush()


def _add(builder: RecordBuilder, line: bytes, number: int, reading: Reading) -> None:
    try:
        text = line.removesuffix(b"\r").decode("utf-8")
    except UnicodeDecodeError as error:
        reading.bad(number, f"not valid UTF-8 (byte {error.start + 1} of the line).")
        return
    builder.add("0", None, [text], line=number)
