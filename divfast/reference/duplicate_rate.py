"""Share of samples whose class was there before, one after the other. Rows are labels, negative where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def duplicate_rate(rows: Sequence[float], groups: Sequence[int]) -> NDArray[np.float64]:
    """Return the share of samples that repeat an earlier one per group, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        labels = list(rows[start:stop])
        repeats = sum(label in labels[:i] for i, label in enumerate(labels))
        out.append(repeats / len(labels) if labels and min(labels) >= 0 else np.nan)
    return np.array(out, np.float64)
