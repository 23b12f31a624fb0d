"""Entropy of classes by counting. Rows are labels, negative where there is none."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def shares(labels: Sequence[float]) -> list[float] | None:
    """Return the share of every class; None where there are no samples, or one has no class."""
    if not len(labels) or min(labels) < 0:
        return None
    return [count / len(labels) for count in Counter(labels).values()]


def cluster_entropy(rows: Sequence[float], groups: Sequence[int]) -> NDArray[np.float64]:
    """Return the Shannon entropy of classes per group in nats, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        of = shares(rows[start:stop])
        out.append(np.nan if of is None else sum(p * math.log(1 / p) for p in of))
    return np.array(out, np.float64)
