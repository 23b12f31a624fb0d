"""Documents: whole texts without samples, for what is searched and what it is searched for.

Plain text, JSON Lines, a JSON list, Parquet and Arrow with texts or chats in a field, or any dump that is known.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.errors import DataError, nearest
from divfast.readers.arrow import flatten, text_of
from divfast.readers.fields import Malformed, message_text, scalar
from divfast.readers.objects import each_object
from divfast.readers.parquet import opened
from divfast.readers.parquet import sniff as is_table
from divfast.readers.records import OUTPUT_FIELDS, PROMPT_FIELDS, Reading, ReadOptions, first_of
from divfast.readers.source import Source
from divfast.samples import Ragged

TEXT_FIELDS = ("text", "content")
CHAT_FIELDS = ("messages", "conversations", "conversation")
# Where no field holds the whole text, these are taken together.
PART_FIELDS = (*PROMPT_FIELDS, "problem", *(name for name, _ in OUTPUT_FIELDS), "answer", "chosen")
# What an evaluation asks; the first that is there.
QUESTION_FIELDS = (
    "prompt",
    "question",
    "problem",
    "instruction",
    "query",
    "text",
    "code",
    "input",
    "content",
)

_PLAIN_SUFFIXES = (".txt", ".text", ".md", ".rst", ".tex")
# These tokenizers delete line breaks, so that a break parts no tokens.
_JOINING = ("paper", "13a")


@dataclass(frozen=True, eq=False)
class Documents:
    """A run of documents.

    Attributes
    ----------
    text : Ragged
        UTF-8, a row a document.
    lines : numpy.ndarray
        ``int64[n]``: the line or row of the file on which each stands.
    ids : sequence of str or None
        The id of each; empty where the format has none.
    continues, open : bool
        The first row is the rest of the document before; the last row is not yet the whole of its document.
    """

    text: Ragged
    lines: NDArray[np.int64]
    ids: Sequence[str | None] = field(default=())
    continues: bool = False
    open: bool = False


def documents(
    source: Source,
    reading: Reading,
    *,
    fields: Sequence[str] = (),
    questions: bool = False,
    whole: bool = False,
    tokenizer: str = "words",
) -> Iterator[Documents]:
    """Yield the documents of a file.

    Parameters
    ----------
    source, reading
        The file, and how to read it.
    fields : sequence of str
        Fields or columns that hold the texts, each text a document; by default found by name.
    questions : bool
        By default take what an evaluation asks, not all there is.
    whole : bool
        Do not cut plain text into parts.
    tokenizer : str
        Plain text is cut only where this tokenizer parts tokens.

    Raises
    ------
    DataError
        Where there is no text.
    """
    if source.is_directory:
        return _of_dump(source, reading, questions)
    if not source.head:
        reading.fail("is empty.", "Check that it was written to its end.")
    if is_table(source):
        return _of_table(source, reading, fields, questions)
    if _is_plain(source):
        if fields:
            reading.fail("is plain text, which has no fields.", "Leave out the field, or check the path.")
        return _of_plain(source, whole, tokenizer)
    if source.starts_document not in ("{", "["):
        return _of_dump(source, reading, questions)
    record = source.first_record or {}
    chosen = _chosen(reading, list(record), fields, questions, lambda name: _is_text(record, name))
    if not chosen:
        return _of_dump(source, reading, questions, tuple(record))
    if source.is_list or any(_is_chat(record, name) for name in chosen):
        return _of_objects(source, reading, chosen)
    return _of_lines(source, reading, chosen)


def _is_plain(source: Source) -> bool:
    name = source.name
    for suffix in (".gz", ".zst", ".xz"):
        name = name.removesuffix(suffix)
    if name.endswith(_PLAIN_SUFFIXES):
        return True
    if source.starts_document in ("{", "[") or b"\0" in source.head:
        return False
    from divfast.readers import formats

    return not any(module.sniff(source) for module in formats().values())


def _is_text(record: Mapping[str, Any], name: str) -> bool:
    value = _value(record, name)
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))


def _is_chat(record: Mapping[str, Any], name: str) -> bool:
    value = _value(record, name)
    return isinstance(value, list) and any(isinstance(one, Mapping) for one in value)


def _value(record: Mapping[str, Any], name: str) -> Any:
    try:
        return record.get(name)
    except Malformed:
        return None


def _chosen(
    reading: Reading, names: Sequence[str], fields: Sequence[str], questions: bool, is_text: Any
) -> list[str]:
    """Return the fields to read; none where the file has none of those that are known."""
    for name in fields:
        if names and name not in names:
            reading.fail(f'no field "{name}".', nearest(name, names))
    if fields:
        return list(fields)
    known = QUESTION_FIELDS if questions else TEXT_FIELDS
    chats = [name for name in CHAT_FIELDS if name in names][:1]
    first = [name for name in known if name in names and is_text(name)][:1]
    if first or chats:
        return first or chats
    return [] if questions else [name for name in PART_FIELDS if name in names and is_text(name)]


def _of_plain(source: Source, whole: bool, tokenizer: str) -> Iterator[Documents]:
    """Yield one document, in parts that begin with white space."""
    breaks = (b" ",) if tokenizer in _JOINING else (b" ", b"\n")
    pending: list[bytes] = []
    continues = False
    for chunk in source.chunks():
        cut = -1 if whole else max(chunk.rfind(blank) for blank in breaks)
        if cut < 0:
            pending.append(chunk)
            continue
        yield _part(b"".join([*pending, chunk[:cut]]), continues, open=True)
        continues = True
        pending = [chunk[cut:]]
    yield _part(b"".join(pending), continues, open=False)


def _part(text: bytes, continues: bool, open: bool) -> Documents:
    return Documents(Ragged.from_strings([text]), np.ones(1, np.int64), (), continues, open)


def _of_lines(source: Source, reading: Reading, fields: Sequence[str]) -> Iterator[Documents]:
    """Yield the texts of JSON Lines, one field after the other for every window of lines."""
    options = reading.options
    line = 1
    missing = set(fields)
    windows: Iterator[memoryview | bytes] = source.windows(options.block_bytes)
    if options.threads > 1:
        windows = engine.ahead(windows)
    for window in windows:
        lines = 0
        for name in fields:
            batches = _core.parse_jsonl(
                window,
                line,
                outputs=[(name, True)],
                ids=list(options.id_fields),
                prompts=[],
                qualifiers=[],
                carried=[],
                # A record may have some of the fields only, and that is no reason to stop.
                skip=True,
                threads=options.threads,
            )
            lines = sum(batch["line_count"] for batch in batches)
            for batch in batches:
                _tell(batch, name, fields, reading)
                if len(batch["lines"]):
                    missing.discard(name)
                    yield _of_batch(batch)
        line += lines
    if len(missing) == len(fields):
        names = list(source.first_record or {})
        reading.fail(f'no record has a field "{fields[0]}".', nearest(fields[0], names) if names else None)


def _tell(batch: Mapping[str, Any], name: str, fields: Sequence[str], reading: Reading) -> None:
    if name == fields[0]:
        reading.count("lone_surrogates", batch["lone_surrogates"])
    reading.count("null_texts", batch["null_outputs"])
    for at, what in batch["errors"]:
        if "(looked for" not in what:
            if name == fields[0] or what.startswith(f'"{name}"'):
                reading.bad(at, what, "Name another field." if what.startswith('"') else None)
        elif len(fields) == 1:
            reading.bad(at, f'no field "{name}".', "Name another field.")


def _of_batch(batch: Mapping[str, Any]) -> Documents:
    counts = np.diff(batch["records"])
    lines = np.repeat(batch["lines"], counts)
    ids: Sequence[str | None] = ()
    if batch["has_id"].any():
        found = Ragged(*batch["ids"]).strings()
        ids = [found[i] if batch["has_id"][i] else None for i in np.repeat(np.arange(len(counts)), counts)]
    return Documents(Ragged(*batch["text"]), lines, ids)


class _Collected:
    """Documents that Python takes apart, up to a block's worth."""

    def __init__(self, reading: Reading) -> None:
        self._limit = reading.options.block_bytes
        self._clear()

    def _clear(self) -> None:
        self._texts: list[str] = []
        self._lines: list[int] = []
        self._ids: list[str | None] = []
        self._size = 0

    def add(self, texts: Sequence[str], line: int, id: str | None) -> Iterator[Documents]:
        self._texts += texts
        self._lines += [line] * len(texts)
        self._ids += [id] * len(texts)
        self._size += sum(map(len, texts))
        if self._size >= self._limit:
            yield from self.flush()

    def flush(self) -> Iterator[Documents]:
        if self._texts:
            yield Documents(Ragged.from_strings(self._texts), np.array(self._lines, np.int64), self._ids)
        self._clear()


def _of_objects(source: Source, reading: Reading, fields: Sequence[str]) -> Iterator[Documents]:
    collected = _Collected(reading)
    for line, record in each_object(source, reading):
        try:
            texts = [text for name in fields if name in record for text in texts_of(record[name], name)]
            if not any(name in record for name in fields):
                raise Malformed(f'no field "{fields[0]}".', "Name another field.")
            id = scalar(first_of(record, reading.options.id_fields))
        except Malformed as bad:
            reading.bad(line, bad.what, bad.remedy)
            continue
        yield from collected.add(texts, line, id)
    yield from collected.flush()


def texts_of(value: Any, name: str) -> list[str]:
    """Return the documents in a value: a text, every text of a list, or a chat, whose turns are one document.

    Examples
    --------
    >>> texts_of([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "messages")
    ['a\\nb']
    """
    if isinstance(value, str):
        return [value]
    if value is None:
        return [""]
    if isinstance(value, list) and all(one is None or isinstance(one, str) for one in value):
        return [one or "" for one in value]
    if isinstance(value, list) and all(isinstance(one, Mapping) for one in value):
        # "value" is what ShareGPT calls the content.
        turns = [message_text(first_of(one, ("content", "value"))) for one in value]
        return ["\n".join(turn for turn in turns if turn)]
    raise Malformed(f'"{name}" must be a text, a list of texts or a chat.', "Name another field.")


def _of_table(
    source: Source, reading: Reading, fields: Sequence[str], questions: bool
) -> Iterator[Documents]:
    with opened(source, reading) as table:
        schema = table.schema
        kinds = {name: schema.field(name).type for name in schema.names}
        columns = _chosen(
            reading, schema.names, fields, questions, lambda name: not pa.types.is_nested(_inner(kinds[name]))
        )
        if columns:
            ids = next((name for name in reading.options.id_fields if name in kinds), None)
            row = 1
            for batch in table.batches([*columns, *([ids] if ids and ids not in columns else [])], reading):
                named = batch.column(ids).to_pylist() if ids else []
                for name in columns:
                    yield _of_column(batch.column(name), name, row, [scalar(one) for one in named], reading)
                row += len(batch)
            return
    yield from _of_dump(source, reading, questions, tuple(kinds))


def _inner(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_list(kind) or pa.types.is_large_list(kind) else kind


def _of_column(
    column: pa.Array, name: str, row: int, ids: Sequence[str | None], reading: Reading
) -> Documents:
    rows = np.arange(row, row + len(column))
    if pa.types.is_nested(_inner(column.type)):
        try:
            texts = [texts_of(value, name) for value in column.to_pylist()]
        except Malformed as bad:
            raise DataError(bad.what, where=reading.name, remedy=bad.remedy) from None
        counts = np.array([len(each) for each in texts])
        text = Ragged.from_strings([one for each in texts for one in each])
    elif pa.types.is_nested(column.type):
        values, counts = flatten(column)
        text = text_of(values, reading)
    else:
        return Documents(text_of(column, reading), rows, ids)
    again = np.repeat(np.arange(len(column)), counts)
    return Documents(text, rows[again], [ids[i] for i in again.tolist()] if ids else ())


def _of_dump(
    source: Source, reading: Reading, questions: bool, names: Sequence[str] = ()
) -> Iterator[Documents]:
    """Yield the prompts of a dump and, of training text, its samples."""
    from divfast.readers import formats, read

    sniffed = next((name for name, module in formats().items() if module.sniff(source)), None)
    has_samples = not names or any(name in names for name, _ in OUTPUT_FIELDS)
    if sniffed is None or (sniffed in ("jsonl", "json", "parquet") and not has_samples):
        shown = ", ".join(names)
        known = [*QUESTION_FIELDS, *CHAT_FIELDS] if questions else [*TEXT_FIELDS, *CHAT_FIELDS, *PART_FIELDS]
        reading.fail(
            "no field with text that is known by name." if names else "holds no text that can be read.",
            f"Name one of its fields: {shown}."
            if names
            else f"Give records with one of: {', '.join(known)}.",
        )
    options = reading.options
    for block in read(source.path, columns=(), on_error=options.on_error, block_bytes=options.block_bytes):
        ids = block.ids.to_pylist()
        present = [i for i, text in enumerate(block.prompts.to_pylist()) if text is not None]
        prompts = Ragged.from_arrow(block.prompts).take(np.array(present, np.int64))
        yield Documents(prompts, np.zeros(len(present), np.int64), [ids[i] for i in present])
        if not questions:
            yield Documents(block.text, block.positions + 1)


def reading_of(source: Source, *, on_error: str, block_bytes: int) -> Reading:
    """Return how to read one file of documents."""
    options = ReadOptions(on_error=on_error, threads=engine.threads(), block_bytes=block_bytes)
    return Reading(source.name, options)
