"""Distinct-n by sets of tuples. Rows are lists of tokens."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from divfast.reference.ead import ngrams


def distinct(
    rows: Sequence[Sequence[Hashable]], groups: Sequence[int], *, n: int = 1, preset: str = "default"
) -> NDArray[np.float64]:
    """Return distinct-n per group, ``float64[g]``."""
    undefined = 0.0 if preset == "paper" else np.nan
    out = []
    for start, stop in pairwise(groups):
        grams = [gram for row in rows[start:stop] for gram in ngrams(row, n)]
        out.append(len(set(grams)) / len(grams) if grams else undefined)
    return np.array(out, np.float64)
