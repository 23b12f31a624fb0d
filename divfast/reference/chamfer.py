"""Mean distance to the nearest other sample, by the full matrix of similarities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from divfast.reference.cosine import similarities


def nearest_similarities(rows: ArrayLike) -> list[float]:
    """Return the cosine of every row and the nearest other; empty where there is no other."""
    cosines = similarities(rows).tolist()
    k = len(cosines)
    return [max(cosines[i][j] for j in range(k) if j != i) for i in range(k)] if k > 1 else []


def chamfer(rows: ArrayLike, groups: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean over rows of one minus the cosine of the nearest other, per group, ``float64[g]``."""
    vectors = np.asarray(rows, np.float64)
    out = []
    for start, stop in pairwise(groups):
        found = nearest_similarities(vectors[start:stop])
        out.append(1.0 - sum(found) / len(found) if found else np.nan)
    return np.array(out, np.float64)
