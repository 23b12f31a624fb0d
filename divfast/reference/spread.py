"""Log-determinant by the eigenvalues of the full matrix of similarities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from divfast.reference.cosine import similarities


def spread(rows: ArrayLike, groups: Sequence[int], *, ridge: float = 1.0) -> NDArray[np.float64]:
    """Return the sum of ``log(1 + eigenvalue / ridge)``, per group, ``float64[g]``."""
    vectors = np.asarray(rows, np.float64)
    out = []
    for start, stop in pairwise(groups):
        if stop == start:
            out.append(np.nan)
            continue
        eigenvalues = np.linalg.eigvalsh(similarities(vectors[start:stop]))
        out.append(float(np.sum(np.log1p(np.maximum(eigenvalues, 0.0) / ridge))))
    return np.array(out, np.float64)
