"""Mean Jaccard distance by counting tuples. Rows are lists of tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from divfast.reference.ead import ngrams
from divfast.reference.rouge_l import pair_means


def distance(a: Counter[Hashable], b: Counter[Hashable]) -> float:
    """Return one minus the shared over all; NaN where there is nothing."""
    union = (a | b).total()
    return 1 - (a & b).total() / union if union else np.nan


def jaccard(
    rows: Sequence[Sequence[Hashable]],
    groups: Sequence[int],
    *,
    n: int = 1,
    multiset: bool = False,
    sample: int = 2000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the mean distance over pairs per group, ``float64[g]``; all pairs, whatever `sample`."""
    grams = [ngrams(row, n) for row in rows]
    counts: list[Counter[Hashable]] = [Counter(row if multiset else set(row)) for row in grams]
    return pair_means(counts, groups, distance)
