"""Means over samples, for metrics that look at each sample by itself."""

from __future__ import annotations

from typing import Self

import numpy as np
from numpy.typing import NDArray


def group_means(values: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean of every group's defined values, ``float64[g]``; NaN where a group has none.

    Parameters
    ----------
    values : numpy.ndarray
        ``float64[n]``, one a row, NaN where it is undefined.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    """
    g = len(groups) - 1
    group = np.repeat(np.arange(g), np.diff(groups))
    values = values[groups[0] : groups[-1]]
    defined = ~np.isnan(values)
    sums = np.bincount(group, np.where(defined, values, 0.0), g)
    with np.errstate(invalid="ignore"):
        result: NDArray[np.float64] = sums / np.bincount(group, defined, g)
    return result


class MeanCorpus:
    """What accumulators share whose score is a mean over samples: the sum of the defined values and their number."""

    def __init__(self) -> None:
        self.sum = 0.0
        self.count = 0

    def take(self, values: NDArray[np.float64]) -> None:
        """Take one value a sample, NaN where it is undefined."""
        defined = values[~np.isnan(values)]
        self.sum += float(defined.sum())
        self.count += len(defined)

    def merge(self, other: Self) -> None:
        """Take what another accumulator has seen."""
        self.sum += other.sum
        self.count += other.count

    def result(self) -> float:
        """Return the score of everything seen so far."""
        return self.sum / self.count if self.count else np.nan
