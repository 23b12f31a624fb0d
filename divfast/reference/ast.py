"""Mean pairwise Jaccard distance of subtrees, by counting nested tuples.

Rows are trees ``(exact label, blind label, role, children)``, or None for a program that does not parse.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.reference.jaccard import distance
from divfast.reference.rouge_l import pair_means


def subtrees(tree: Any, *, height: int, exact: bool, identifiers: str) -> list[Any]:
    """Return every subtree of this height, or of at most this height; the role of its root is no part of it."""
    found: list[Any] = []

    def walk(node: Any) -> tuple[int, Any]:
        below = [(child[2], *walk(child)) for child in node[3]]
        own = 1 + max((high for _, high, _ in below), default=0)
        written = (
            node[0 if identifiers == "keep" else 1],
            tuple((role, subtree) for role, _, subtree in below),
        )
        if own == height or (own < height and not exact):
            found.append(written)
        return own, written

    if tree is not None:
        walk(tree)
    return found


def ast(
    rows: Sequence[Any],
    groups: Sequence[int],
    *,
    height: int = 4,
    exact: bool = False,
    identifiers: str = "keep",
    sample: int = 2000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the mean distance over pairs per group, ``float64[g]``; all pairs, whatever `sample`."""
    out = []
    for start, stop in pairwise(groups):
        found = [
            subtrees(row, height=height, exact=exact, identifiers=identifiers) for row in rows[start:stop]
        ]
        counts = [Counter(row) for row in found if row]
        out.append(pair_means(counts, [0, len(counts)], distance)[0])
    return np.array(out, np.float64)
