"""Mean distance to the other samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.metrics.cosine import CosineCorpus, cosine, distance_to_others
from divfast.registry import metric


class RemoteCliqueCorpus(CosineCorpus):
    """Mean over all rows of their mean distance to the others; holds the sum of the rows."""

    def __init__(self) -> None:
        super().__init__()


def mean_distance(rows: NDArray[np.float32], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the mean cosine distance of every sample to the others of its group; their mean is `remote_clique`."""
    return distance_to_others(rows, groups)


@metric(
    "remote_clique",
    view="vectors",
    unit="mean over samples of the mean cosine distance to the others",
    higher="more diverse",
    bounds=(0, 2),
    corpus=RemoteCliqueCorpus,
    expectation="pairs_mean",
    per_sample=mean_distance,
)
def remote_clique(rows: NDArray[np.float32], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean over samples of the mean cosine distance to the other samples of the group.

    Parameters
    ----------
    rows : numpy.ndarray
        ``float32[n, d]``, unit rows, C order.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, K / (K - 1)], within rounding; NaN for a group of fewer than two samples.

    Notes
    -----
    ``mean_i mean_{j != i} (1 - cos(e_i, e_j))``. Every sample has as many others, so the mean of means is the mean
    over all pairs: the number is that of `cosine`, under the name by which the literature on crowds and on
    synthetic data knows it, and has its closed form: O(n d) time, O(d) memory, no pair is looked at. Equal to the
    reference, which takes the means one after the other, to 1e-6.

    The package ``diversity`` counts the distance of 0 of a sample to itself among the n: its number is this one times
    ``(n - 1) / n``, rounded to three decimals. ``--per-sample`` gives the mean distance of each sample.

    References
    ----------
    Cox et al. (2021), "Directed Diversity: Leveraging Language Embedding Distances for Collective Creativity in Crowd
    Ideation", arXiv 2101.06030.

    Examples
    --------
    >>> import numpy as np, divfast
    >>> rows = np.array([[1, 0], [1, 0], [0, 1]], np.float32)  # mean distances 1/2, 1/2 and 1
    >>> report = divfast.score(embeddings=rows, groups=np.array([0, 3]), metrics=["remote_clique"])
    >>> round(report["remote_clique"].mean, 4)
    0.6667
    """
    return cosine(rows, groups)
