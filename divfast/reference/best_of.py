"""The verdict on the sample of the highest score. Rows are (correct, answer, score)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from divfast.reference.accuracy import Row


def best_of(rows: Sequence[Row], groups: Sequence[int]) -> NDArray[np.float64]:
    """Return whether the best sample of each group is right, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        usable = [row for row in rows[start:stop] if not (math.isnan(row[0]) or math.isnan(row[2]))]
        best = [correct for correct, _, score in usable if score == max(row[2] for row in usable)]
        out.append(sum(best) / len(best) if best else np.nan)
    return np.array(out, np.float64)
