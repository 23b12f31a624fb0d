"""A dump written again beside itself, with what was found out about its samples."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from divfast.quality.verifiers import Question
from divfast.readers.fields import elements, members
from divfast.readers.others import OTHERS, SURROGATE, json_text
from divfast.readers.records import ID_FIELDS, META_FIELDS
from divfast.samples import Samples

# What every record is written with.
NAMED = ("input_id", "prompt", "outputs", *META_FIELDS)
_ESCAPED_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


@contextlib.contextmanager
def opened(path: Path, name: Path) -> Iterator[IO[str]]:
    """Open a new file of text, compressed where what it is to be called in the end says so."""
    with contextlib.ExitStack() as stack:
        raw: Any = stack.enter_context(path.open("wb"))
        if name.suffix == ".gz":
            # No time and no name in it: the same dump gives the same bytes.
            raw = stack.enter_context(gzip.GzipFile("", "wb", 6, raw, mtime=0))
        yield stack.enter_context(io.TextIOWrapper(raw, encoding="utf-8", newline="\n"))


def questions_of(block: Samples) -> Iterator[Question]:
    """Yield every prompt of a block, which was read with its values as JSON text."""

    def decoded(column: pa.Array) -> list[Any]:
        return [None if text is None else _value(text) for text in column.to_pylist()]

    per_sample = {name: decoded(column) for name, column in block.per_sample.items() if name != OTHERS}
    per_prompt = {name: decoded(column) for name, column in block.per_prompt.items() if name != OTHERS}
    names = zip(block.ids.to_pylist(), block.prompts.to_pylist(), strict=True)
    for group, (name, prompt) in enumerate(names):
        start, stop = int(block.groups[group]), int(block.groups[group + 1])
        columns = {key: values[group] for key, values in per_prompt.items()}
        columns |= {key: values[start:stop] for key, values in per_sample.items()}
        yield Question(block.outputs(group), columns, name, prompt)


def _value(text: str) -> Any:
    """Return what JSON text says; where it is nested too deeply, or has a number too long for Python, the text."""
    try:
        value = json.loads(text)
    except (RecursionError, ValueError):
        return text
    return _whole(value) if _ESCAPED_SURROGATE.search(text) else value


def _whole(value: Any) -> Any:
    """Return a value whose texts can be written: lone surrogates become U+FFFD, as in samples."""
    if isinstance(value, str):
        return SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_whole(one) for one in value]
    if isinstance(value, dict):
        return {_whole(name): _whole(one) for name, one in value.items()}
    return value


def lines_again(
    block: Samples, questions: Iterable[Question], added: Iterable[Mapping[str, Any]], kept: Sequence[str]
) -> Iterator[str]:
    """Yield the record of every prompt as a line of JSON: as it was, with what is added to it.

    Parameters
    ----------
    block : Samples
        Read with its values as JSON text, and ``all_but`` of what is in `NAMED`, in `kept` or added: see
        `divfast.read`.
    questions : iterable of Question
        Those of the block.
    added : iterable of Mapping
        What was found out about each.
    kept : sequence of str
        Columns of a known meaning; where the lines of a prompt differ in one, the first that has it counts.

    Notes
    -----
    What a line of the dump says is copied as it stands there, numbers and escapes included. Where a prompt has several
    lines, a number, or what is not the same on all of them, becomes a list with a value for every sample; lists that
    have one already are joined.
    """
    texts = {name: column.to_pylist() for name, column in block.per_prompt.items()}
    rows = {name: column.to_pylist() for name, column in block.per_sample.items()}
    for group, (question, more) in enumerate(zip(questions, added, strict=True)):
        start, stop = int(block.groups[group]), int(block.groups[group + 1])
        head = {name: block.meta[name] for name in META_FIELDS if block.meta.get(name) is not None}
        head = {"input_id": question.id, "prompt": question.prompt, "outputs": question.outputs} | head
        parts = {name: json_text(value) for name, value in head.items()}
        for name in kept:
            if (text := texts.get(name, {group: None})[group]) is not None:
                parts[name] = text
            if any(values := rows.get(name, [])[start:stop]):
                parts[name] = _listed(values)
        others = _others(rows.get(OTHERS, [])[start:stop], texts.get(OTHERS, {group: None})[group])
        parts_text = [f"{json_text(name)}: {text}" for name, text in parts.items()]
        parts_text += [others] if others else []
        parts_text += [f"{json_text(name)}: {json_text(value)}" for name, value in more.items()]
        yield f"{{{', '.join(parts_text)}}}\n"


def _listed(texts: Iterable[str | None]) -> str:
    return f"[{', '.join(text or 'null' for text in texts)}]"


def _others(rows: Sequence[str | None], alone: str | None) -> str | None:
    """Return the further fields of a prompt: those of its one record, or of all its records brought together."""
    starts = [at for at, text in enumerate(rows) if text is not None]
    if len(starts) < 2:
        return rows[starts[0]] if starts else alone
    records = [_members(rows[at] or "") for at in starts]
    sizes = [stop - start for start, stop in zip(starts, [*starts[1:], len(rows)], strict=True)]
    texts = []
    for name in dict.fromkeys(name for record in records for name in record):
        values = [record.get(name) for record in records]
        one = len(set(values)) == 1 and _is_of_prompt(name, values[0] or "")
        texts.append(f"{json_text(name)}: {values[0] if one else _together(values, sizes)}")
    return ", ".join(texts)


def _members(inside: str) -> dict[str, str]:
    data = f"{{{inside}}}".encode()
    names, spans = members(data)
    return {
        name: data[start:stop].decode() for name, (start, stop) in zip(names, spans.tolist(), strict=True)
    }


def _is_of_prompt(name: str, text: str) -> bool:
    """Return whether a value that all records of a prompt share is the prompt's, not one of each sample."""
    return name in ID_FIELDS or (text[:1] in '"[{n' and name != "extracted")


def _together(values: Sequence[str | None], sizes: Sequence[int]) -> str:
    """Return a list with a value for every sample, of the values of records of so many samples."""
    lists = [_aligned(value, size) for value, size in zip(values, sizes, strict=True)]
    if max(sizes) > 1 and all(one is not None for one in lists):
        return _listed(text for one in lists if one is not None for text in one)
    return _listed(value for value, size in zip(values, sizes, strict=True) for _ in range(size))


def _aligned(value: str | None, size: int) -> list[str | None] | None:
    """Return the elements of a list that has one a sample; None where it is no such list."""
    if value is None:
        return [None] * size
    if not value.startswith("["):
        return None
    data = value.encode()
    spans = elements(data).tolist()
    return [data[start:stop].decode() for start, stop in spans] if len(spans) == size else None
