"""DCScore: how well samples can be told from one another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.kinds import positive_real
from divfast.means import group_means
from divfast.neighbours import AllPairsCorpus, kernel_sums
from divfast.registry import metric


class DCScoreCorpus(AllPairsCorpus):
    """DCScore of all rows together; holds the rows."""

    def result(self) -> float:
        """Return the score of everything seen so far."""
        return float(dcscore(*self.gathered.all(), **self.parameters)[0])


@metric(
    "dcscore",
    view="vectors",
    unit="samples told apart",
    higher="more diverse",
    bounds=(1, None),
    corpus=DCScoreCorpus,
    parameters={"tau": positive_real},
)
def dcscore(rows: NDArray[np.float32], groups: NDArray[np.int64], *, tau: float = 1.0) -> NDArray[np.float64]:
    """How many samples of a group are told from the others by a softmax over similarities.

    Parameters
    ----------
    rows : numpy.ndarray
        ``float32[n, d]``, unit rows, C order.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    tau : float
        Temperature of the softmax, in (0, inf]: a small one tells nearly all apart, ``inf`` none.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [1, K], within rounding; 1 for a group of one sample, NaN for a group of none.

    Notes
    -----
    Each sample is classified among all samples of its group: ``P = softmax(E E^T / tau)``, row by row, and the
    score is the trace of P, ``sum_i 1 / sum_j exp((cos(e_i, e_j) - 1) / tau)``.

    With ``tau=1``, as published, it can hardly grow: where others have a cosine of 0 on average, the score of K
    samples tends to e = 2.718 as K grows, and it is below e where no cosine is below 0, however many different
    samples there are. A tau of 0.1 moves that ceiling to exp(10).

    Every pair is looked at: O(K^2 d) time, groups of up to 2048 samples in float64, larger ones and a corpus of
    more with products in float32 and sums in float64. Equal to the reference to 1e-6. Over a corpus the vectors are
    held, 4 d bytes a sample; no n x n numbers.

    References
    ----------
    Zhu et al. (2025), "Measuring Diversity in Synthetic Datasets", arXiv 2502.08512.

    Examples
    --------
    >>> import numpy as np, divfast
    >>> rows = np.array([[1, 0], [0, 1]], np.float32)  # each has e^0 beside e^1: 2 e / (e + 1)
    >>> report = divfast.score(embeddings=rows, groups=np.array([0, 2]), metrics=["dcscore", "dcscore:tau=0.01"])
    >>> round(report["dcscore"].mean, 4), round(report["dcscore:tau=0.01"].mean, 4)
    (1.4621, 2.0)
    """
    chances = 1.0 / kernel_sums(rows, groups, tau)
    sizes = np.diff(groups)
    means = group_means(chances, groups - groups[0])
    return np.where(sizes > 0, means * sizes, np.nan)
