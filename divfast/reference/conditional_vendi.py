"""Conditional Vendi Score by the eigenvalues of the full matrices of similarities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from divfast.reference.cosine import similarities


def entropy(matrix: NDArray[np.float64], q: float) -> float:
    """Return the Rényi entropy of order q of the eigenvalues of a matrix over its size."""
    eigenvalues = np.linalg.eigvalsh(matrix / len(matrix))
    eigenvalues = eigenvalues[eigenvalues > 1e-12]
    if q == 1:
        return float(-np.sum(eigenvalues * np.log(eigenvalues)))
    if q == np.inf:
        return float(-np.log(eigenvalues.max()))
    return float(np.log(np.sum(eigenvalues**q)) / (1.0 - q))


def conditional_vendi(
    rows: ArrayLike,
    groups: Sequence[int],
    *,
    q: float = 1.0,
    part: str = "conditional",
    sample: int = 4000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the exponential of the conditional entropy or of the information, per group, ``float64[g]``.

    `rows` is ``[n, 2, d]``: of each the sample and its prompt. Of all rows at any size: `sample` and `seed` have no
    say.
    """
    vectors = np.asarray(rows, np.float64)
    out = []
    for start, stop in pairwise(groups):
        if stop == start:
            out.append(np.nan)
            continue
        outputs, prompts = (similarities(vectors[start:stop, i]) for i in (0, 1))
        joint, given = entropy(outputs * prompts, q), entropy(prompts, q)
        if part == "conditional":
            out.append(float(np.exp(joint - given)))
        else:
            out.append(float(np.exp(entropy(outputs, q) + given - joint)))
    return np.array(out, np.float64)
