"""Predictions of olmo-eval and OLMES; the prompts are in the requests file of the same run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from divfast.readers.fields import dig, scalar, text_list
from divfast.readers.objects import build, expect_list
from divfast.readers.records import Reading, RecordBuilder, Records, first_of
from divfast.readers.source import Source

NAME = "olmo"
SUMMARY = "olmo-eval or OLMES predictions; name the requests file with --prompts to have the prompts"


def sniff(source: Source) -> bool:
    """Whether the first record has what a model put out for a document."""
    record = source.first_record
    return record is not None and {"doc_id", "model_output"} <= set(record)


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the documents."""
    return build(source, reading, partial(_take, reading))


def _take(reading: Reading, builder: RecordBuilder, fields: Mapping[str, Any], line: int | str) -> None:
    outputs = expect_list(fields.get("model_output"), "model_output")
    if outputs and all(
        dig(output, "text") is None and dig(output, "continuation") is None for output in outputs
    ):
        reading.fail(
            "holds log-probabilities of given answers, no sampled texts.",
            "Take the predictions of a generative task.",
            line,
        )
    texts = [
        dig(output, "continuation") if dig(output, "text") is None else dig(output, "text")
        for output in outputs
    ]
    builder.add(
        scalar(first_of(fields, ("native_id", "doc_id"))),
        None,
        text_list(texts, "model_output"),
        line=line,
        columns={
            "finish_reasons": [dig(output, "finish_reason") for output in outputs],
            "logprobs": [dig(output, "sum_logits") for output in outputs],
            "gold": fields.get("label"),
        },
    )
