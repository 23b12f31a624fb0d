"""Expectation-adjusted distinct n-grams by sets of tuples. Rows are lists of tokens."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def ngrams(tokens: Sequence[Hashable], n: int) -> list[tuple[Hashable, ...]]:
    """Return the n-grams of one row."""
    return [tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1)]


def expected_distinct(total: int, vocab_size: int) -> float:
    """Return V (1 - (1 - 1/V)^T) without losing digits where T is small beside V."""
    return 1.0 if vocab_size == 1 else -vocab_size * math.expm1(total * math.log1p(-1.0 / vocab_size))


def ead(
    rows: Sequence[Sequence[Hashable]],
    groups: Sequence[int],
    *,
    n: Sequence[int] = (1, 2, 3, 4, 5),
    vocab_size: int = 50257,
    preset: str = "default",
) -> NDArray[np.float64]:
    """Return EAD per group, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        by_order = []
        for order in n:
            grams = [gram for row in rows[start:stop] for gram in ngrams(row, order)]
            if not grams:
                if preset == "paper":
                    by_order.append(0.0)
                continue
            value = len(set(grams)) / expected_distinct(len(grams), vocab_size)
            by_order.append(min(max(value, 0.0), 1.0) if preset == "paper" else value)
        out.append(sum(by_order) / len(by_order) if by_order else np.nan)
    return np.array(out, np.float64)
