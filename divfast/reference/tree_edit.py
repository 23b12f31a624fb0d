"""Mean normalised edit distance of trees, by recursion over forests. Rows as in ``reference/ast.py``."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.reference.rouge_l import pair_means


def fnv1a(name: str) -> int:
    """Return the label of a class of nodes that holds nothing."""
    value = 0xCBF29CE484222325
    for byte in name.encode():
        value = (value ^ byte) * 0x100000001B3 % 2**64
    return value


CONTEXTS = {fnv1a(name) for name in ("Load", "Store", "Del")}


def pruned(tree: Any, label: int) -> Any:
    """Return a tree as (label, children), without the contexts of Python."""
    return tree[label], tuple(pruned(child, label) for child in tree[3] if child[0] not in CONTEXTS)


def size(forest: Any) -> int:
    """Return the number of nodes."""
    return sum(1 + size(children) for _, children in forest)


@cache
def edits(a: tuple[Any, ...], b: tuple[Any, ...]) -> int:
    """Return the least number of edits between two forests."""
    if not a or not b:
        return size(a) + size(b)
    (of_a, below_a), (of_b, below_b) = a[-1], b[-1]
    renamed: int = edits(a[:-1], b[:-1]) + edits(below_a, below_b) + (of_a != of_b)
    return min(edits(a[:-1] + below_a, b) + 1, edits(a, b[:-1] + below_b) + 1, renamed)


def distance(a: Any, b: Any) -> float:
    """Return twice the edits over the nodes of both and the edits."""
    d = edits((a,), (b,))
    return 2 * d / (size((a, b)) + d)


def tree_edit(
    rows: Sequence[Any],
    groups: Sequence[int],
    *,
    identifiers: str = "keep",
    most: int = 500,
    sample: int = 200,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the mean distance over pairs per group, ``float64[g]``; all pairs, whatever `sample`."""
    label = 0 if identifiers == "keep" else 1
    out = []
    for start, stop in pairwise(groups):
        trees = [pruned(row, label) for row in rows[start:stop] if row is not None]
        small = [tree for tree in trees if size((tree,)) <= most]
        out.append(pair_means(small, [0, len(small)], distance)[0])
    return np.array(out, np.float64)
