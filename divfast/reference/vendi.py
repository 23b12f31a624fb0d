"""Vendi Score by the eigenvalues of the full matrix of similarities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from divfast.reference.cosine import similarities


def kernel_matrix(rows: ArrayLike, kernel: str, scale: float) -> NDArray[np.float64]:
    """Return the similarity of every pair of rows, ``float64[k, k]``."""
    cosines = similarities(rows)
    if kernel == "cosine":
        return cosines
    squared_distances = np.maximum(2.0 - 2.0 * cosines, 0.0)
    kernels: NDArray[np.float64] = np.exp(-squared_distances / (2.0 * scale**2))
    return kernels


def vendi(
    rows: ArrayLike,
    groups: Sequence[int],
    *,
    q: float = 1.0,
    kernel: str = "cosine",
    scale: float = 1.0,
    rank: int = 1000,
    seed: int = 0,
    preset: str = "default",
) -> NDArray[np.float64]:
    """Return the exponential of the Rényi entropy of order q of the eigenvalues, ``float64[g]``.

    Exact at any size: there are no random features, and so neither `rank` nor `seed` has a say.
    """
    vectors = np.asarray(rows, np.float64)
    out = []
    for start, stop in pairwise(groups):
        k = stop - start
        if k == 0:
            out.append(1.0 if preset == "paper" else np.nan)
            continue
        eigenvalues = np.linalg.eigvalsh(kernel_matrix(vectors[start:stop], kernel, scale) / k)
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
