"""Hill numbers from shares of classes. Rows are labels, negative where there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from divfast.reference.cluster_entropy import shares


def hill(rows: Sequence[float], groups: Sequence[int], *, q: float = 1.0) -> NDArray[np.float64]:
    """Return the Hill number of order q per group, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        of = shares(rows[start:stop])
        if of is None:
            out.append(np.nan)
        elif q == 1:
            out.append(math.exp(-sum(p * math.log(p) for p in of)))
        elif math.isinf(q):
            out.append(1 / max(of))
        else:
            out.append(sum(p**q for p in of) ** (1 / (1 - q)))
    return np.array(out, np.float64)
