"""Majority vote with a counter. Rows are (correct, answer, score)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from divfast.reference.accuracy import Row, known_verdicts


def voted(rows: Sequence[Row], ties: str, unparseable: str) -> float:
    """Return whether the majority of one group is right."""
    if not known_verdicts(rows):
        return np.nan
    votes = Counter(answer for _, answer, _ in rows if answer >= 0 or unparseable == "vote")
    best = [answer for answer, many in votes.items() if many == max(votes.values())]
    if not best or (ties == "wrong" and len(best) > 1):
        return 0.0
    values = []
    for winner in sorted(best):
        known = known_verdicts([row for row in rows if row[1] == winner])
        values.append(0.0 if winner < 0 else sum(known) / len(known) if known else np.nan)
    return sum(values) / len(values)


def majority(
    rows: Sequence[Row], groups: Sequence[int], *, ties: str = "mean", unparseable: str = "abstain"
) -> NDArray[np.float64]:
    """Return whether the majority of each group is right, ``float64[g]``."""
    return np.array([voted(rows[a:b], ties, unparseable) for a, b in pairwise(groups)], np.float64)
