"""Prompts that stand in a second file: the input of a batch, the problems of a benchmark, the requests of a run."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from divfast.readers.fields import Malformed, dig, last_message, scalar
from divfast.readers.objects import each_object
from divfast.readers.records import Reading, ReadOptions, first_of, prompt_of
from divfast.readers.source import Source


def load_prompts(source: Source, options: ReadOptions) -> dict[str, str]:
    """Return prompts by id.

    Parameters
    ----------
    source : Source
        JSON Lines or a JSON list, with an id and a prompt in each record; of a chat it is the last message of the
        user.
    options : ReadOptions
        Names of fields where they are unusual.

    Raises
    ------
    DataError
        Where it holds no prompts.
    """
    reading = Reading(source.name, ReadOptions())
    found = dict(_pairs(source, reading, options))
    if not found:
        reading.fail("holds no prompts.", "Give a file of JSON records with an id and a prompt each.")
    return found


def _pairs(source: Source, reading: Reading, options: ReadOptions) -> Iterator[tuple[str, str]]:
    for line, fields in each_object(source, reading):
        try:
            prompt = _prompt(fields, options)
            if prompt is None:
                continue
            # A run that numbers its documents may also know the names that the data set gives them.
            id = scalar(first_of(fields, ("native_id", *options.id_fields, "request_id")))
            if id is not None:
                yield id, prompt
        except Malformed as bad:
            reading.bad(line, bad.what, bad.remedy)


def _prompt(fields: Mapping[str, Any], options: ReadOptions) -> str | None:
    for place in (("body", "messages"), ("body", "prompt"), ("body", "input"), ("request", "context")):
        prompt = dig(fields, *place)
        if prompt is not None:
            return last_message(prompt, "user") or scalar(prompt)
    return prompt_of(fields, options)
