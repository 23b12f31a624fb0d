"""Mean over samples of the mean distance to the others, by the full matrix of similarities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from divfast.reference.cosine import similarities


def remote_clique(rows: ArrayLike, groups: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean over rows of their mean distance to the other rows, per group, ``float64[g]``."""
    vectors = np.asarray(rows, np.float64)
    out = []
    for start, stop in pairwise(groups):
        k = stop - start
        distances = 1.0 - similarities(vectors[start:stop])
        means = [np.mean(np.delete(distances[i], i)) for i in range(k)] if k > 1 else [np.nan]
        out.append(float(np.mean(means)))
    return np.array(out, np.float64)
