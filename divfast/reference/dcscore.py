"""DCScore by the full matrix of class probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from divfast.reference.cosine import similarities


def dcscore(rows: ArrayLike, groups: Sequence[int], *, tau: float = 1.0) -> NDArray[np.float64]:
    """Return the trace of the softmax, by rows, of the cosines over `tau`, per group, ``float64[g]``."""
    vectors = np.asarray(rows, np.float64)
    out = []
    for start, stop in pairwise(groups):
        logits = similarities(vectors[start:stop]) / tau
        if stop == start:
            out.append(np.nan)
            continue
        weights = np.exp(logits - logits.max(axis=1, keepdims=True))
        out.append(float(np.trace(weights / weights.sum(axis=1, keepdims=True))))
    return np.array(out, np.float64)
