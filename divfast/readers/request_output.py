"""Dumps of vLLM's ``RequestOutput``, which has no file format of its own: its fields as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from divfast.readers.batch import ordered
from divfast.readers.fields import Malformed, dig, scalar, text_list
from divfast.readers.objects import build, expect_list
from divfast.readers.records import Reading, RecordBuilder, Records
from divfast.readers.source import Source

NAME = "vllm"
SUMMARY = "vLLM RequestOutput objects as JSON: request_id, prompt, outputs[].text"


def sniff(source: Source) -> bool:
    """Whether the outputs of the first record are objects with a text."""
    record = source.first_record
    if record is None or "outputs" not in record or "output" in record:
        return False
    try:
        return isinstance(dig(record["outputs"], 0, "text"), str)
    except Malformed:
        return False


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the requests."""
    return build(source, reading, _take)


def _take(builder: RecordBuilder, fields: Mapping[str, Any], line: int | str) -> None:
    outputs = ordered(expect_list(fields.get("outputs"), "outputs"))
    builder.add(
        scalar(fields.get("request_id")),
        scalar(fields.get("prompt")),
        text_list([dig(output, "text") for output in outputs], "outputs"),
        line=line,
        columns={
            "finish_reasons": [dig(output, "finish_reason") for output in outputs],
            "logprobs": [dig(output, "cumulative_logprob") for output in outputs],
        },
    )
