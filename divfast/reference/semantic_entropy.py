"""Entropy over classes of samples that mean the same. Rows have a text, a prompt, a log-probability and a judge."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, isfinite, log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.reference.nli_clusters import classes, over_groups


def entropy(logprobs: Sequence[float], found: Sequence[int], estimator: str) -> float:
    """Return the entropy over classes from log-probabilities of samples."""
    if not all(isfinite(value) for value in logprobs):
        return float("nan")
    mass = dict.fromkeys(found, 0.0)
    for value, number in zip(logprobs, found, strict=True):
        mass[number] += exp(value)
    if estimator == "sampled":
        return -sum(log(mass[number]) for number in found) / len(found)
    whole = sum(mass.values())
    return -sum(p / whole * log(p / whole) for p in mass.values())


def semantic_entropy(
    rows: Sequence[Any],
    groups: Sequence[int],
    *,
    estimator: str = "discrete",
    normalized: bool = False,
    rule: str = "first",
    context: str = "none",
) -> NDArray[np.float64]:
    """Return the entropy in nats per group, ``float64[g]``."""

    def number(members: Sequence[Any]) -> float:
        found = classes(members, rule, context)
        if estimator == "discrete":
            return entropy([0.0] * len(members), found, "likelihood")
        tokens = [(row.tokens or np.nan) if normalized else 1.0 for row in members]
        logprobs = [row.logprob / many for row, many in zip(members, tokens, strict=True)]
        return entropy(logprobs, found, estimator)

    return over_groups(rows, groups, context, number)
