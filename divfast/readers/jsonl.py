"""JSON Lines, one line per prompt or one line per sample: the project's own format, the paper's, and its kin."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import numpy as np

from divfast import _core
from divfast.readers.records import META_FIELDS, PER_SAMPLE_FIELDS, Reading, Records, column, note_meta
from divfast.readers.source import Source
from divfast.samples import Ragged

NAME = "jsonl"
SUMMARY = (
    "JSON Lines: a line per prompt (outputs, generations, ...) or per sample (output, completion, solution)"
)

# Also another name for the model in some dumps.
_QUALIFIERS = (*META_FIELDS, "generator", "model_name")


def sniff(source: Source) -> bool:
    """Whether the first line is a JSON object by itself."""
    return source.first_record is not None


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the records of the file."""
    line = 1
    for window in _windows(source, reading.options.block_bytes):
        batches = _core.parse_jsonl(
            window,
            line,
            outputs=list(reading.options.output_fields),
            ids=list(reading.options.id_fields),
            prompts=list(reading.options.prompt_fields),
            qualifiers=list(_QUALIFIERS),
            carried=[*META_FIELDS, *reading.options.wanted],
            skip=reading.options.on_error == "skip",
            threads=reading.options.threads,
        )
        for batch in batches:
            for at, what in batch["errors"]:
                reading.bad(at, what, _remedy(what))
            line += batch["line_count"]
            if len(batch["lines"]):
                yield _records_of(batch, reading)


def _remedy(what: str) -> str | None:
    if "must be a list" in what or "looked for" in what:
        return "Name another field with --outputs-field."
    return None


def _windows(source: Source, size: int) -> Iterator[memoryview | bytes]:
    """Yield whole lines, about `size` bytes at a time."""
    with source.mapped() as data:
        if data is not None:
            start = 3 if source.compression is None and bytes(data[:3]) == b"\xef\xbb\xbf" else 0
            while start < len(data):
                stop = min(start + size, len(data))
                if stop < len(data):
                    stop = _line_end(data, start, stop)
                with data[start:stop] as window:
                    yield window
                start = source.consumed = stop
            return
    pending: list[bytes] = []
    held = 0
    chunks = source.chunks()
    first = next(chunks, b"")
    for chunk in chain([first.removeprefix(b"\xef\xbb\xbf")], chunks):
        pending.append(chunk)
        held += len(chunk)
        if held >= size:
            data_ = b"".join(pending)
            cut = data_.rfind(b"\n") + 1
            if cut:
                yield data_[:cut]
            pending = [data_[cut:]]
            held = len(pending[0])
    if held:
        yield b"".join(pending)


def _line_end(data: memoryview, start: int, stop: int) -> int:
    """Return where the last line that ends before `stop` ends, or else the first line does."""
    step = 1 << 16
    low = stop
    while low > start:
        low = max(start, stop - step)
        at = bytes(data[low:stop]).rfind(b"\n")
        if at >= 0:
            return low + at + 1
        step *= 4
    while stop < len(data):
        at = bytes(data[stop : stop + step]).find(b"\n")
        if at >= 0:
            return stop + at + 1
        stop += step
    return len(data)


def _records_of(batch: Mapping[str, Any], reading: Reading) -> Records:
    reading.count("null_outputs", batch["null_outputs"])
    reading.count("lone_surrogates", batch["lone_surrogates"])
    carried = [Ragged(*rows) for rows in batch["carried"]]
    for name, raw in zip(META_FIELDS, carried, strict=False):
        _note_column(name, raw, reading)
    bounds = batch["records"]
    per_sample, per_prompt = {}, {}
    for name, raw in zip(reading.options.wanted, carried[len(META_FIELDS) :], strict=True):
        if raw.offsets[-1] == raw.offsets[0]:
            continue
        values = [json.loads(text) if text else None for text in raw.strings()]
        if name in PER_SAMPLE_FIELDS:
            per_sample[name] = column(_flat(name, values, np.diff(bounds).tolist(), batch["lines"], reading))
        else:
            per_prompt[name] = column(values)
    return Records(
        text=Ragged(*batch["text"]),
        bounds=bounds,
        ids=Ragged(*batch["ids"]),
        has_id=batch["has_id"],
        prompts=Ragged(*batch["prompts"]),
        has_prompt=batch["has_prompt"],
        keys=Ragged(*batch["keys"]),
        lines=batch["lines"].tolist(),
        per_sample=per_sample,
        per_prompt=per_prompt,
    )


def _flat(name: str, values: list[Any], counts: list[int], lines: Any, reading: Reading) -> list[Any]:
    """Return one value a sample from one list (or, for a line with one sample, one value) a record."""
    out: list[Any] = []
    for value, many, line in zip(values, counts, lines, strict=True):
        if value is None:
            value = [None] * many
        elif not isinstance(value, list):
            value = [value]
        if len(value) != many:
            # Texts are fine, only this column is not: the samples stay.
            reading.bad(int(line), f'"{name}" has {len(value)} values for {many} outputs.')
            value = [None] * many
        out.extend(value)
    return out


def _note_column(name: str, raw: Ragged, reading: Reading) -> None:
    present = raw.lengths > 0
    if not present.any():
        return
    first = _core.first_equal(raw.values, raw.offsets, threads=1)
    for row in np.unique(first[present]).tolist()[:2]:
        value = json.loads(raw.slice(row, row + 1).strings()[0])
        if isinstance(value, str):
            note_meta(reading, name, value)
