"""Prompts from a file: lines, records, or whatever a reader understands."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from divfast.errors import DataError
from divfast.generation.data import COMPRESSED, table_rows
from divfast.generation.prompts import Message, Prompt
from divfast.readers import formats, read
from divfast.readers.fields import Malformed, dig, message_text, scalar
from divfast.readers.objects import each_object
from divfast.readers.records import (
    META_FIELDS,
    OUTPUT_FIELDS,
    PER_PROMPT_FIELDS,
    PER_SAMPLE_FIELDS,
    Reading,
    ReadOptions,
    first_of,
    prompt_of,
)
from divfast.readers.source import Source

# What a dump says of its samples; a prompt has none yet.
OF_SAMPLES = frozenset(
    {
        *(name for name, _ in OUTPUT_FIELDS),
        *PER_SAMPLE_FIELDS,
        *META_FIELDS,
        *("extracted", "expected", "error", "generation", "output_tokens", "reasoning"),
    }
)
# What it says of a prompt.
OF_PROMPTS = frozenset({"input_id", "prompt", "messages"})
_CONVERSATIONS = (("messages",), ("body", "messages"), ("prompt",), ("conversation",))
_TEXTS = (("body", "prompt"), ("body", "input"))
# Columns that a table of text holds as JSON.
_STRUCTURED = ("messages", "conversation", "references", "tests")
_ROLES = ("system", "user", "assistant", "tool", "developer")


def read_prompts(
    path: str | Path,
    *,
    limit: int | None = None,
    id_field: str | None = None,
    prompt_field: str | None = None,
    reader: str | None = None,
    on_error: str = "fail",
) -> tuple[list[Prompt], list[str]]:
    """Return the prompts of a file, and where records were left out and why.

    Parameters
    ----------
    path : str or Path
        Records (JSON Lines, a JSON list, Parquet, CSV) with a prompt or a conversation each, under the names that dumps
        have for them; their other columns are carried along. Else what a reader recognises: a dump of another model.
        Else plain text, a prompt a line.
    limit : int, optional
        Only the first so many.
    id_field, prompt_field : str, optional
        Names of these fields where they are unusual.
    reader : str, optional
        Force the format of a dump.
    on_error : {"fail", "skip"}
        Stop at a bad record, or leave it out.

    Raises
    ------
    DataError
        Where there are no prompts, or two have the same id.
    """
    source = Source(path)
    options = ReadOptions(id_field=id_field, prompt_field=prompt_field, on_error=on_error)
    reading = Reading(source.name, options)
    found = list(islice(_unique(_prompts(source, reading, reader), reading), limit))
    if not found:
        reading.fail("holds no prompts.", "Give a prompt a line, or records with a field prompt or messages.")
    return found, reading.skipped


def _prompts(source: Source, reading: Reading, reader: str | None) -> Iterator[tuple[int, Prompt]]:
    if reader == "lines":
        return _lines(source, reading)
    if reader is None:
        if not source.is_directory and not source.head.strip():
            return iter(())
        sniffed = next((name for name, module in formats().items() if module.sniff(source)), None)
        first = source.first_record
        if first is not None and (_is_ours(first, reading.options) or _is_without_samples(first, sniffed)):
            return _records(each_object(source, reading), reading, by_line=not source.is_list)
        if _is_table_of_prompts(source, reading.options):
            return _records(_rows(source), reading)
        if not source.is_directory and sniffed is None:
            if (delimiter := _delimiter(source.path)) is not None:
                return _records(_text_rows(source, delimiter), reading, by_line=False)
            return _lines(source, reading)
    return _of_dump(source, reading, reader)


def _is_ours(record: Mapping[str, Any], options: ReadOptions) -> bool:
    try:
        return _take(record, options, 1) is not None
    except Malformed:
        return True


def _is_without_samples(record: Mapping[str, Any], sniffed: str | None) -> bool:
    """Return whether a record that has no prompt is none of a dump either."""
    return sniffed in ("jsonl", "json") and not any(name in record for name, _ in OUTPUT_FIELDS)


def _records(
    records: Iterator[tuple[int, Any]], reading: Reading, by_line: bool = True
) -> Iterator[tuple[int, Prompt]]:
    """Yield the prompts of records; those of a list may all stand on one line, and are numbered by their places."""
    for at, (line, record) in enumerate(records, 1):
        try:
            prompt = _take(record, reading.options, line if by_line else at)
            if prompt is None:
                named = next(
                    (name for name in (*reading.options.prompt_fields, "messages") if name in record), None
                )
                if named is not None:
                    raise Malformed(f'"{named}" holds nothing.')
                names = ", ".join(map(str, record))
                raise Malformed(f"there is no prompt among {names}.", "Name its field with --prompt-field.")
        except Malformed as bad:
            reading.bad(line, bad.what, bad.remedy)
        else:
            yield line, prompt


def _take(record: Mapping[str, Any], options: ReadOptions, number: int) -> Prompt | None:
    """Return the prompt of a record, None where it has no field for one; `number` is its id if it names none."""
    messages, text = None, None
    if options.prompt_field is None:
        spoken = next(
            (value for path in _CONVERSATIONS if isinstance(value := dig(record, *path), list)), None
        )
        if spoken is not None:
            messages = _conversation(spoken)
            text = messages[-1]["content"]
        else:
            text = next((value for path in _TEXTS if isinstance(value := dig(record, *path), str)), None)
    if text is None:
        value = first_of(record, options.prompt_fields)
        if isinstance(value, list):
            messages = _conversation(value)
            text = messages[-1]["content"]
        else:
            text = prompt_of(record, options)
    if text is None:
        return None
    id = scalar(first_of(record, options.id_fields))
    known = {"body", "conversation", "method", "url", *options.id_fields, *options.prompt_fields, *OF_PROMPTS}
    columns = {name: record[name] for name in record if name not in known and name not in OF_SAMPLES}
    return Prompt(str(number) if id is None else id, text, messages, columns)


def _conversation(value: Any) -> list[Message]:
    turns: list[Message] = []
    for turn in value:
        role, parts = dig(turn, "role"), dig(turn, "content")
        content = message_text(parts)
        if isinstance(parts, list) and any(dig(part, "text") is None for part in parts):
            raise Malformed("a message holds something else than text, which cannot be asked here.")
        if role not in _ROLES or content is None:
            raise Malformed('a message needs a "role" and a "content" of text.')
        turns.append({"role": role, "content": content})
    if not turns or turns[-1]["role"] != "user":
        raise Malformed("the last message of a conversation must be the user's.")
    return turns


def _is_table_of_prompts(source: Source, options: ReadOptions) -> bool:
    """Return whether this is a Parquet file without samples."""
    import pyarrow.parquet as pq

    if not source.head.startswith(b"PAR1"):
        return False
    with source.seekable() as file:
        names = set(pq.read_schema(file).names)
    outputs = {name for name, _ in options.output_fields} | {"model_response", "predictions"}
    return not names & outputs


def _delimiter(path: Path) -> str | None:
    """Return what stands between the values of a table of text; None where the name is of none."""
    name = path.with_suffix("") if path.suffix in COMPRESSED else path
    return {".csv": ",", ".tsv": "\t"}.get(name.suffix.lower())


def _text_rows(source: Source, delimiter: str) -> Iterator[tuple[int, Any]]:
    for line, row in table_rows(source, delimiter):
        for name in _STRUCTURED:
            if isinstance(value := row.get(name), str) and value.lstrip()[:1] in ("[", "{"):
                with contextlib.suppress(ValueError, RecursionError):
                    row[name] = json.loads(value)
        yield line, {name: value or None for name, value in row.items()}


def _rows(source: Source) -> Iterator[tuple[int, Any]]:
    import pyarrow.parquet as pq

    with source.seekable() as file:
        at = 0
        for batch in pq.ParquetFile(file).iter_batches():
            for row in batch.to_pylist():
                at += 1
                yield at, row


def _lines(source: Source, reading: Reading) -> Iterator[tuple[int, Prompt]]:
    number = 0
    for window in source.windows(1 << 20):
        for line in bytes(window).removesuffix(b"\n").split(b"\n"):
            number += 1
            try:
                text = line.removesuffix(b"\r").decode("utf-8")
            except UnicodeDecodeError as error:
                reading.bad(number, f"not valid UTF-8 (byte {error.start + 1} of the line).")
                continue
            if text.strip():
                yield number, Prompt(str(number), text)


def _of_dump(source: Source, reading: Reading, reader: str | None) -> Iterator[tuple[int, Prompt]]:
    options = reading.options
    blocks = read(
        source.path,
        reader=reader,
        id_field=options.id_field,
        prompt_field=options.prompt_field,
        columns=PER_PROMPT_FIELDS,
        as_json=True,
        on_error=options.on_error,
    )
    at = 0
    for block in blocks:
        columns = {name: column.to_pylist() for name, column in block.per_prompt.items()}
        for group, (id, text) in enumerate(
            zip(block.ids.to_pylist(), block.prompts.to_pylist(), strict=True)
        ):
            at += 1
            if text is None:
                reading.bad(None, f"the prompt of {id} is not in it.", "Give a file that holds the prompts.")
                continue
            named = {name: json.loads(values[group]) for name, values in columns.items() if values[group]}
            yield at, Prompt(id, text, None, named)


def _unique(prompts: Iterator[tuple[int, Prompt]], reading: Reading) -> Iterator[Prompt]:
    seen: dict[str, int] = {}
    for line, prompt in prompts:
        if prompt.id in seen:
            raise DataError(
                f"the id {prompt.id!r} is that of record {seen[prompt.id]} already.",
                where=reading.where(line),
                remedy="Give every prompt an id of its own, or name another field with --id-field.",
            )
        seen[prompt.id] = line
        yield prompt
