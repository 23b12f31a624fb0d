"""Lexical richness by sets. Rows are lists of tokens."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def ttr(tokens: Sequence[Hashable]) -> float:
    """Return different over all tokens."""
    return len(set(tokens)) / len(tokens)


def mattr(tokens: Sequence[Hashable], window: int) -> float:
    """Return the mean TTR of every run of `window` tokens; of a shorter text its TTR."""
    if len(tokens) <= window:
        return ttr(tokens)
    runs = [ttr(tokens[i : i + window]) for i in range(len(tokens) - window + 1)]
    return sum(runs) / len(runs)


def factor_length(tokens: Sequence[Hashable], threshold: float, shortest: int, open_end: bool) -> float:
    """Return tokens over factors, reading forwards; NaN where there is no factor."""
    factors = 0.0
    run: list[Hashable] = []
    for i, token in enumerate(tokens):
        run.append(token)
        closed = len(run) >= shortest and ttr(run) < threshold
        if closed and not (open_end and i == len(tokens) - 1):
            factors += 1
            run = []
    if run:
        factors += (1 - ttr(run)) / (1 - threshold)
    return len(tokens) / factors if factors else np.nan


def type_token(
    rows: Sequence[Sequence[Hashable]],
    groups: Sequence[int],
    *,
    measure: str = "ttr",
    window: int = 50,
    threshold: float = 0.72,
    preset: str = "default",
) -> NDArray[np.float64]:
    """Return the mean of one measure over the samples of each group, ``float64[g]``."""
    paper = preset == "paper"

    def of_sample(tokens: Sequence[Hashable]) -> float:
        if not tokens:
            return np.nan
        if measure == "ttr":
            return ttr(tokens)
        if measure == "mattr":
            return mattr(tokens, window)
        ways = [tokens, tokens[::-1]]
        return sum(factor_length(way, threshold, 10 if paper else 1, paper) for way in ways) / 2

    out = []
    for start, stop in pairwise(groups):
        values = np.array([of_sample(row) for row in rows[start:stop]], np.float64)
        values = np.nan_to_num(values, nan=0.0) if paper else values[~np.isnan(values)]
        out.append(values.mean() if len(values) else np.nan)
    return np.array(out, np.float64)
