"""Details that lighteval saves: one Parquet file a task, in the layouts before and since version 0.11."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from divfast.readers.arrow import Layout, flatten, records_of
from divfast.readers.fields import last_message
from divfast.readers.parquet import opened
from divfast.readers.records import Reading, Records
from divfast.readers.source import Source

NAME = "lighteval"
SUMMARY = "lighteval details (Parquet), new and old layout"

# Types differ between files, since a column of nulls has none: every column is looked at as it is.
_NEW = {"doc", "model_response"}
_OLD = {"predictions", "full_prompt", "example"}


def sniff(source: Source) -> bool:
    """Whether it is Parquet with the columns of either layout."""
    if not source.head.startswith(b"PAR1"):
        return False
    try:
        with source.seekable() as file:
            names = set(pq.read_schema(file).names)
    except (pa.ArrowException, OSError):
        return False
    return names >= _NEW or names >= _OLD


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the rows."""
    first_row = 1
    with opened(source, reading) as table:
        is_new = set(table.schema.names) >= _NEW
        if not is_new and not set(table.schema.names) >= _OLD:
            reading.fail("has not the columns of lighteval's details.", "Force another format with --reader.")
        for batch in table.batches(
            _paths(table.schema, reading) if is_new else _old_columns(reading), reading
        ):
            plain = _new(batch, reading) if is_new else _old(batch, first_row, reading)
            carried = {name: name for name in ("gold",) if name in plain.schema.names}
            layout = Layout("outputs", False, "id" if is_new else None, "prompt", carried=carried)
            if is_new:
                layout = Layout("outputs", False, "id", "prompt", ("task",), carried, ("task",))
            yield records_of(plain, layout, first_row, reading)
            first_row += len(batch)


def _paths(schema: pa.Schema, reading: Reading) -> list[str]:
    wanted = ["doc.id", "doc.query", "doc.task_name", "model_response.text"]
    if pa.types.is_null(_member_type(schema, "model_response", "text")):
        reading.fail(
            "holds log-probabilities of given answers, no sampled texts.",
            "Take the details of a generative task.",
        )
    if pa.types.is_null(_member_type(schema, "doc", "query")):
        wanted.append("model_response.input")
    if "gold" in reading.options.wanted:
        wanted += ["doc.choices", "doc.gold_index"]
    return wanted


def _member_type(schema: pa.Schema, struct: str, name: str) -> pa.DataType:
    kind = schema.field(struct).type
    at = kind.get_field_index(name) if pa.types.is_struct(kind) else -1
    return kind.field(at).type if at >= 0 else pa.null()


def _new(batch: pa.RecordBatch, reading: Reading) -> pa.RecordBatch:
    doc, response = batch.column("doc"), batch.column("model_response")
    columns = {
        "outputs": _member(response, "text"),
        "id": _member(doc, "id"),
        "task": _member(doc, "task_name"),
        "prompt": _member(doc, "query"),
    }
    if pa.types.is_null(columns["prompt"].type):
        asked = [last_message(value, "user") for value in _member(response, "input").to_pylist()]
        columns["prompt"] = pa.array(asked, pa.large_string())
    if "gold" in reading.options.wanted:
        columns["gold"] = _gold(_member(doc, "choices"), _member(doc, "gold_index"))
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _member(struct: pa.Array, name: str) -> pa.Array:
    if not pa.types.is_struct(struct.type) or struct.type.get_field_index(name) < 0:
        return pa.nulls(len(struct))
    return pc.struct_field(struct, name)


def _gold(choices: pa.Array, index: pa.Array) -> pa.Array:
    """Return the right choice, the first of them where there are several."""
    if pa.types.is_null(choices.type) or pa.types.is_null(index.type):
        return pa.nulls(len(choices))
    if pa.types.is_list(index.type):
        flat, lengths = flatten(index)
        starts = np.cumsum(lengths) - lengths
        index = flat.take(pa.array(starts, mask=lengths == 0))
    flat, lengths = flatten(choices)
    at = pc.fill_null(index, -1).to_numpy(zero_copy_only=False).astype(np.int64)
    found = (at >= 0) & (at < lengths)
    return flat.take(pa.array(np.cumsum(lengths) - lengths + at, mask=~found))


def _old_columns(reading: Reading) -> list[str]:
    return ["predictions", "example", *(["gold"] if "gold" in reading.options.wanted else [])]


def _old(batch: pa.RecordBatch, first_row: int, reading: Reading) -> pa.RecordBatch:
    columns = {"prompt": batch.column("example")}
    for name, plain in (("predictions", "outputs"), ("gold", "gold")):
        if name not in batch.schema.names:
            continue
        values = batch.column(name)
        if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
            # Before 2025-02 every column is the str() of a Python value.
            lists = [_literal(text, first_row + row, reading) for row, text in enumerate(values.to_pylist())]
            values = pa.array(lists, pa.large_list(pa.large_string()))
        columns[plain] = values
    if not _is_list_of_texts(columns["outputs"].type):
        reading.fail(
            "holds log-probabilities of given answers, no sampled texts.",
            "Take the details of a generative task.",
        )
    if "gold" in columns and _is_list_of_texts(columns["gold"].type):
        columns["gold"] = _gold(columns["gold"], pa.array(np.zeros(len(batch), np.int64)))
    return pa.RecordBatch.from_arrays(list(columns.values()), list(columns))


def _is_list_of_texts(kind: pa.DataType) -> bool:
    if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        return False
    value = kind.value_type
    return bool(pa.types.is_string(value) or pa.types.is_large_string(value) or pa.types.is_null(value))


def _literal(text: str | None, row: int, reading: Reading) -> list[str] | None:
    try:
        value = ast.literal_eval(text or "None")
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        value = None
        if text is not None and not text.startswith("["):
            # A column may also hold plain strings, without quotes.
            return [text]
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    if isinstance(value, (str, int, float)):
        return [str(text)]
    reading.bad(row, "is not a list of strings written as Python.")
    return None
