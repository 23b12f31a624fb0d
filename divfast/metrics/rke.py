"""Rényi kernel entropy of order 2, as a number of modes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.gram import OuterProducts
from divfast.kinds import choice, positive_real
from divfast.metrics.vendi import SCALE, of_products, vendi
from divfast.neighbours import AllPairsCorpus, kernel_sums
from divfast.registry import metric


class RkeCorpus(AllPairsCorpus):
    """RKE of all rows together; holds the sum of their outer products, or the rows where the kernel is RBF."""

    def __init__(self, *, kernel: str = "cosine", scale: float = SCALE) -> None:
        super().__init__(kernel=kernel, scale=scale)
        self.sums = OuterProducts()

    @property
    def needs_rows(self) -> bool:
        """Whether the number is one of all pairs: for the cosine kernel their sum has a closed form."""
        return bool(self.parameters["kernel"] == "rbf")

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take one block of vectors."""
        if self.needs_rows:
            super().add(rows)
        else:
            self.sums.add(rows)

    def merge(self, other: RkeCorpus) -> None:
        """Take what another accumulator has seen."""
        if self.needs_rows:
            super().merge(other)
        else:
            self.sums.merge(other.sums)

    def result(self) -> float:
        """Return the score of everything seen so far."""
        if self.needs_rows:
            return float(rke(*self.gathered.all(), **self.parameters)[0])
        matrix = self.sums.matrix()
        return np.nan if matrix is None else float(of_products(matrix[None], 2.0, "default")[0])


def _applies(*, kernel: str, **_: Any) -> Sequence[str]:
    return ("kernel",) if kernel == "cosine" else ("kernel", "scale")


@metric(
    "rke",
    view="vectors",
    unit="effective modes",
    higher="more diverse",
    bounds=(1, None),
    corpus=RkeCorpus,
    parameters={"kernel": choice("cosine", "rbf"), "scale": positive_real},
    applies=_applies,
)
def rke(
    rows: NDArray[np.float32], groups: NDArray[np.int64], *, kernel: str = "cosine", scale: float = SCALE
) -> NDArray[np.float64]:
    """Number of modes of a group by its Rényi kernel entropy of order 2.

    Parameters
    ----------
    rows : numpy.ndarray
        ``float32[n, d]``, unit rows, C order.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    kernel : str
        What similarity is: ``cosine``, or ``rbf``, which is ``exp(-|x - y|^2 / (2 scale^2))`` as in the paper.
    scale : float
        Of the RBF kernel: at which distance vectors begin to count as different. Unit rows are at most 2 apart.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [1, K], within rounding; 1 for a group of one sample, NaN for a group of none.

    Notes
    -----
    ``1 / |K / n|_F^2`` of the kernel matrix K of n samples, the exponential of its Rényi entropy of order 2; no
    eigenvalue is needed. It is one over the mean squared similarity of all n^2 pairs, a sample with itself included, so
    unlike scores of order 1 it settles after some thousands of samples.

    For the cosine kernel it is `vendi` with q = 2, from the smaller of the K x K and d x d products: O(K d min(K,
    d)), and over a corpus d^2 numbers are held. For the RBF kernel every pair is looked at, with no random
    features, O(K^2 d) time: groups of up to 2048 samples in float64, larger ones and a corpus of more with products
    in float32; over a corpus the vectors are held, 4 d bytes a sample. Equal to the reference to 1e-6 relative.

    References
    ----------
    Jalali, Li and Farnia (2023), "An Information-Theoretic Evaluation of Generative Models in Learning Multi-modal
    Distributions", NeurIPS. Pasarkar and Dieng (2023), "Cousins of the Vendi Score", arXiv 2310.12952, for its
    place among the orders.

    Examples
    --------
    >>> import numpy as np, divfast
    >>> rows = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], np.float32)  # 10 of 16 pairs are alike
    >>> report = divfast.score(embeddings=rows, groups=np.array([0, 4]), metrics=["rke"])
    >>> round(report["rke"].mean, 4)
    1.6
    """
    if kernel == "cosine":
        return vendi(rows, groups, q=2.0)
    # The square of the kernel is that of a scale smaller by the root of 2.
    sums = kernel_sums(rows, groups, scale**2 / 2)
    sizes = np.diff(groups)
    out = np.full(len(sizes), np.nan)
    some = np.flatnonzero(sizes > 0)
    if len(some):
        out[some] = sizes[some] ** 2.0 / np.add.reduceat(sums, groups[some] - groups[0])
    return out
