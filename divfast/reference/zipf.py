"""Zipf coefficient by a least-squares line through every rank. Rows are lists of tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from divfast.reference.ead import ngrams


def zipf(
    rows: Sequence[Sequence[Hashable]], groups: Sequence[int], *, n: int = 1, ranks: int = 5000
) -> NDArray[np.float64]:
    """Return the exponent per group, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        counts = Counter(gram for row in rows[start:stop] for gram in ngrams(row, n))
        top = np.sort(np.array(list(counts.values()), np.float64))[::-1][:ranks]
        if len(top) < 2:
            out.append(np.nan)
            continue
        x, y = np.log(np.arange(1, len(top) + 1)), np.log(top)
        x, y = x - x.mean(), y - y.mean()
        out.append(-(x @ y) / (x @ x))
    return np.array(out, np.float64)
