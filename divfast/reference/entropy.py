"""Entropy of n-grams by counting tuples. Rows are lists of tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from divfast.reference.ead import ngrams


def entropy(
    rows: Sequence[Sequence[Hashable]], groups: Sequence[int], *, n: int = 1, normalized: bool = False
) -> NDArray[np.float64]:
    """Return the Shannon entropy per group in nats, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        counts = Counter(gram for row in rows[start:stop] for gram in ngrams(row, n))
        total = counts.total()
        if not total or (normalized and len(counts) < 2):
            out.append(np.nan)
            continue
        shares = [count / total for count in counts.values()]
        value = -sum(p * math.log(p) for p in shares)
        out.append(value / math.log(len(counts)) if normalized else value)
    return np.array(out, np.float64)
