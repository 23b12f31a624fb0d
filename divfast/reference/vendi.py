"""Vendi Score by the eigenvalues of the full matrix of similarities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from divfast.reference.cosine import similarities


def vendi(
    rows: ArrayLike, groups: Sequence[int], *, q: float = 1.0, preset: str = "default"
) -> NDArray[np.float64]:
    """Return the exponential of the Rényi entropy of order q of the eigenvalues, ``float64[g]``."""
    vectors = np.asarray(rows, np.float64)
    out = []
    for start, stop in pairwise(groups):
        k = stop - start
        if k == 0:
            out.append(1.0 if preset == "paper" else np.nan)
            continue
        eigenvalues = np.linalg.eigvalsh(similarities(vectors[start:stop]) / k)
        if preset == "paper":
            eigenvalues = np.maximum(eigenvalues, 1e-12)
        else:
            eigenvalues = eigenvalues[eigenvalues > 1e-12]
        if k == 1:
            out.append(1.0)
        elif q == 1:
            out.append(float(np.exp(-np.sum(eigenvalues * np.log(eigenvalues)))))
        elif q == np.inf:
            out.append(float(1.0 / eigenvalues.max()))
        else:
            out.append(float(np.sum(eigenvalues**q) ** (1.0 / (1.0 - q))))
    return np.array(out, np.float64)
