"""Number of classes among the first samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.kinds import positive_int_or_all
from divfast.partitions import ClassCorpus, count_classes, odds_of_new, sum_of_groups
from divfast.registry import metric


def first_k(groups: NDArray[np.int64], k: int | None) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the first k rows of every group, and the groups that they are; none of a group of fewer."""
    sizes = np.diff(groups)
    taken = sizes if k is None else np.where(sizes >= k, k, 0)
    ends = np.cumsum(taken)
    rows = np.repeat(groups[:-1] - (ends - taken), taken) + np.arange(taken.sum())
    return rows, np.append(0, ends)


def expected_distinct_k(
    rows: NDArray[np.int64], groups: NDArray[np.int64], size: int, *, k: int | None
) -> NDArray[np.float64]:
    """Return what is expected of `size` samples of every group, left in their order; NaN where it has fewer."""
    if k is not None and size < k:
        return np.full(len(groups) - 1, np.nan)
    inside = rows[groups[0] : groups[-1]]
    odds = odds_of_new(rows, groups, size, np.ones(size if k is None else k))
    return sum_of_groups(np.where(inside < 0, np.nan, odds), groups)


class DistinctKCorpus(ClassCorpus):
    """Number of classes among the first k of all rows together."""

    def __init__(self, *, k: int | None) -> None:
        super().__init__()
        self.k = k
        self._head: list[NDArray[np.int64]] = []
        self._held = 0

    def add(self, rows: NDArray[np.int64]) -> None:
        """Take one block of labels."""
        if self.k is None:
            super().add(rows)
        elif len(rows) and self._held < self.k:
            # Copied, so that the block these came from is not held on to.
            self._head.append(rows[: self.k - self._held].copy())
            self._held += len(self._head[-1])

    def merge(self, other: ClassCorpus) -> None:
        """Take what another accumulator has seen, behind what was seen here."""
        assert isinstance(other, DistinctKCorpus)
        if self.k is None:
            super().merge(other)
        for rows in other._head:
            self.add(rows)

    def result(self) -> float:
        """Return the score of everything seen so far."""
        if self.k is None:
            classes = self.classes()
            return float(classes.sums(np.ones(len(classes.count)))[0])
        head = np.concatenate([np.zeros(0, np.int64), *self._head])
        return float(distinct_k(head, np.array([0, len(head)]), k=self.k)[0])


@metric(
    "distinct_k",
    view="partition",
    unit="classes",
    higher="more diverse",
    bounds=(1, None),
    corpus=DistinctKCorpus,
    parameters={"k": positive_int_or_all},
    expectation=expected_distinct_k,
    sequential=("default",),
)
def distinct_k(
    rows: NDArray[np.int64], groups: NDArray[np.int64], *, k: int | None = None
) -> NDArray[np.float64]:
    """Number of classes among the first k samples of a group.

    Parameters
    ----------
    rows : numpy.ndarray
        ``int64[n]``, the class of each sample, -1 where there is none.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    k : int or None
        How many samples, in the order of the dump; None, written ``all``, for all of them, in which case their order
        does not matter.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [1, k]; NaN for a group of fewer than k samples, and where one of the first k has no class.

    Notes
    -----
    Some samplers sort their outputs, so the first k are not any k: ``--at-k`` gives the expectation over all subsets,
    by a formula and without drawing them, NaN where a sample of the group has no class. O(n log n) time; over a corpus
    16 bytes a class, or the first k labels. Exact.

    NoveltyBench's own code, in which this is the mean of ``len(partition_scores)``, takes as many samples as there are.
    The field ``distinct`` of its files is one less than the number of classes.

    References
    ----------
    Zhang, Diddee, Holm, Liu, Liu, Samuel, Wang and Ippolito (2025), "NoveltyBench: Evaluating Language Models for
    Humanlike Diversity", arXiv 2504.05228. The expectation: Hurlbert (1971), "The Nonconcept of Species Diversity",
    Ecology 52(4).

    Examples
    --------
    >>> import numpy as np
    >>> labels, groups = np.array([0, 0, 1, 2]), np.array([0, 4])
    >>> distinct_k(labels, groups).item(), distinct_k(labels, groups, k=3).item()
    (3.0, 2.0)
    """
    at, offsets = first_k(groups, k)
    classes = count_classes(rows[at], offsets)
    return classes.sums(np.ones(len(classes.count)))
