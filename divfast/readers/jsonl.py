"""JSON Lines, one line per prompt or one line per sample: the project's own format, the paper's, and its kin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.readers.others import OTHERS, by_record
from divfast.readers.records import (
    ALIASES,
    META_FIELDS,
    QUALIFIERS,
    Reading,
    Records,
    note_meta,
)
from divfast.readers.source import Source
from divfast.samples import Ragged

NAME = "jsonl"
SUMMARY = (
    "JSON Lines: a line per prompt (outputs, generations, ...) or per sample (output, completion, solution)"
)

_NOTHING = pa.array(["", "null"], pa.large_string())


def sniff(source: Source) -> bool:
    """Whether a line is a JSON object by itself, or the first at least begins like one."""
    return source.starts_document == "{"


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the records of the file."""
    line = 1
    # Half a block: two windows are read and parsed at a time.
    windows = source.windows(max(1, reading.options.block_bytes // 2))
    for carried, batches in _parsed(windows, reading):
        first, line = line, line + sum(batch["line_count"] for batch in batches)
        while batches:
            batch = batches.pop(0)
            for at, what in batch["errors"]:
                reading.bad(first + at, what, _remedy(what))
            if len(batch["lines"]):
                yield _records_of(batch, carried, first, reading)


def _parsed(windows: Iterator[memoryview | bytes], reading: Reading) -> Iterator[tuple[list[str], list[Any]]]:
    """Yield the names of the columns and the batches of every window."""
    threads = reading.options.threads
    # The first window by itself: only then is it known whether the others are read for their ids alone.
    for window in islice(windows, 1):
        yield _parse(window, reading, threads)
    if threads == 1:
        yield from (_parse(window, reading, 1) for window in windows)
    else:
        # Two at a time, each read and parsed on one thread; no more, since a window's buffer is used again.
        yield from engine.map_ahead(lambda window: _parse(window, reading, (threads + 1) // 2), windows, 2)


def _parse(window: memoryview | bytes, reading: Reading, threads: int) -> tuple[list[str], list[Any]]:
    wanted = () if reading.survey else reading.options.wanted
    carried = [*META_FIELDS, *wanted, *(alias for name in wanted for alias in ALIASES.get(name, ()))]
    batches = _core.parse_jsonl(
        window,
        0,
        outputs=list(reading.options.output_fields),
        ids=list(reading.options.id_fields),
        prompts=list(reading.options.prompt_fields),
        qualifiers=list(QUALIFIERS),
        carried=carried,
        skip=reading.options.on_error == "skip",
        threads=threads,
        texts=not reading.survey,
        joined=reading.options.joined_fields,
        all_but=None if reading.survey else reading.options.all_but,
    )
    return carried, batches


def _remedy(what: str) -> str | None:
    if "must be a list" in what or "looked for" in what:
        return "Name another field with --outputs-field."
    return None


def _records_of(batch: Mapping[str, Any], carried: list[str], line: int, reading: Reading) -> Records:
    reading.count("null_outputs", batch["null_outputs"])
    reading.count("lone_surrogates", batch["lone_surrogates"])
    raw = {
        name: Ragged(*rows)
        for name, rows in zip(carried, batch["carried"], strict=True)
        if rows[1][-1] > rows[1][0]
    }
    for name in META_FIELDS:
        if name in raw:
            _note_column(name, raw[name], reading)
    bounds = batch["records"]
    lines = batch["lines"] + line
    per_sample, per_prompt = {}, {}
    for name in reading.options.wanted:
        found = [raw[known] for known in (name, *ALIASES.get(name, ())) if known in raw]
        if not found:
            continue
        if reading.options.is_per_sample(name):
            per_sample[name] = _per_sample(name, found[0], bounds, lines, reading)
        else:
            per_prompt[name] = _per_prompt(found[0], reading)
    if reading.options.all_but is not None and not reading.survey:
        per_sample[OTHERS], per_prompt[OTHERS] = by_record(Ragged(*batch["others"]).to_arrow(), bounds)
    return Records(
        text=Ragged(*batch["text"]),
        bounds=bounds,
        ids=Ragged(*batch["ids"]),
        has_id=batch["has_id"],
        prompts=Ragged(*batch["prompts"]),
        has_prompt=batch["has_prompt"],
        keys=Ragged(*batch["keys"]),
        lines=lines.tolist(),
        per_sample=per_sample,
        per_prompt=per_prompt,
    )


def _per_prompt(raw: Ragged, reading: Reading) -> pa.Array:
    if reading.options.all_but is None:
        return reading.options.column(_values(raw))
    # Whoever asks for everything wants it as it is.
    texts = raw.to_arrow()
    return pc.if_else(pc.is_in(texts, _NOTHING), pa.scalar(None, pa.large_string()), texts)


def _per_sample(
    name: str, raw: Ragged, bounds: NDArray[np.int64], lines: NDArray[np.int64], reading: Reading
) -> pa.Array:
    flags = None if reading.options.as_json else _core.json_flags(raw.values, raw.offsets, bounds)
    if flags is not None and np.any(flags >= 0):
        return pa.array(flags == 1, mask=flags < 0)
    return reading.options.column(_flat(name, _values(raw), np.diff(bounds).tolist(), lines, reading))


def _values(raw: Ragged) -> list[Any]:
    """Return what the JSON text of every row says, None for an empty row."""
    texts = [text or "null" for text in raw.strings()]
    try:
        return json.loads(f"[{','.join(texts)}]")  # type: ignore[no-any-return]
    except (RecursionError, ValueError):
        # Some value is nested deeper, or has more digits, than Python takes; only that one is given up.
        return [_value(text) for text in texts]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (RecursionError, ValueError):
        return text


def _flat(name: str, values: list[Any], counts: list[int], lines: Any, reading: Reading) -> list[Any]:
    """Return one value a sample from one list (or, for a line with one sample, one value) a record."""
    out: list[Any] = []
    for value, many, line in zip(values, counts, lines, strict=True):
        if value is None:
            value = [None] * many
        elif not isinstance(value, list):
            value = [value]
        if len(value) != many:
            # The texts are fine, only this column is not: the samples stay.
            reading.bad(int(line), f'"{name}" has {len(value)} values for {many} outputs.')
            value = [None] * many
        out.extend(value)
    return out


def _note_column(name: str, raw: Ragged, reading: Reading) -> None:
    first = _core.first_equal(raw.values, raw.offsets, threads=1)
    for row in np.unique(first[raw.lengths > 0]).tolist()[:2]:
        value = _values(raw.slice(row, row + 1))[0]
        if isinstance(value, str):
            note_meta(reading, name, value)
