"""Model outputs of AlpacaEval: one answer an instruction; several files together make the samples of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from divfast.readers.fields import Malformed, scalar, text_list
from divfast.readers.objects import build
from divfast.readers.records import Reading, RecordBuilder, Records
from divfast.readers.source import Source

NAME = "alpaca_eval"
SUMMARY = "AlpacaEval model_outputs.json; several files are joined on the instruction"


def sniff(source: Source) -> bool:
    """Whether it is a list of instructions with the output of a generator each."""
    record = source.first_record
    return source.is_list and record is not None and {"instruction", "output", "generator"} <= set(record)


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the instructions."""
    return build(source, reading, _take)


def _take(builder: RecordBuilder, fields: Mapping[str, Any], line: int | str) -> None:
    instruction, context = scalar(fields.get("instruction")), scalar(fields.get("input"))
    if instruction is None:
        raise Malformed('has no "instruction".')
    prompt = f"{instruction}\n\n{context}" if context else instruction
    builder.add(
        prompt,
        prompt,
        text_list([fields.get("output")], "output"),
        line=line,
        columns={"model": fields.get("generator"), "task": fields.get("dataset")},
    )
