"""Rényi kernel entropy of order 2 by the full matrix of similarities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from divfast.reference.vendi import kernel_matrix


def rke(
    rows: ArrayLike, groups: Sequence[int], *, kernel: str = "cosine", scale: float = 1.0
) -> NDArray[np.float64]:
    """Return one over the squared Frobenius norm of the kernel matrix over k, per group, ``float64[g]``."""
    vectors = np.asarray(rows, np.float64)
    out = []
    for start, stop in pairwise(groups):
        k = stop - start
        similarity = kernel_matrix(vectors[start:stop], kernel, scale)
        out.append(float(1.0 / np.sum((similarity / k) ** 2)) if k else np.nan)
    return np.array(out, np.float64)
