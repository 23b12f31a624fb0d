"""A dump written again beside itself, with what was found out about its samples."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from divfast.quality.verifiers import Question
from divfast.samples import Samples


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
        return [None if text is None else json.loads(text) for text in column.to_pylist()]

    per_sample = {name: decoded(column) for name, column in block.per_sample.items()}
    per_prompt = {name: decoded(column) for name, column in block.per_prompt.items()}
    names = zip(block.ids.to_pylist(), block.prompts.to_pylist(), strict=True)
    for group, (name, prompt) in enumerate(names):
        start, stop = int(block.groups[group]), int(block.groups[group + 1])
        columns = {key: values[group] for key, values in per_prompt.items()}
        columns |= {key: values[start:stop] for key, values in per_sample.items()}
        yield Question(block.outputs(group), columns, name, prompt)


def record_again(question: Question, kept: Iterable[str], meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the record of a prompt as it was, with those of its columns that are to be kept."""
    record: dict[str, Any] = {"input_id": question.id, "prompt": question.prompt, "outputs": question.outputs}
    for name in kept:
        value = question.columns.get(name)
        value = meta.get(name) if value is None else value
        if value is not None and value != [None] * len(question.outputs):
            record[name] = value
    return record
