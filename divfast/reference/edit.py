"""Mean normalised edit distance by the table of distances. Rows are texts."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from divfast.reference.rouge_l import pair_means


def levenshtein(a: Sequence[Hashable], b: Sequence[Hashable]) -> int:
    """Return the least number of insertions, deletions and replacements."""
    above = list(range(len(b) + 1))
    for i, x in enumerate(a):
        here = [i + 1]
        for j, y in enumerate(b):
            here.append(min(above[j] + (x != y), above[j + 1] + 1, here[j] + 1))
        above = here
    return above[-1]


def edit(
    rows: Sequence[str], groups: Sequence[int], *, unit: str = "chars", sample: int = 2000, seed: int = 0
) -> NDArray[np.float64]:
    """Return the mean distance over pairs per group, ``float64[g]``; all pairs, whatever `sample`."""
    sequences = [list(row) if unit == "chars" else row.split() for row in rows]
    return pair_means(sequences, groups, lambda a, b: levenshtein(a, b) / max(len(a), len(b), 1))
