"""What may stand in the file of a task, and what it means."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from divfast.errors import DataError, DivfastError, nearest
from divfast.generation.conditions import read_conditions
from divfast.generation.template import Template, Unfit, filled, kind_of

_JUDGE = {
    "how": ("pair", "score", "checklist", "reference"),
    "against": ("reference", "base"),
    "prompt": None,
    "model": None,
}


def read_keys(text: str, where: str) -> dict[str, Any]:
    """Return what the text of a task file says, as keywords of `divfast.generation.task.Task`.

    Raises
    ------
    DataError
        Where it is no task: not YAML, an unknown key, a value of the wrong kind.

    Examples
    --------
    >>> read_keys('{summary: Sums, dataset: me/sums, format: "{sum} ="}', "sums.yaml")["format"]
    (Template(source='{sum} ='),)
    """
    import yaml

    try:
        written = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError) as error:
        problem = getattr(error, "problem", None) or "not valid"
        mark = getattr(error, "problem_mark", None)
        at = where if mark is None else f"{where}:{mark.line + 1}"
        raise DataError(f"is not YAML: {problem}.", where=at) from None
    try:
        if not isinstance(written, Mapping):
            raise _wrong("keys and values", written)
        values = {key: _read(key, value) for key, value in written.items()}
        for key in ("summary", "dataset", "format"):
            if key not in values:
                raise DataError(f"has no {key}.", remedy="docs/tasks.md has all keys.")
        _check_examples(values)
    except DivfastError as error:
        raise DataError(error.what, where=where, remedy=error.remedy) from None
    return values


def _check_examples(values: Mapping[str, Any]) -> None:
    examples = values.get("examples", ())
    if examples and "answer" not in values:
        raise DataError("has examples, but not the answer that follows each.", remedy="Add answer: TEMPLATE.")
    for number, example in enumerate(examples, 1):
        try:
            for formats in (values["format"], values.get("chat_format") or values["format"]):
                filled(formats, example)
            values["answer"].text(example)
        except Unfit as unfit:
            raise DataError(f"example {number}: {unfit}") from None


def _read(key: Any, value: Any) -> Any:
    if key not in KEYS:
        raise DataError(f"unknown key {key!r}.", remedy=nearest(str(key), KEYS))
    try:
        return KEYS[key](value)
    except DivfastError as error:
        raise DataError(f"{key}: {error.what}", remedy=error.remedy) from None


def _wrong(expected: str, value: Any) -> DataError:
    return DataError(f"expected {expected}, got {kind_of(value)}.")


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise _wrong("text", value)
    return value


def _maybe_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _whole(least: int) -> Callable[[Any], int | None]:
    def read(value: Any) -> int | None:
        if value is None and least == 0:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise DataError(f"expected a whole number of at least {least}, got {value!r}.")
        return value

    return read


def _number_of_prompts(value: Any) -> int | None:
    return None if value is None else _whole(1)(value)


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise _wrong("a list of texts", value)
    return tuple(value)


def _template(value: Any) -> Template:
    if not isinstance(value, str) or not value:
        # Braces without quotes are a mapping to YAML.
        raise DataError(
            f"expected a template, got {kind_of(value)}.", remedy='Write it in quotes: "{column}".'
        )
    return Template(value)


def _formats(value: Any) -> tuple[Template, ...]:
    values = value if isinstance(value, list) else [value]
    if not values:
        raise _wrong("a template, or several", value)
    return tuple(_template(one) for one in values)


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _wrong("keys and values", value)
    return value


def _columns(value: Any) -> Mapping[str, Any]:
    return {
        name: _columns(one) if isinstance(one, Mapping) else _template(one)
        for name, one in _mapping(value).items()
    }


def _columns_of_dump(value: Any) -> Mapping[str, Any]:
    from divfast.generation.prompt_files import OF_PROMPTS, OF_SAMPLES

    found = _columns(value)
    if taken := sorted((OF_PROMPTS | OF_SAMPLES).intersection(found)):
        raise DataError(f"a dump says something else under {taken[0]!r}.", remedy="Call it otherwise.")
    return found


def _records(value: Any) -> tuple[Mapping[str, Any], ...]:
    if not isinstance(value, list):
        raise _wrong("a list of records", value)
    return tuple(_mapping(one) for one in value)


def _verify(value: Any) -> Mapping[str, Any]:
    from divfast.quality.verified import verify

    said = {"as": value} if isinstance(value, str) else dict(_mapping(value))
    given = {"output", "threads", "memory", "progress", "seed"}
    keywords = [
        name
        for name, parameter in inspect.signature(verify).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY and name not in given
    ]
    for key in said:
        if key not in ("as", *keywords):
            raise DataError(f"unknown key {key!r}.", remedy=nearest(str(key), ["as", *keywords]))
    return {"verifier": _text(said.pop("as", None)), **said}


def _judge(value: Any) -> Mapping[str, Any]:
    given = dict(_mapping(value))
    for key, one in given.items():
        if key not in _JUDGE:
            raise DataError(f"unknown key {key!r}.", remedy=nearest(key, _JUDGE))
        choices = _JUDGE[key]
        if choices is not None and one not in choices:
            raise DataError(f"{key} is {' or '.join(choices)}, not {one!r}.")
        if choices is None:
            _text(one)
    if "how" not in given:
        raise DataError("does not say how.", remedy=f"Say how: {' or '.join(_JUDGE['how'] or ())}.")
    if "against" in given and given["how"] != "pair":
        raise DataError("against is for how: pair.", remedy="Leave out against, or say how: pair.")
    return given


KEYS: dict[str, Callable[[Any], Any]] = {
    "summary": _text,
    "dataset": _text,
    "config": _maybe_text,
    "split": _text,
    "revision": _maybe_text,
    "n": _number_of_prompts,
    "seed": _whole(0),
    "filter": lambda value: read_conditions(_mapping(value)),
    "id": _template,
    "format": _formats,
    "chat_format": _formats,
    "answer": _template,
    "examples": _records,
    "columns": _columns_of_dump,
    "verify": _verify,
    "judge": _judge,
    "stop": _texts,
    "max_tokens": _whole(1),
}
"""The keys of a task file, and what reads each."""
