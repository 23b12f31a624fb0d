"""Statistics of the number of tokens. Rows are lists of tokens."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def length(
    rows: Sequence[Sequence[Hashable]], groups: Sequence[int], *, statistic: str = "mean"
) -> NDArray[np.float64]:
    """Return a statistic of the lengths per group, ``float64[g]``."""
    percentiles = {"min": 0, "median": 50, "max": 100}
    out = []
    for start, stop in pairwise(groups):
        lengths = np.array([len(row) for row in rows[start:stop]], np.float64)
        if not len(lengths):
            out.append(np.nan)
        elif statistic == "mean":
            out.append(lengths.mean())
        elif statistic == "std":
            out.append(lengths.std(ddof=1) if len(lengths) > 1 else np.nan)
        else:
            p = percentiles[statistic] if statistic in percentiles else int(statistic[1:])
            out.append(np.percentile(lengths, p))
    return np.array(out, np.float64)
