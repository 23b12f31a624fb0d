"""Self-repetition by sets of tuples, every pair of samples. Rows are lists of tokens."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from divfast.reference.ead import ngrams


def self_repetition(
    rows: Sequence[Sequence[Hashable]], groups: Sequence[int], *, n: int = 4, preset: str = "default"
) -> NDArray[np.float64]:
    """Return the mean log of shared n-grams per group, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        samples = [set(ngrams(row, n)) for row in rows[start:stop]]
        undefined = not samples if preset == "paper" else len(samples) < 2 or not any(samples)
        if undefined:
            out.append(np.nan)
            continue
        logs = []
        for i, mine in enumerate(samples):
            others = samples[:i] + samples[i + 1 :]
            logs.append(math.log(1 + sum(len(mine & other) for other in others)))
        out.append(sum(logs) / len(logs))
    return np.array(out, np.float64)
