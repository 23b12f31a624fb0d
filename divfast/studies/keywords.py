"""Which options of scoring and verifying a study file may set, and what may stand for each."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from divfast.studies.document import Document, Place, kind

# Arguments of `divfast.score` that the study itself gives.
_NOT_OPTIONS = frozenset(
    {
        "source",
        "seed",
        "metrics",
        "scopes",
        "groups",
        "at_n",
        "threads",
        "memory",
        "progress",
        "join",
        "per_sample",
        "where",
    }
)
# The same of `divfast.verify`. Whoever runs a study says whether programs may run, not whoever wrote it.
_NOT_OF_VERIFYING = frozenset(
    {
        "source",
        "verifier",
        "output",
        "problems",
        "threads",
        "memory",
        "progress",
        "seed",
        "allow_code_execution",
    }
)
_READING = {
    **dict.fromkeys(("reader", "outputs_field", "id_field", "prompt_field", "prompts"), "str | None"),
    "on_error": "str",
    "keep_reasoning": "bool",
}
# By annotation; what has another one is looked at by whoever takes it.
_KINDS: Mapping[str, tuple[tuple[type, ...], str]] = {
    "str": ((str,), "a text"),
    "int": ((int,), "a whole number"),
    "float": ((int, float), "a number"),
    "bool": ((bool,), "true or false"),
}


def score_options() -> Mapping[str, str]:
    """Return the options of `divfast.score` that a study may set, with their annotations."""
    from divfast.scoring import score

    found = {name: of for name, of in _keywords(score).items() if name not in _NOT_OPTIONS}
    # In a file there are no vectors, only names of files.
    return found | _READING | {"embeddings": "str | None"}


def verify_options() -> Mapping[str, str]:
    """Return the options of `divfast.verify` that a study may set, with their annotations."""
    from divfast.quality.verified import verify

    return {name: of for name, of in _keywords(verify).items() if name not in _NOT_OF_VERIFYING}


def _keywords(function: Any) -> dict[str, str]:
    parameters = inspect.signature(function).parameters.values()
    return {one.name: str(one.annotation) for one in parameters if one.kind is not one.VAR_KEYWORD}


def checked(
    document: Document, options: Mapping[str, Any], place: Place, annotations: Mapping[str, str]
) -> dict[str, Any]:
    """Return options as they are handed on: one value for a list is a list of one.

    Raises
    ------
    DataError
        Where a value is not of the type that its keyword takes.
    """
    out: dict[str, Any] = {}
    for name, value in options.items():
        wanted = annotations[name].removesuffix(" | None")
        if value is None and wanted != annotations[name]:
            out[name] = value
            continue
        several = wanted.startswith("Sequence[")
        wanted = wanted.removeprefix("Sequence[").removesuffix("]").removesuffix(" | Path")
        values = value if several and isinstance(value, list) else [value]
        types, told = _KINDS.get(wanted, ((object,), ""))
        for one in values:
            # To Python true is a number.
            if not isinstance(one, types) or (isinstance(one, bool) and bool not in types and told):
                what = f"{told}, or a list" if several else told
                quotes = "Put it in quotes where it is meant as a text."
                remedy = quotes if wanted == "str" else "Leave it out for its default."
                raise document.error((*place, name), f"must be {what}, got {kind(one)}.", remedy)
        out[name] = values if several else value
    return out
