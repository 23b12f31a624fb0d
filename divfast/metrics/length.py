"""Statistics of the length of samples."""

from __future__ import annotations

import re
from collections import Counter

import numpy as np
from numpy.typing import NDArray

from divfast.kinds import Kind
from divfast.registry import metric
from divfast.samples import Ragged


def _parse_statistic(text: str) -> str:
    if text not in ("mean", "std", "min", "max", "median") and not re.fullmatch(r"p[1-9]\d?", text):
        raise ValueError("must be mean, std, min, max, median, or a percentile from p1 to p99")
    return text


def _quantile(statistic: str) -> float:
    named = {"min": 0.0, "median": 0.5, "max": 1.0}
    return named[statistic] if statistic in named else int(statistic[1:]) / 100


class LengthCorpus:
    """A statistic of the lengths of all rows; keeps how often each length occurs."""

    def __init__(self, *, statistic: str) -> None:
        self.statistic = statistic
        self.seen: Counter[int] = Counter()

    def add(self, rows: Ragged) -> None:
        """Take one block of tokens."""
        lengths, counts = np.unique(rows.lengths, return_counts=True)
        self.seen.update(dict(zip(lengths.tolist(), counts.tolist(), strict=True)))

    def merge(self, other: LengthCorpus) -> None:
        """Take what another accumulator has seen."""
        self.seen.update(dict(other.seen))

    def result(self) -> float:
        """Return the score of everything seen so far."""
        lengths = sorted(self.seen)
        n = self.seen.total()
        if not n:
            return np.nan
        # Whole numbers of any size, so these are exact.
        first = sum(length * count for length, count in self.seen.items())
        if self.statistic == "mean":
            return first / n
        if self.statistic == "std":
            second = sum(length * length * count for length, count in self.seen.items())
            return float(np.sqrt((n * second - first * first) / (n * (n - 1)))) if n > 1 else np.nan
        ends = np.cumsum([self.seen[length] for length in lengths])
        place = (n - 1) * _quantile(self.statistic)
        low, high = (lengths[np.searchsorted(ends, at, "right")] for at in (int(place), int(np.ceil(place))))
        return float(low + (high - low) * (place - int(place)))


@metric(
    "length",
    view="tokens",
    unit="tokens",
    higher="longer",
    bounds=(0, None),
    corpus=LengthCorpus,
    parameters={"statistic": Kind(_parse_statistic)},
    tokenizers={"default": "whitespace", "paper": "whitespace"},
)
def length(rows: Ragged, groups: NDArray[np.int64], *, statistic: str = "mean") -> NDArray[np.float64]:
    """Mean number of tokens of a group's samples, or another statistic of it.

    Parameters
    ----------
    rows : Ragged
        Tokens, ``uint64``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    statistic : str
        ``mean``, ``std``, ``min``, ``max``, ``median``, or a percentile ``p1`` to ``p99``.

    Returns
    -------
    numpy.ndarray
        ``float64[g]``, at least 0; an empty sample has length 0. NaN for a group without a sample, and the ``std`` of
        one.

    Notes
    -----
    No measure of diversity, but what most of them depend on: see whether the groups compared are of like length.
    ``std`` has K - 1 in the denominator; percentiles are interpolated between neighbouring lengths. With
    ``--tokenizer chars`` it counts characters other than white space. O(K log K) time for a group; over a corpus one
    count for every different length, in whole numbers. Equal to the reference to 1e-12.

    References
    ----------
    Percentiles, type 7: Hyndman and Fan (1996), "Sample Quantiles in Statistical Packages", The American Statistician
    50(4).

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["a b c d", "a b"]], ["length", "length:statistic=p75"])
    >>> report["length"].mean, report["length:statistic=p75"].mean
    (3.0, 3.5)
    """
    g = len(groups) - 1
    k = np.diff(groups)
    lengths = rows.lengths[groups[0] : groups[-1]].astype(np.float64)
    group = np.repeat(np.arange(g), k)
    if statistic in ("mean", "std"):
        with np.errstate(invalid="ignore", divide="ignore"):
            mean: NDArray[np.float64] = np.bincount(group, lengths, g) / k
            if statistic == "mean":
                return mean
            squares = np.bincount(group, (lengths - mean[group]) ** 2, g)
            return np.where(k > 1, np.sqrt(squares / np.maximum(k - 1, 1)), np.nan)
    ordered = lengths[np.lexsort((lengths, group))]
    place = np.maximum(k - 1, 0) * _quantile(statistic)
    low = place.astype(np.int64)
    some = k > 0
    start = (groups[:-1] - groups[0])[some]
    below = ordered[start + low[some]]
    above = ordered[start + np.minimum(low + 1, k - 1)[some]]
    out = np.full(g, np.nan)
    out[some] = below + (above - below) * (place - low)[some]
    return out
