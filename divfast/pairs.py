"""What the metrics over pairs share: over a corpus, the pairs of a seeded sample of its rows."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from divfast.sampling import RowSample

# Two million pairs.
SAMPLE = 2000


class PairCorpus:
    """Mean over all pairs of rows drawn from a corpus: over all its pairs where it has no more rows than that.

    Parameters
    ----------
    sample : int
        Rows to draw.
    seed : int
        The same one draws the same rows.
    **parameters
        Others of the metric.
    """

    def __init__(self, *, sample: int = SAMPLE, seed: int = 0, **parameters: Any) -> None:
        self.drawn = RowSample(sample, seed=seed)
        self.parameters = parameters

    def means(self, rows: Any, groups: NDArray[np.int64], **parameters: Any) -> NDArray[np.float64]:
        """Return the mean over the pairs of every group: the metric itself."""
        raise NotImplementedError

    def add(self, rows: Any) -> None:
        """Take one block of rows."""
        self.drawn.add(rows)

    def merge(self, other: Self) -> None:
        """Take what another accumulator has seen."""
        self.drawn.merge(other.drawn)

    def result(self) -> float:
        """Return the mean over the pairs of the rows drawn from everything seen so far; NaN where there is none."""
        rows = self.drawn.rows()
        if rows is None:
            return float("nan")
        return float(self.means(rows, np.array([0, len(rows)], np.int64), **self.parameters)[0])
