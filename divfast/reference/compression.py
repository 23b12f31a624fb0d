"""Compression ratio with gzip and xz of the standard library. Rows are strings; zstd is left to its own library."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def compression(
    rows: Sequence[str], groups: Sequence[int], *, codec: str = "gzip", level: int | None = None
) -> NDArray[np.float64]:
    """Return bytes over compressed bytes per group, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        text = " ".join(rows[start:stop]).encode()
        if codec == "gzip":
            packed = gzip.compress(text, 9 if level is None else level)
        elif codec == "xz":
            packed = lzma.compress(text, preset=level)
        else:
            raise NotImplementedError("the reference has gzip and xz")
        out.append(len(text) / len(packed) if text else np.nan)
    return np.array(out, np.float64)
