"""Quantiles of the similarity to the nearest other sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.kinds import quantile
from divfast.neighbours import (
    AllPairsCorpus,
    Nearest,
    gather_nearest,
    nearest_similarity,
    nearest_statistics,
)
from divfast.registry import metric


def nearest_of(nearest: Nearest, *, q: float) -> NDArray[np.float64]:
    """Return the quantile of the similarities of every group."""
    similarities, groups = nearest
    sizes = np.diff(groups)
    out = np.full(len(sizes), np.nan)
    some = np.flatnonzero(sizes > 0)
    if not len(some):
        return out
    # Groups one after the other, each ascending; NaN is last.
    ordered = similarities[np.lexsort((similarities, np.repeat(np.arange(len(sizes)), sizes)))]
    place = (sizes[some] - 1) * q
    below = np.floor(place).astype(np.int64)
    low = ordered[groups[some] + below]
    high = ordered[groups[some] + np.minimum(below + 1, sizes[some] - 1)]
    values = low + (high - low) * (place - below)
    out[some] = np.where(np.isnan(ordered[groups[some + 1] - 1]), np.nan, values)
    return out


def similarity_to_nearest(
    rows: NDArray[np.float32], groups: NDArray[np.int64], *, q: float = 0.5
) -> NDArray[np.float64]:
    """Return the cosine of every sample and the nearest other of its group; their quantile is `nearest`."""
    return nearest_similarity(rows, groups)


class NearestCorpus(AllPairsCorpus):
    """A quantile of the similarities of all rows to their nearest; holds the rows."""

    def samples(self) -> NDArray[np.float64]:
        """Return the similarity of every row to its nearest."""
        return self.gathered.nearest()

    def result(self) -> float:
        """Return the score of everything seen so far."""
        similarities = self.samples()
        return float(nearest_of((similarities, np.array([0, len(similarities)])), **self.parameters)[0])


@metric(
    "nearest",
    view="vectors",
    unit="cosine similarity to the nearest",
    higher="less diverse",
    bounds=(-1, 1),
    corpus=NearestCorpus,
    parameters={"q": quantile},
    per_sample=similarity_to_nearest,
    statistics=nearest_statistics(nearest_of),
)
def nearest(rows: NDArray[np.float32], groups: NDArray[np.int64], *, q: float = 0.5) -> NDArray[np.float64]:
    """Quantile of the cosine similarity of a sample to the nearest other sample of its group.

    Parameters
    ----------
    rows : numpy.ndarray
        ``float32[n, d]``, unit rows, C order.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    q : float
        Which quantile, in [0, 1]: 0.5 is the median, 1 the similarity of the two nearest samples of all.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [-1, 1], within rounding; NaN for a group of fewer than two samples.

    Notes
    -----
    The quantile of ``max_{j != i} cos(e_i, e_j)`` over samples i, with linear interpolation between the two samples
    next to it (numpy's default, Hyndman and Fan's seventh). One minus the mean of these is `chamfer`; a quantile
    also tells how large a share of samples has a near-duplicate. Time, memory and precision are those of `chamfer`,
    and both are computed once where both are asked for. Equal to the reference to 1e-6.

    The value of a sample (``--per-sample``) is its similarity to the nearest.

    References
    ----------
    Cox et al. (2021), "Directed Diversity: Leveraging Language Embedding Distances for Collective Creativity in
    Crowd Ideation", arXiv 2101.06030, for the distance to the nearest. Hyndman and Fan (1996), "Sample Quantiles in
    Statistical Packages", for the quantile.

    Examples
    --------
    >>> import numpy as np, divfast
    >>> rows = np.array([[1, 0], [1, 0], [0.6, 0.8]], np.float32)  # nearest: 1, 1 and 0.6
    >>> specs = ["nearest", "nearest:q=0", "nearest:q=0.25"]
    >>> report = divfast.score(embeddings=rows, groups=np.array([0, 3]), metrics=specs)
    >>> [round(report[spec].mean, 4) for spec in specs]
    [1.0, 0.6, 0.8]
    """
    return nearest_of(gather_nearest(rows, groups, 1), q=q)
