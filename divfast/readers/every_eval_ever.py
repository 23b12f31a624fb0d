"""Instance-level records of Every Eval Ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from divfast.readers.fields import dig, last_message, scalar, text_list
from divfast.readers.objects import build
from divfast.readers.records import Reading, RecordBuilder, Records
from divfast.readers.source import Source

NAME = "every_eval_ever"
SUMMARY = "Every Eval Ever, instance level: sample_id, input.raw, output.raw"


def sniff(source: Source) -> bool:
    """Whether the first record follows the schema."""
    record = source.first_record
    return record is not None and {"schema_version", "evaluation_name", "sample_id"} <= set(record)


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield the records."""
    return build(source, reading, _take)


def _take(builder: RecordBuilder, fields: Mapping[str, Any], line: int | str) -> None:
    asked = fields.get("input")
    raw = dig(fields.get("output"), "raw")
    if raw is None:
        # Of a conversation there is no output but its last turn.
        outputs: list[str | None] = [last_message(fields.get("messages"), "assistant")]
    else:
        outputs = text_list([raw] if isinstance(raw, str) else raw, "output.raw")
    id, model, task = (scalar(fields.get(name)) for name in ("sample_id", "model_id", "evaluation_name"))
    references = dig(asked, "reference")
    columns: dict[str, Any] = {
        "model": model,
        "task": task,
        "references": references,
        "gold": dig(references, 0),
    }
    if len(outputs) == 1:
        columns["correct"] = dig(fields.get("evaluation"), "is_correct")
        columns["scores"] = dig(fields.get("evaluation"), "score")
    builder.add(
        id, scalar(dig(asked, "raw")), outputs, line=line, columns=columns, key=f"{id}\x1f{model}\x1f{task}"
    )
