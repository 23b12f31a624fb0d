"""EvalPlus: the results file with every sample's verdict, or a folder of programs."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from divfast.errors import DataError, os_reason
from divfast.readers.fields import Fields, Malformed, elements, members, scalar, text_list
from divfast.readers.objects import add, line_of, numbered
from divfast.readers.records import Reading, RecordBuilder, Records, first_of
from divfast.readers.source import Source

NAME = "evalplus"
SUMMARY = "EvalPlus *_eval_results.json, or a folder TASK_ID/0.py, 1.py, ..."

_RESULTS = re.compile(rb'\s*\{\s*"date"\s*:[^{]*"hash"\s*:[^{]*"eval"\s*:\s*\{')


def sniff(source: Source) -> bool:
    """Whether it is a folder of numbered programs, or begins like a results file."""
    if source.is_directory:
        return any(_programs(folder) for folder in _tasks(source.path))
    return bool(_RESULTS.match(source.head[:4096]))


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the tasks of a folder, or the samples of a results file."""
    return _folder(source, reading) if source.is_directory else _results(source, reading)


def _tasks(path: Path) -> list[Path]:
    try:
        return sorted(
            (folder for folder in path.iterdir() if folder.is_dir()), key=lambda at: _natural(at.name)
        )
    except OSError as error:
        raise DataError(f"cannot be read: {os_reason(error)}.", where=str(path)) from None


def _programs(folder: Path) -> list[Path]:
    return sorted(
        (file for file in folder.glob("*.py") if file.stem.isdecimal()), key=lambda at: int(at.stem)
    )


def _natural(name: str) -> list[tuple[bool, int, str]]:
    """Numbers inside a name count as numbers: HumanEval_2 before HumanEval_10."""
    parts = re.split(r"(\d+)", name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _folder(source: Source, reading: Reading) -> Iterator[Records]:
    builder = RecordBuilder(reading)
    for folder in _tasks(source.path):
        try:
            texts = [file.read_text("utf-8") for file in _programs(folder)]
        except OSError as error:
            reading.fail(f"cannot be read: {os_reason(error)}.", None, folder.name)
        except UnicodeDecodeError:
            reading.bad(folder.name, "holds a program that is not valid UTF-8.")
            continue
        # EvalPlus writes a slash in a task's name as an underscore, and reads it back like this.
        builder.add(folder.name.replace("_", "/"), None, list(texts), line=folder.name)
        if builder.full:
            yield from builder.flush()
    yield from builder.flush()


def _results(source: Source, reading: Reading) -> Iterator[Records]:
    data = memoryview(source.read_all())
    builder = RecordBuilder(reading)
    try:
        names, spans = members(data, allow_nan=True)
        start, stop = spans[names.index("eval")].tolist()
        _, tasks = members(data[start:stop], allow_nan=True)
        samples = [
            (start + task + first, start + task + last)
            for task, end in tasks.tolist()
            for first, last in elements(data[start + task : start + end], allow_nan=True).tolist()
        ]
    except Malformed as bad:
        reading.fail(bad.what, "Check that the file is whole.", line_of(data, bad.at))
    for line, value in numbered(data, samples):
        try:
            fields = Fields(value, allow_nan=True)
        except Malformed as bad:
            reading.bad(line, bad.what)
            continue
        yield from add(builder, _take, fields, line, reading)
    yield from builder.flush()


def _take(builder: RecordBuilder, fields: Mapping[str, Any], line: int | str) -> None:
    status = [fields.get(name) for name in ("base_status", "plus_status")]
    passed = None if status[0] is None else all(value in ("pass", None) for value in status)
    builder.add(
        scalar(fields.get("task_id")),
        None,
        text_list([first_of(fields, ("solution", "completion"))], "solution"),
        line=line,
        columns={"correct": passed},
    )
