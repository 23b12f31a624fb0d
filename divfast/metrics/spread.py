"""Log-determinant of the similarities."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.gram import OuterProducts, grams
from divfast.kinds import positive_real
from divfast.registry import metric


def _log_determinants(products: NDArray[np.float64], ridge: float) -> NDArray[np.float64]:
    """Return ``log det(I + products / ridge)`` of ``float64[b, m, m]``; NaN where a row is not finite."""
    # An infinity would come out as an infinity, and in some builds of LAPACK not at all.
    finite = np.isfinite(np.trace(products, axis1=1, axis2=2) / ridge)
    out = np.full(len(products), np.nan)
    if finite.any():
        matrices = products[finite] / ridge
        np.einsum("bii->bi", matrices)[...] += 1.0
        out[finite] = np.linalg.slogdet(matrices)[1]
    return out


class SpreadCorpus:
    """Log-determinant over all rows together; holds the d x d sum of their outer products."""

    def __init__(self, *, ridge: float = 1.0) -> None:
        self.ridge = ridge
        self.sums = OuterProducts()

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take one block of vectors."""
        self.sums.add(rows)

    def merge(self, other: SpreadCorpus) -> None:
        """Take what another accumulator has seen."""
        self.sums.merge(other.sums)

    def result(self) -> float:
        """Return the score of everything seen so far."""
        matrix = self.sums.matrix()
        return np.nan if matrix is None else float(_log_determinants(matrix[None], self.ridge)[0])


@metric(
    "spread",
    view="vectors",
    unit="nats",
    higher="more diverse",
    bounds=(0, None),
    corpus=SpreadCorpus,
    parameters={"ridge": positive_real},
)
def spread(
    rows: NDArray[np.float32], groups: NDArray[np.int64], *, ridge: float = 1.0
) -> NDArray[np.float64]:
    """Logarithm of the volume that the samples of a group span: the log-determinant of their similarities.

    Parameters
    ----------
    rows : numpy.ndarray
        ``float32[n, d]``, unit rows, C order.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    ridge : float
        What is added to every eigenvalue, above 0: directions of less variance than that hardly count.

    Returns
    -------
    numpy.ndarray
        ``float64[g]``, nats, from ``log(1 + K / ridge)`` for K samples that are alike to ``K log(1 + 1 / ridge)`` for
        orthogonal ones; NaN for a group of none.

    Notes
    -----
    ``log det(I + E E^T / ridge)``, where the rows of E are the K samples; ``log det(E E^T + ridge I)`` is this plus
    ``K log ridge``. With ridge = 1 it is the logarithm of the normaliser of a determinantal point process whose
    kernel are the similarities, and grows with each sample that is unlike those before it, the less the more alike
    it is: it is monotone and submodular. With ridge = K eps^2 / d half of it is the coding rate of Yu et al. at
    distortion eps.

    Without a ridge the determinant is 0, its logarithm undefined, as soon as two samples are alike or K > d; so a
    ridge of 0 is refused. The value grows with K and is compared at equal K (``--at-k``).

    The d x d matrix ``I + E^T E / ridge`` has the same determinant, so the smaller one is taken: O(K d min(K, d))
    time, and over a corpus d^2 numbers. Products and factors in float64. Equal to the reference to 1e-6.

    References
    ----------
    Kulesza and Taskar (2012), "Determinantal Point Processes for Machine Learning", arXiv 1207.6083. Yu et al. (2020),
    "Learning Diverse and Discriminative Representations via the Principle of Maximal Coding Rate Reduction", arXiv
    2006.08558, for the coding rate.

    Examples
    --------
    >>> import numpy as np, divfast
    >>> rows = np.array([[1, 0], [0, 1], [1, 0], [1, 0]], np.float32)  # log(2 x 2), and two that are alike: log 3
    >>> report = divfast.score(embeddings=rows, groups=np.array([0, 2, 4]), metrics=["spread"])
    >>> [round(value, 4) for value in report["spread"].values.tolist()]
    [1.3863, 1.0986]
    """
    sizes = np.diff(groups)
    out = np.full(len(sizes), np.nan)
    for g in np.flatnonzero(sizes > rows.shape[1]):
        corpus = SpreadCorpus(ridge=ridge)
        corpus.add(rows[groups[g] : groups[g + 1]])
        out[g] = corpus.result()
    for index, products in grams(rows, groups, np.flatnonzero((sizes > 0) & (sizes <= rows.shape[1]))):
        out[index] = _log_determinants(products, ridge)
    return out
