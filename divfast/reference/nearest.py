"""Quantiles of the similarity to the nearest other sample, by the full matrix of similarities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from divfast.reference.chamfer import nearest_similarities


def nearest(rows: ArrayLike, groups: Sequence[int], *, q: float = 0.5) -> NDArray[np.float64]:
    """Return the quantile of the cosines of rows and their nearest other, per group, ``float64[g]``."""
    vectors = np.asarray(rows, np.float64)
    out = []
    for start, stop in pairwise(groups):
        found = nearest_similarities(vectors[start:stop])
        out.append(float(np.quantile(found, q)) if found else np.nan)
    return np.array(out, np.float64)
