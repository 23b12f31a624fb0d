"""Number of classes as the size of a set. Rows are labels, negative where there is none."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def distinct_k(rows: Sequence[float], groups: Sequence[int], *, k: int | None = None) -> NDArray[np.float64]:
    """Return the number of classes among the first k samples per group, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        labels = list(rows[start:stop])[:k]
        defined = labels and len(labels) >= (k or 1) and min(labels) >= 0
        out.append(len(set(labels)) if defined else np.nan)
    return np.array(out, np.float64)
