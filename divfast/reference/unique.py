"""Share of different samples by sets of strings. Rows are strings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def normalized(text: str, normalize: str) -> str:
    """Return a text without what does not count."""
    if normalize == "lower":
        text = "".join(character.lower() for character in text)
    return text if normalize == "none" else " ".join(text.split())


def unique(rows: Sequence[str], groups: Sequence[int], *, normalize: str = "space") -> NDArray[np.float64]:
    """Return different over all samples per group, ``float64[g]``."""
    out = []
    for start, stop in pairwise(groups):
        texts = [normalized(text, normalize) for text in rows[start:stop]]
        out.append(len(set(texts)) / len(texts) if texts else np.nan)
    return np.array(out, np.float64)
