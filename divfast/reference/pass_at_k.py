"""Odds that one of k samples is right, by binomial coefficients in whole numbers. Rows are (correct, answer, score)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from divfast.reference.accuracy import Row, known_verdicts


def pass_at_k(rows: Sequence[Row], groups: Sequence[int], *, k: int = 1) -> NDArray[np.float64]:
    """Return the odds per group, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        known = known_verdicts(rows[start:stop])
        n, c = len(known), int(sum(known))
        out.append(1 - math.comb(n - c, k) / math.comb(n, k) if n >= k else np.nan)
    return np.array(out, np.float64)
