"""Accuracy by counting. Rows are (correct, answer, score)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Row = tuple[float, int, float]


def known_verdicts(rows: Sequence[Row]) -> list[float]:
    """Return the verdicts that there are."""
    return [correct for correct, _, _ in rows if not math.isnan(correct)]


def accuracy(rows: Sequence[Row], groups: Sequence[int]) -> NDArray[np.float64]:
    """Return the share of right samples per group, ``float64[g]``."""
    found = [known_verdicts(rows[start:stop]) for start, stop in pairwise(groups)]
    return np.array([sum(known) / len(known) if known else np.nan for known in found], np.float64)
