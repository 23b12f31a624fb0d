"""Answers of the OpenAI protocol: output files of its batch interface and of ``vllm run-batch``, or as they came."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from divfast.readers.fields import dig, message_text, scalar
from divfast.readers.objects import build, expect_list
from divfast.readers.records import Reading, RecordBuilder, Records, first_of, prompt_of
from divfast.readers.source import Source

NAME = "batch"
SUMMARY = (
    "OpenAI or vLLM batch output, or chat completions; name the input file with --prompts to have the prompts"
)


def sniff(source: Source) -> bool:
    """Whether the first record answers a request of a batch, or is an answer."""
    record = source.first_record
    return record is not None and ({"custom_id", "response"} <= set(record) or _is_answer(record))


def _is_answer(record: Mapping[str, Any]) -> bool:
    # "choices" alone may as well be those that a question offers.
    return "choices" in record and record.get("object") in ("chat.completion", "text_completion")


def records(source: Source, reading: Reading) -> Iterator[Records]:
    """Yield a record for every request that was answered."""
    return build(source, reading, partial(_take, reading))


def _take(reading: Reading, builder: RecordBuilder, fields: Mapping[str, Any], line: int | str) -> None:
    response = {"body": fields} if _is_answer(fields) else fields.get("response")
    id = scalar(first_of(fields, ("custom_id", *reading.options.id_fields)))
    prompt = prompt_of(fields, reading.options)
    body, status = dig(response, "body"), dig(response, "status_code")
    answered = dig(body, "choices") is not None or dig(body, "output") is not None
    if status not in (200, None) or not answered:
        # Rate limits, refusals by the server, requests that ran out of time: nothing was sampled.
        reading.count("failed_requests", 1)
        return
    columns: dict[str, Any] = {"model": dig(body, "model")}
    if dig(body, "choices") is None:
        parts = expect_list(dig(body, "output"), "output")
        texts = [message_text(dig(part, "content")) for part in parts if dig(part, "type") == "message"]
        outputs: list[str | None] = ["".join(text for text in texts if text)]
    else:
        choices = ordered(expect_list(dig(body, "choices"), "choices"))
        outputs = [_text(choice) for choice in choices]
        columns["finish_reasons"] = [dig(choice, "finish_reason") for choice in choices]
        columns["logprobs"] = [_logprob(choice) for choice in choices]
    builder.add(id, prompt, outputs, line=line, columns=columns)


def ordered(choices: list[Any]) -> list[Any]:
    """Return choices in the order of their ``index``."""
    index = [dig(choice, "index") for choice in choices]
    if not all(isinstance(at, int) for at in index):
        return choices
    return [choice for _, choice in sorted(zip(index, choices, strict=True), key=lambda pair: pair[0])]


def _text(choice: Any) -> str | None:
    text = dig(choice, "text")
    return text if isinstance(text, str) else message_text(dig(choice, "message", "content"))


def _logprob(choice: Any) -> float | None:
    tokens = dig(choice, "logprobs", "content")
    if not isinstance(tokens, list):
        return None
    values = [dig(token, "logprob") for token in tokens]
    return sum(values) if all(isinstance(value, (int, float)) for value in values) else None
