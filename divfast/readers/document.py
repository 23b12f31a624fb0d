"""One JSON document: a list of records, an object of id and record, or bigcode's list of lists of programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from divfast.readers.fields import (
    Fields,
    Json,
    Malformed,
    elements,
    kind_of,
    members,
    parse,
    scalar,
    text_list,
)
from divfast.readers.objects import add, line_of, numbered
from divfast.readers.others import json_text
from divfast.readers.records import (
    ALIASES,
    META_FIELDS,
    OUTPUT_FIELDS,
    QUALIFIERS,
    Reading,
    ReadOptions,
    RecordBuilder,
    Records,
    first_of,
    no_samples,
    prompt_of,
)
from divfast.readers.source import Source

NAME = "json"
SUMMARY = "one JSON document: a list of records, an object of id and record, or a list of lists (bigcode)"


def sniff(source: Source) -> bool:
    """Whether it is a JSON list, or an object that is spread over lines or holds records by id."""
    if source.is_list:
        return True
    if source.starts_document != "{":
        return False
    record = source.first_record
    if record is None:
        # The first line is a part of an object: of the document, or of a record that was cut off.
        return source.head.lstrip().split(b"\n")[0].rstrip()[-1:] in (b"{", b"[", b",")
    if any(name in record for name, _ in OUTPUT_FIELDS):
        return False
    only_line = source.head.strip().count(b"\n") == 0
    if not only_line or len(record) == 0:
        return False
    first = _value(record, next(iter(record)))
    if isinstance(first, Mapping):
        return any(name in first for name, _ in OUTPUT_FIELDS)
    return len(record) > 1 and isinstance(first, list) and all(isinstance(text, str) for text in first)


def _value(record: Mapping[str, Any], name: str) -> Any:
    try:
        return record[name]
    except Malformed:
        return None


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the records of the document."""
    data = memoryview(source.read_all())
    builder = RecordBuilder(reading)
    try:
        names, spans = _children(data, reading)
    except Malformed as bad:
        is_lines = bad.what.startswith("more text")
        remedy = 'Put all into one JSON list, or write JSON Lines of records with a field "outputs".'
        reading.fail(bad.what, remedy if is_lines else "Check that the file is whole.", line_of(data, bad.at))
    for at, (line, value) in enumerate(numbered(data, spans)):
        name = names[at] if names is not None else None
        yield from _record(builder, value, name, at, line, reading)
    yield from builder.flush()


def _children(data: memoryview, reading: Reading) -> tuple[list[str] | None, list[list[int]]]:
    if bytes(data[:4096]).lstrip()[:1] == b"[":
        return None, elements(data).tolist()
    names, spans = members(data)
    if any(name in names for name, _ in reading.options.output_fields):
        # One record by itself.
        return None, [[0, len(data)]]
    return names, spans.tolist()


def _record(
    builder: RecordBuilder, value: Json, name: str | None, at: int, line: int, reading: Reading
) -> Iterator[Records]:
    try:
        first = bytes(value[:64]).lstrip()[:1]
        if first == b"[":
            # Without names the position is the id: bigcode numbers its problems so.
            texts = text_list(parse(value), "outputs")
            builder.add(str(at) if name is None else name, None, texts, line=line)
        elif first == b"{":
            yield from add(builder, partial(_take, reading, name), Fields(value), line, reading)
        else:
            raise Malformed(f"expected a record, got {kind_of(parse(value))}.")
    except Malformed as bad:
        reading.bad(line, bad.what, bad.remedy)
    if builder.full:
        yield from builder.flush()


def _take(
    reading: Reading, name: str | None, builder: RecordBuilder, fields: Mapping[str, Any], line: int | str
) -> None:
    options = reading.options
    name_of_outputs, outputs, single = _outputs(fields, reading)
    id = scalar(first_of(fields, options.id_fields)) if name is None else name
    prompt = prompt_of(fields, options)
    if id is None and single:
        # Samples that stand one to a record and have no id are told apart by their prompt.
        id = prompt
    carried = (
        *META_FIELDS,
        *options.wanted,
        *(alias for known in options.wanted for alias in ALIASES.get(known, ())),
    )
    key = None
    if id is not None:
        key = "\x1f".join([id, *(scalar(fields.get(qualifier)) or "" for qualifier in QUALIFIERS)])
    builder.add(
        id,
        prompt,
        outputs,
        line=line,
        columns={known: fields[known] for known in carried if known in fields},
        others=_others(fields, name_of_outputs, options),
        key=key,
    )


def _others(fields: Mapping[str, Any], outputs: str, options: ReadOptions) -> str | None:
    """Return the text of all fields but that with the samples and those that are left out, where it is asked for."""
    if options.all_but is None:
        return None
    left_out = {outputs, *options.all_but}
    assert isinstance(fields, Fields)
    texts = ((name, str(fields.raw(name), "utf-8")) for name in fields if name not in left_out)
    # A document may be spread over lines.
    return ", ".join(f"{json_text(name)}: {text}" for name, text in texts).translate({10: 32, 13: 32})


def _outputs(fields: Mapping[str, Any], reading: Reading) -> tuple[str, list[str | None], bool]:
    wrong: Malformed | None = None
    for name, may_be_text in reading.options.output_fields:
        if name not in fields:
            continue
        value = fields[name]
        if may_be_text and (value is None or isinstance(value, str)):
            return name, [value], True
        try:
            return name, text_list(value, name), False
        except Malformed as bad:
            wrong = wrong or bad
    if wrong is not None:
        raise wrong
    raise Malformed(no_samples("field", fields, reading.options), "Name another field with --outputs-field.")
