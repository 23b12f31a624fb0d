"""Different over all subtrees of a group. Rows as in ``reference/ast.py``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.reference.ast import subtrees


def ast_distinct(
    rows: Sequence[Any],
    groups: Sequence[int],
    *,
    height: int = 4,
    exact: bool = False,
    identifiers: str = "keep",
) -> NDArray[np.float64]:
    """Return the ratio per group, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        found = [
            subtree
            for row in rows[start:stop]
            for subtree in subtrees(row, height=height, exact=exact, identifiers=identifiers)
        ]
        out.append(len(set(found)) / len(found) if found else np.nan)
    return np.array(out, np.float64)
