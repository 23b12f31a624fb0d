"""Utility as a walk from sample to sample. Rows are class and reward, NaN where there is none."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

_THRESHOLDS = [-7.71875, -6.28125, -6.0, -5.71875, -5.5, -5.0, -4.375, -3.4375, -2.046875]


def utility_k(
    rows: Sequence[Sequence[float]],
    groups: Sequence[int],
    *,
    k: int | None = None,
    p: float = 0.8,
    scale: str = "given",
) -> NDArray[np.float64]:
    """Return the utility of the first k samples per group, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        samples = list(rows[start:stop])[:k]
        seen: set[float] = set()
        value = 0.0 if samples and len(samples) >= (k or 1) else np.nan
        for i, (label, reward) in enumerate(samples):
            if np.isnan(label):
                value = np.nan
            elif label not in seen:
                seen.add(label)
                points = bisect_left(_THRESHOLDS, reward) + 1 if scale == "noveltybench" else reward
                value += p**i * (points if not np.isnan(reward) else np.nan)
        out.append(value * (1 - p) / (1 - p ** len(samples)) if samples else np.nan)
    return np.array(out, np.float64)
