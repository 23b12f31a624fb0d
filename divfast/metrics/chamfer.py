"""Mean distance to the nearest other sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.means import group_means
from divfast.neighbours import (
    AllPairsCorpus,
    Nearest,
    gather_nearest,
    nearest_similarity,
    nearest_statistics,
    sorted_distances,
)
from divfast.registry import metric


def chamfer_of(nearest: Nearest) -> NDArray[np.float64]:
    """Return the mean distance to the nearest of every group."""
    similarities, groups = nearest
    return group_means(1.0 - similarities, groups)


def distance_to_nearest(rows: NDArray[np.float32], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the cosine distance of every sample to the nearest other of its group; their mean is `chamfer`."""
    distances: NDArray[np.float64] = 1.0 - nearest_similarity(rows, groups)
    return distances


def chamfer_at_k(rows: NDArray[np.float32], groups: NDArray[np.int64], k: int) -> NDArray[np.float64]:
    """Return the expectation on k random rows of every group, ``float64[g]``; NaN where there are fewer, or no pair.

    In a random set of k rows that holds a certain one, the nearest to it is the r-th nearest of all K - 1 others with
    probability ``C(K - 1 - r, k - 2) / C(K - 1, k - 1)``.
    """
    sizes = np.diff(groups)
    sums = np.where((sizes >= max(2, k)) & (k >= 2), 0.0, np.nan)
    for g, distances in sorted_distances(rows, groups, k) if k >= 2 else ():
        others = int(sizes[g]) - 1
        farther = others - np.arange(1, others)
        weights = (k - 1) / others * np.cumprod([1.0, *((farther - (k - 2)) / farther)])
        # Where fewer than k - 2 are farther it is impossible.
        sums[g] += (distances @ np.maximum(weights, 0.0)).sum()
    return sums / np.maximum(sizes, 1)


class ChamferCorpus(AllPairsCorpus):
    """Mean distance of all rows to their nearest; holds the rows."""

    def samples(self) -> NDArray[np.float64]:
        """Return the distance of every row to its nearest."""
        distances: NDArray[np.float64] = 1.0 - self.gathered.nearest()
        return distances

    def result(self) -> float:
        """Return the score of everything seen so far."""
        distances = self.samples()
        return float(distances.mean()) if len(distances) else np.nan


@metric(
    "chamfer",
    view="vectors",
    unit="mean cosine distance to the nearest",
    higher="more diverse",
    bounds=(0, 2),
    corpus=ChamferCorpus,
    expectation=chamfer_at_k,
    per_sample=distance_to_nearest,
    statistics=nearest_statistics(chamfer_of),
)
def chamfer(rows: NDArray[np.float32], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean cosine distance of a sample to the nearest other sample of its group.

    Parameters
    ----------
    rows : numpy.ndarray
        ``float32[n, d]``, unit rows, C order.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, 2], within rounding; NaN for a group of fewer than two samples.

    Notes
    -----
    ``mean_i min_{j != i} (1 - cos(e_i, e_j))``: 0 where every sample has a double, however different the pairs are.
    Every pair is looked at: O(K^2 d) time. Groups of up to 2048 samples in float64; in larger ones, and over a
    corpus of more, the nearest is found with products in float32 and its distance computed in float64, so that
    doubles are at distance 0. Equal to the reference to 1e-6. Over a corpus the vectors are held, 4 d bytes a
    sample.

    It falls as K grows, since neighbours come nearer. ``--at-k`` is exact: the r-th nearest of K - 1 others is the
    nearest in a random set of k with a probability that is known.

    The value of a sample (``--per-sample``) is its distance to the nearest. The package ``diversity`` computes the same
    over all pairs at once, in n x n numbers, and rounds it to three decimals.

    References
    ----------
    Cox et al. (2021), "Directed Diversity: Leveraging Language Embedding Distances for Collective Creativity in Crowd
    Ideation", arXiv 2101.06030.

    Examples
    --------
    >>> import numpy as np, divfast
    >>> rows = np.array([[1, 0], [1, 0], [0, 1]], np.float32)  # two that are alike, and one at distance 1
    >>> report = divfast.score(embeddings=rows, groups=np.array([0, 3]), metrics=["chamfer"])
    >>> round(report["chamfer"].mean, 4)
    0.3333
    """
    return chamfer_of(gather_nearest(rows, groups, 1))
