"""Majority vote less the verdict on the first sample. Rows are (correct, answer, score)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from divfast.reference.accuracy import Row
from divfast.reference.accuracy_at_1 import accuracy_at_1
from divfast.reference.majority import majority


def mv_gain(
    rows: Sequence[Row], groups: Sequence[int], *, ties: str = "mean", unparseable: str = "abstain"
) -> NDArray[np.float64]:
    """Return the gain of each group, ``float64[g]``."""
    return majority(rows, groups, ties=ties, unparseable=unparseable) - accuracy_at_1(rows, groups)
