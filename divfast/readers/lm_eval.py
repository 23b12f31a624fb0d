"""Samples that lm-evaluation-harness logs: one line for every document and filter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from divfast.readers.fields import Malformed, dig, kind_of, last_message, scalar
from divfast.readers.objects import build, expect_list
from divfast.readers.records import Reading, RecordBuilder, Records, note_meta
from divfast.readers.source import Source

NAME = "lm_eval"
SUMMARY = "lm-evaluation-harness samples_*.jsonl of generative tasks"

_FILE = re.compile(r"samples_(?P<task>.+)_\d{4}-\d\d-\d\dT[\d.-]+\.jsonl")


def sniff(source: Source) -> bool:
    """Whether the first record is a document with raw responses."""
    record = source.first_record
    return record is not None and {"doc_id", "resps"} <= set(record)


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the documents, each once: all its lines repeat the same raw responses."""
    # Only the file's name tells the task, and only its folder's the model.
    file = _FILE.match(source.path.name)
    task = file["task"] if file else ""
    if file:
        note_meta(reading, "task", task)
        if "__" in source.path.parent.name:
            note_meta(reading, "model", source.path.parent.name.replace("__", "/"))
    return build(source, reading, partial(_take, reading, task, set()))


def _take(
    reading: Reading,
    task: str,
    seen: set[str],
    builder: RecordBuilder,
    fields: Mapping[str, Any],
    line: int | str,
) -> None:
    id = scalar(fields.get("doc_id"))
    if id is None:
        raise Malformed('has no "doc_id".')
    if id in seen:
        return
    outputs = []
    for responses in expect_list(fields.get("resps"), "resps"):
        for response in responses if isinstance(responses, list) else [responses]:
            if isinstance(response, (list, float)):
                reading.fail(
                    "holds log-probabilities of given answers, no sampled texts.",
                    "Take the samples of a generate_until task.",
                    line,
                )
            if not (response is None or isinstance(response, str)):
                raise Malformed(f'"resps" must hold lists of strings, got {kind_of(response)}.')
            outputs.append(response)
    seen.add(id)
    asked = dig(fields.get("arguments"), "gen_args_0", "arg_0")
    if asked is None:
        # Older versions log the arguments as lists.
        asked = dig(fields.get("arguments"), 0, 0)
    builder.add(
        id,
        last_message(asked, "user") or scalar(asked),
        outputs,
        line=line,
        columns={"gold": fields.get("target")} | ({"messages": asked} if isinstance(asked, list) else {}),
        key=f"{id}\x1f{task}",
    )
