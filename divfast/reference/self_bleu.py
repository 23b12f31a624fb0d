"""Self-BLEU by lists and counters, the references of every row gone through one by one. Rows are lists of tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from divfast.reference.ead import ngrams

Tokens = Sequence[Hashable]


def clipped(hypothesis: Tokens, references: Sequence[Tokens], n: int) -> tuple[int, int]:
    """Return how many n-grams of the hypothesis are in a reference, clipped, and how many it has, at least 1."""
    counts = Counter(ngrams(hypothesis, n))
    most: Counter[tuple[Hashable, ...]] = Counter()
    for reference in references:
        most |= Counter(ngrams(reference, n))
    return (counts & most).total(), max(1, counts.total())


def smooth(
    counted: Sequence[tuple[int, int]], fifth: tuple[int, int], length: int, method: int
) -> list[float | None]:
    """Return precisions of orders 1, 2, ... smoothed by a method of Chen and Cherry; None leaves an order out."""
    p = [matches / total for matches, total in counted]
    zeros = 0
    for i, (matches, total) in enumerate(counted):
        if method == 1 and matches == 0:
            p[i] = 0.1 / total
        if method == 2 and i > 0:
            p[i] = (matches + 1) / (total + 1)
        if method == 3 and matches == 0:
            zeros += 1
            p[i] = 1 / (2**zeros * total)
        if method in (4, 7) and matches == 0 and length > 1:
            zeros += 1
            p[i] = 1 / (2**zeros * 5 / math.log(length)) / total
    if method in (5, 7):
        following = [*p[1:], fifth[0] / fifth[1]]
        before = p[0] + 1
        for i in range(len(p)):
            before = p[i] = (before + p[i] + following[i]) / 3
    if method == 6:
        for i in range(2, len(p)):
            prior = p[i - 1] ** 2 / p[i - 2] if p[i - 2] > 0 else 0.0
            p[i] = (counted[i][0] + 5 * prior) / (max(0, length - i) + 5)
    return [None if value == 0 and method == 4 and length == 1 else value for value in p]


def sentence_bleu(
    hypothesis: Tokens, references: Sequence[Tokens], weights: Sequence[float], smoothing: int
) -> float:
    """Return BLEU of one row against others."""
    counted = [clipped(hypothesis, references, order) for order in range(1, len(weights) + 1)]
    if counted[0][0] == 0:
        return 0.0
    length = len(hypothesis)
    closest = min((len(reference) for reference in references), key=lambda size: (abs(size - length), size))
    penalty = 1.0 if length > closest else math.exp(1 - closest / length)
    product = 1.0
    smoothed = smooth(counted, clipped(hypothesis, references, 5), length, smoothing)
    for weight, precision in zip(weights, smoothed, strict=True):
        if precision is not None:
            product *= precision**weight
    return penalty * product


def self_bleu(
    rows: Sequence[Tokens],
    groups: Sequence[int],
    *,
    n: int = 4,
    weights: Sequence[float] | None = None,
    smoothing: int = 1,
) -> NDArray[np.float64]:
    """Return self-BLEU per group, ``float64[g]``."""
    weights = weights or [1 / n] * n
    out = []
    for start, stop in pairwise(groups):
        group = list(rows[start:stop])
        if len(group) < 2 or not any(len(row) for row in group):
            out.append(math.nan)
            continue
        scores = [
            sentence_bleu(row, group[:i] + group[i + 1 :], weights, smoothing) for i, row in enumerate(group)
        ]
        out.append(sum(scores) / len(scores))
    return np.array(out, np.float64)
