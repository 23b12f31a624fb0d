"""Arrow tables to records: texts stay on Arrow's tapes and never become Python strings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from divfast.errors import DataError
from divfast.readers.others import OTHERS, by_record, json_text
from divfast.readers.records import (
    ALIASES,
    META_FIELDS,
    QUALIFIERS,
    Reading,
    Records,
    no_samples,
    note_meta,
)
from divfast.samples import Ragged


@dataclass(frozen=True)
class Layout:
    """Which columns of a table hold what; the ones not named are not read."""

    outputs: str
    single: bool
    id: str | None
    prompt: str | None
    qualifiers: tuple[str, ...] = ()
    carried: dict[str, str] = field(default_factory=dict)
    meta: tuple[str, ...] = ()
    prompt_goes_on: str | None = None
    others: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Names of all columns that are read, each once."""
        named = [self.outputs, self.id, self.prompt, self.prompt_goes_on, *self.qualifiers]
        named += [*self.carried.values(), *self.meta]
        named += self.others
        return list(dict.fromkeys(name for name in named if name is not None))


def layout_of(schema: pa.Schema, reading: Reading) -> Layout:
    """Return which columns hold the samples, ids and prompts, or raise `DataError`."""
    options = reading.options
    outputs, single = _outputs(schema, reading)
    present = {name for name in schema.names if not pa.types.is_null(schema.field(name).type)} - {outputs}

    def first(names: Sequence[str]) -> str | None:
        return next((name for name in names if name in present), None)

    prompt = first(options.prompt_fields)
    joined, second = options.joined_fields
    carried = {name: first((name, *ALIASES.get(name, ()))) for name in options.wanted}
    return Layout(
        outputs=outputs,
        single=single,
        id=first(options.id_fields),
        prompt=prompt,
        prompt_goes_on=second if prompt == joined and second in present else None,
        qualifiers=tuple(
            name for name in QUALIFIERS if name in present and _is_text(schema.field(name).type)
        ),
        carried={name: column for name, column in carried.items() if column is not None},
        meta=tuple(name for name in META_FIELDS if name in present),
        others=tuple(name for name in schema.names if name in present.difference(options.all_but))
        if options.all_but is not None
        else (),
    )


def _outputs(schema: pa.Schema, reading: Reading) -> tuple[str, bool]:
    wrong = None
    for name, may_be_text in reading.options.output_fields:
        if schema.get_field_index(name) < 0:
            continue
        kind = schema.field(name).type
        if _is_list(kind) and _is_text(kind.value_type):
            return name, False
        if may_be_text and _is_text(kind):
            return name, True
        either = " or strings" if may_be_text else ""
        wrong = wrong or f'column "{name}" must hold lists of strings{either}, got {kind}.'
    what = wrong or no_samples("column", schema.names, reading.options)
    raise DataError(what, where=reading.name, remedy="Name another column with --outputs-field.")


def records_of(batch: pa.RecordBatch, layout: Layout, first_row: int, reading: Reading) -> Records:
    """Return the rows of a table as records; row numbers stand for lines."""
    n, options = len(batch), reading.options
    outputs = batch.column(layout.outputs)
    if layout.single:
        values, lengths = outputs, np.ones(n, np.int64)
    else:
        values, lengths = flatten(outputs)
    bounds = np.append(0, np.cumsum(lengths)).astype(np.int64)
    if bounds[-1] != len(values):
        raise pa.ArrowInvalid("the lists do not cover their values")
    reading.count("null_outputs", values.null_count)
    nothing = pa.nulls(n)
    prompts, has_prompt = labels(batch.column(layout.prompt) if layout.prompt else nothing, reading)
    if layout.prompt_goes_on:
        prompts = _going_on(prompts, labels(batch.column(layout.prompt_goes_on), reading)[0])
    ids, has_id = labels(batch.column(layout.id) if layout.id else nothing, reading)
    if layout.single and layout.id is None:
        # Samples that stand one to a row and have no id are told apart by their prompt.
        ids, has_id = prompts, has_prompt
    lines = range(first_row, first_row + n)
    per_sample, per_prompt = {}, {}
    for name, column in layout.carried.items():
        values_ = batch.column(column)
        write = _as_json if options.as_json else plain
        if not options.is_per_sample(name):
            per_prompt[name] = write(values_)
        elif (aligned := _aligned(name, values_, layout, lengths, lines, reading)) is not None:
            per_sample[name] = write(aligned)
    if options.all_but is not None:
        per_sample[OTHERS], per_prompt[OTHERS] = by_record(_others(batch, layout, reading), bounds)
    for name in layout.meta:
        for value in pc.unique(batch.column(name).drop_null())[:2].to_pylist():
            if isinstance(value, str):
                note_meta(reading, name, value)
    return Records(
        text=text_of(values, reading),
        bounds=bounds,
        ids=ids,
        has_id=has_id,
        prompts=prompts,
        has_prompt=has_prompt,
        keys=_keys(ids, [batch.column(name) for name in layout.qualifiers], reading),
        lines=lines,
        per_sample=per_sample,
        per_prompt=per_prompt,
    )


def _aligned(
    name: str, values: pa.Array, layout: Layout, lengths: NDArray[np.int64], lines: range, reading: Reading
) -> pa.Array | None:
    if layout.single or not _is_list(values.type):
        if layout.single:
            return values
        reading.bad(None, f'column "{name}" must hold lists, got {values.type}.')
        return None
    flat, found = flatten(values)
    known = values.is_valid().to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(known & (found != lengths))
    for row in wrong.tolist():
        # The texts are fine, only this column is not: the samples stay.
        reading.bad(lines[row], f'"{name}" has {found[row]} values for {lengths[row]} outputs.')
    good = known & (found == lengths)
    if good.all():
        return flat
    starts = np.cumsum(found) - found
    ends = np.cumsum(lengths)
    at = np.repeat(np.where(good, starts - (ends - lengths), 0), lengths) + np.arange(lengths.sum())
    return flat.take(pa.array(at, mask=~np.repeat(good, lengths)))


def _keys(ids: Ragged, qualifiers: list[pa.Array], reading: Reading) -> Ragged:
    if not qualifiers:
        return ids
    columns = [text_of(column, reading).to_arrow() for column in qualifiers]
    return Ragged.from_arrow(
        pc.binary_join_element_wise(ids.to_arrow(), *columns, pa.scalar("\x1f", pa.large_string()))
    )


def _going_on(prompts: Ragged, texts: Ragged) -> Ragged:
    """Return prompts, each with a text behind it where that is not empty."""
    tapes = [prompts.to_arrow(), pa.scalar("", pa.large_string()), texts.to_arrow()]
    joined = pc.binary_join_element_wise(*tapes, pa.scalar("\n", pa.large_string()))
    return Ragged.from_arrow(pc.if_else(pa.array(texts.lengths > 0), joined, prompts.to_arrow()))


def flatten(array: pa.Array) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the values of a list array and the length of every list; null is an empty list."""
    lengths = pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64())
    return array.flatten(), lengths.to_numpy(zero_copy_only=False)


def text_of(array: pa.Array, reading: Reading) -> Ragged:
    """Return strings or bytes as UTF-8; what is not UTF-8 becomes U+FFFD and is counted as ``invalid_utf8``."""
    if pa.types.is_null(array.type):
        return Ragged(np.zeros(0, np.uint8), np.zeros(len(array) + 1, np.int64))
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.type not in (pa.string(), pa.large_string(), pa.binary(), pa.large_binary()):
        array = array.cast(pa.large_binary())
    try:
        if pa.types.is_binary(array.type) or pa.types.is_large_binary(array.type):
            array.cast(pa.large_string())
        else:
            array.validate(full=True)
    except pa.ArrowInvalid:
        found = array.cast(pa.large_binary()).to_pylist()
        clean = [(value or b"").decode("utf-8", "replace").encode() for value in found]
        reading.count("invalid_utf8", sum(a != (b or b"") for a, b in zip(clean, found, strict=True)))
        return Ragged.from_strings(clean)
    return Ragged.from_arrow(array)


def check(array: pa.Array) -> None:
    """Raise where an array points outside its memory, as those of a damaged file may; not for what is not UTF-8."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):
            raise
        # The same as bytes, which may be anything.
        kind = pa.large_list(pa.large_binary()) if _is_list(array.type) else pa.large_binary()
        array.cast(kind).validate(full=True)


def labels(array: pa.Array, reading: Reading) -> tuple[Ragged, NDArray[np.uint8]]:
    """Return ids or prompts as text, and which are there: numbers are written out, nested values are JSON."""
    present = array.is_valid().to_numpy(zero_copy_only=False).astype(np.uint8)
    if not (_is_text(array.type) or pa.types.is_null(array.type)):
        if pa.types.is_nested(array.type):
            array = _as_json(array)
        else:
            array = array.cast(pa.large_string())
    return text_of(array, reading), present


def plain(array: pa.Array) -> pa.Array:
    """Return a column as booleans, float64 or strings, anything else as JSON text."""
    kind = array.type
    if pa.types.is_null(kind) or pa.types.is_boolean(kind):
        return array
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return array.cast(pa.float64(), safe=False)
    if pa.types.is_dictionary(kind):
        return plain(array.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return array.cast(pa.large_string())
    return _as_json(array)


def _as_json(array: pa.Array) -> pa.Array:
    try:
        values = array.to_pylist()
    except UnicodeDecodeError:
        raise
    except ValueError as error:
        # Times within other values that are finer than Python's.
        raise pa.ArrowInvalid(str(error)) from None
    return pa.array([None if value is None else json_text(value) for value in values], pa.large_string())


def _others(batch: pa.RecordBatch, layout: Layout, reading: Reading) -> pa.Array:
    """Return the further columns of every row, as they would stand within the braces of a JSON object."""
    rows: list[list[str]] = [[] for _ in range(len(batch))]
    for name in layout.others:
        # Names may be there twice.
        values = batch.column(batch.schema.names.index(name))
        if _is_text(values.type):
            values = text_of(values, reading).to_arrow(values.is_valid().to_numpy(zero_copy_only=False))
        elif pa.types.is_temporal(values.type):
            values = values.cast(pa.large_string())
        key = json_text(name)
        for row, text in zip(rows, _as_json(values).to_pylist(), strict=True):
            if text is not None:
                row.append(f"{key}: {text}")
    return pa.array(map(", ".join, rows), pa.large_string())


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    tests = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view", "null")
    return any(getattr(pa.types, f"is_{test}")(kind) for test in tests if hasattr(pa.types, f"is_{test}"))
