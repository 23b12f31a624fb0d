"""Mean pairwise cosine distance by the full matrix of similarities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray


def similarities(rows: ArrayLike) -> NDArray[np.float64]:
    """Return the cosine of every pair of rows, ``float64[k, k]``."""
    vectors = np.asarray(rows, np.float64)
    unit = vectors / np.sqrt((vectors**2).sum(axis=1, keepdims=True))
    product: NDArray[np.float64] = unit @ unit.T
    return product


def cosine(rows: ArrayLike, groups: Sequence[int], *, preset: str = "default") -> NDArray[np.float64]:
    """Return the mean over pairs of one minus the cosine, per group, ``float64[g]``."""
    vectors = np.asarray(rows, np.float64)
    out = []
    for start, stop in pairwise(groups):
        k = stop - start
        if k < 2:
            out.append(0.0 if preset == "paper" else np.nan)
            continue
        pairs = similarities(vectors[start:stop])[np.triu_indices(k, 1)]
        out.append(float(np.mean(1.0 - pairs)))
    return np.array(out, np.float64)
