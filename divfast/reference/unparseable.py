"""Share of programs that do not parse. Rows as in ``reference/ast.py``."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray


def unparseable(rows: Sequence[Any], groups: Sequence[int]) -> NDArray[np.float64]:
    """Return the share per group, ``float64[g]``."""
    return np.array(
        [
            sum(row is None for row in rows[start:stop]) / (stop - start) if stop > start else np.nan
            for start, stop in pairwise(groups)
        ],
        np.float64,
    )
