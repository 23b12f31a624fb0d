"""The verdict on the first sample. Rows are (correct, answer, score)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from divfast.reference.accuracy import Row


def accuracy_at_1(rows: Sequence[Row], groups: Sequence[int]) -> NDArray[np.float64]:
    """Return whether the first sample of each group is right, ``float64[g]``."""
    return np.array([rows[a][0] if b > a else np.nan for a, b in pairwise(groups)], np.float64)
