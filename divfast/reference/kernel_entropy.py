"""Kernel language entropy by the power series of the kernel. Rows have a text, a prompt and a judge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.reference.nli_clusters import over_groups, said


def exponential(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the exponential of a matrix: that of a small part by the series, squared until it is whole."""
    halvings = max(0, int(np.ceil(np.log2(np.abs(matrix).sum() + 1e-300))) + 1)
    part, term, total = matrix / 2**halvings, np.eye(len(matrix)), np.eye(len(matrix))
    for i in range(1, 20):
        term = term @ part / i
        total = total + term
    for _ in range(halvings):
        total = total @ total
    return total


def kernel_entropy(
    rows: Sequence[Any], groups: Sequence[int], *, t: float = 0.3, context: str = "none"
) -> NDArray[np.float64]:
    """Return the von Neumann entropy in nats per group, ``float64[g]``."""

    def number(members: Sequence[Any]) -> float:
        k = len(members)
        weights = np.zeros((k, k))
        for i in range(k):
            for j in range(k):
                if i != j:
                    a, b = members[i], members[j]
                    for one, other in ((a, b), (b, a)):
                        chances = a.judge(said(one, context), said(other, context))
                        weights[i, j] += chances[0] + 0.5 * chances[1]
        kernel = exponential(-t * (np.diag(weights.sum(axis=1)) - weights))
        eigenvalues = np.linalg.eigvalsh(kernel / np.trace(kernel))
        return float(-sum(value * np.log(value) for value in eigenvalues if value > 0))

    return over_groups(rows, groups, context, number)
