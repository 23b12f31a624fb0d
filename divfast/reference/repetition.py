"""Repetition by sets of tuples. Rows are lists of tokens."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from divfast.reference.ead import ngrams


def repetition(
    rows: Sequence[Sequence[Hashable]],
    groups: Sequence[int],
    *,
    n: Sequence[int] = (2, 3, 4),
    preset: str = "default",
) -> NDArray[np.float64]:
    """Return the product over n of different over all n-grams per group, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        by_order = []
        for order in n:
            grams = [ngrams(row, order) for row in rows[start:stop]]
            if preset == "paper":
                grams = [of_row[:-1] for of_row in grams]
                unique = sum(len(set(of_row)) for of_row in grams)
            else:
                unique = len({gram for of_row in grams for gram in of_row})
            total = sum(map(len, grams))
            by_order.append(unique / total if total else np.nan)
        out.append(math.prod(by_order))
    return np.array(out, np.float64)
