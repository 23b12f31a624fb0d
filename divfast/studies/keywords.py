"""Which options of scoring and verifying a study file may set."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

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
    {"source", "verifier", "output", "threads", "memory", "progress", "seed", "allow_code_execution"}
)
_READING = ("reader", "outputs_field", "id_field", "prompt_field", "prompts", "on_error", "keep_reasoning")


def score_options() -> Sequence[str]:
    """Return the options of `divfast.score` that a study may set."""
    from divfast.scoring import score

    return [*(name for name in _keywords(score) if name not in _NOT_OPTIONS), *_READING]


def verify_options() -> Sequence[str]:
    """Return the options of `divfast.verify` that a study may set."""
    from divfast.quality.verified import verify

    return [name for name in _keywords(verify) if name not in _NOT_OF_VERIFYING]


def _keywords(function: Any) -> list[str]:
    parameters = inspect.signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is not parameter.VAR_KEYWORD]
