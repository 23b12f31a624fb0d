"""Mean ROUGE-L F1 by the table of longest common subsequences. Rows are lists of tokens."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import combinations, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Row = TypeVar("Row")


def pair_means(
    rows: Sequence[Row], groups: Sequence[int], of_pair: Callable[[Row, Row], float]
) -> NDArray[np.float64]:
    """Return the mean of a symmetric function over the pairs of every group, NaN where it is NaN left out."""
    out = []
    for start, stop in pairwise(groups):
        values = [of_pair(a, b) for a, b in combinations(rows[start:stop], 2)]
        values = [value for value in values if not np.isnan(value)]
        out.append(sum(values) / len(values) if values else np.nan)
    return np.array(out, np.float64)


def lcs(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Return the length of the longest common subsequence."""
    above = [0] * (len(b) + 1)
    for x in a:
        here = [0]
        for j, y in enumerate(b):
            here.append(above[j] + 1 if x == y else max(above[j + 1], here[j]))
        above = here
    return above[-1]


def f1(a: Sequence[Hashable], b: Sequence[Hashable]) -> float:
    """Return the F1 of precision LCS / len(a) and recall LCS / len(b)."""
    shared = lcs(a, b)
    if shared == 0:
        return 0.0
    precision, recall = shared / len(a), shared / len(b)
    return 2 * precision * recall / (precision + recall)


def rouge_l(
    rows: Sequence[Sequence[Hashable]], groups: Sequence[int], *, sample: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Return the mean F1 over pairs per group, ``float64[g]``; all pairs, whatever `sample`."""
    return pair_means(rows, groups, f1)
