"""Share of samples that repeat an earlier one, by the classes of a partition."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.metrics.distinct_k import expected_distinct_k
from divfast.partitions import ClassCorpus, Classes, count_classes
from divfast.registry import metric


def duplicates(classes: Classes) -> NDArray[np.float64]:
    """Return the share of samples of every group that are not the first of their class, ``float64[g]``."""
    with np.errstate(invalid="ignore"):
        share: NDArray[np.float64] = classes.sums(classes.count.astype(np.float64) - 1.0) / classes.sizes
    return share


def expected_duplicate_rate(
    rows: NDArray[np.int64], groups: NDArray[np.int64], size: int
) -> NDArray[np.float64]:
    """Return what is expected of `size` samples of every group; NaN where it has fewer."""
    return 1.0 - expected_distinct_k(rows, groups, size, k=None) / size


class DuplicateRateCorpus(ClassCorpus):
    """Share of all rows together that are not the first of their class."""

    def result(self) -> float:
        """Return the score of everything seen so far."""
        return float(duplicates(self.classes())[0])


@metric(
    "duplicate_rate",
    view="partition",
    unit="repeating / all samples",
    higher="less diverse",
    bounds=(0, 1),
    corpus=DuplicateRateCorpus,
    expectation=expected_duplicate_rate,
)
def duplicate_rate(rows: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of the samples of a group that are in a class with an earlier sample.

    Parameters
    ----------
    rows : numpy.ndarray
        ``int64[n]``, the class of each sample, -1 where there is none.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, (K - 1) / K]; NaN for a group without a sample, or with one that has no class.

    Notes
    -----
    One minus the classes over the samples. With clusters of ``divfast cluster --method threshold`` it is the semantic
    near-duplicate rate: what semantic deduplication would drop, where a class keeps one sample. It grows with K.
    ``--at-k`` gives its expectation on fewer samples by a formula. O(n log n) time; over a corpus 16 bytes a class.
    Exact within rounding.

    References
    ----------
    Abbas, Tirumala, Simig, Ganguli and Morcos (2023), "SemDeDup: Data-efficient learning at web-scale through semantic
    deduplication", arXiv 2303.09540. The expectation: Hurlbert (1971), Ecology 52(4).

    Examples
    --------
    >>> import numpy as np
    >>> duplicate_rate(np.array([0, 0, 1, 0]), np.array([0, 4])).item()  # the second and the fourth
    0.5
    """
    return duplicates(count_classes(rows, groups))
