"""n-gram diversity by sets of tuples. Rows are lists of tokens."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from divfast.reference.ead import ngrams


def ngram_diversity(
    rows: Sequence[Sequence[Hashable]],
    groups: Sequence[int],
    *,
    n: Sequence[int] = (1, 2, 3, 4),
    preset: str = "default",
) -> NDArray[np.float64]:
    """Return the sum over n of different over all n-grams per group, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        samples = rows[start:stop]
        if preset == "paper":
            samples = [list(chain.from_iterable(samples))]
        by_order = []
        for order in n:
            grams = [gram for sample in samples for gram in ngrams(sample, order)]
            by_order.append(len(set(grams)) / len(grams) if grams else np.nan)
        out.append(sum(by_order))
    return np.array(out, np.float64)
