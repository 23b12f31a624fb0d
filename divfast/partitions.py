"""Classes of samples, counted: what every metric over a partition is a number of."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.int64]
Groups = NDArray[np.int64]


@dataclass(frozen=True)
class Classes:
    """How many samples each class of each group has.

    Attributes
    ----------
    group, count : numpy.ndarray
        ``int64[c]``: the group of a class, and its samples.
    sizes : numpy.ndarray
        ``int64[g]``: samples of every group.
    defined : numpy.ndarray
        ``bool[g]``: whether a group has samples, and each of them a label.
    """

    group: NDArray[np.int64]
    count: NDArray[np.int64]
    sizes: NDArray[np.int64]
    defined: NDArray[np.bool_]

    def sums(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum over the classes of every group, NaN where it is not defined."""
        sums = np.bincount(self.group, values, len(self.sizes))
        return np.where(self.defined, sums, np.nan)

    @property
    def shares(self) -> NDArray[np.float64]:
        """The share of each class among the samples of its group."""
        return self.count / self.sizes[self.group]


def _sorted(labels: Labels, groups: Groups) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return the group of every row of `groups`, the rows sorted by group and label, and where a class begins."""
    group = np.repeat(np.arange(len(groups) - 1), np.diff(groups))
    inside = labels[groups[0] : groups[-1]]
    # Stable, so the first row of a class is the one that stands first.
    order = np.lexsort((inside, group))
    starts = np.ones(len(order), bool)
    starts[1:] = (np.diff(inside[order]) != 0) | (np.diff(group[order]) != 0)
    return group, order, starts


def count_classes(labels: Labels, groups: Groups) -> Classes:
    """Return the classes of every group.

    Parameters
    ----------
    labels : numpy.ndarray
        ``int64[n]``, negative where a sample has none.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.

    Examples
    --------
    >>> count_classes(np.array([3, 1, 3]), np.array([0, 3])).count.tolist()
    [1, 2]
    """
    sizes = np.diff(groups)
    group, order, starts = _sorted(labels, groups)
    first = np.flatnonzero(starts)
    unlabelled = np.bincount(group, labels[groups[0] : groups[-1]] < 0, len(sizes))
    return Classes(
        group[order[first]],
        np.diff(np.append(first, len(order))),
        sizes,
        (sizes > 0) & (unlabelled == 0),
    )


def first_of_class(labels: Labels, groups: Groups) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Return whether a row is the first of its class in its group, and how many of its class stand before it.

    Examples
    --------
    >>> [column.tolist() for column in first_of_class(np.array([3, 1, 3]), np.array([0, 3]))]
    [[True, True, False], [0, 0, 1]]
    """
    _, order, starts = _sorted(labels, groups)
    earlier = np.empty(len(order), np.int64)
    at = np.arange(len(order))
    earlier[order] = at - np.maximum.accumulate(np.where(starts, at, 0))
    return earlier == 0, earlier


def ranks(groups: Groups) -> NDArray[np.int64]:
    """Return where every row stands in its group, counting from 0."""
    return np.arange(groups[0], groups[-1]) - np.repeat(groups[:-1], np.diff(groups))


def odds_of_new(
    labels: Labels, groups: Groups, size: int, weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return what every row is expected to weigh in a random subset of its group, left in the order of the dump.

    A row weighs ``weights[t]`` where it is in the subset, t others stand before it, and none of these is of its class;
    else nothing.

    Parameters
    ----------
    labels, groups
        As `count_classes` takes them.
    size : int
        Of the subsets. NaN for the rows of a group of fewer.
    weights : numpy.ndarray
        ``float64[size]`` or shorter; what is not there weighs nothing.

    Notes
    -----
    With p rows of K before it, m of them of its class, ``sum_t w_t C(p - m, t) C(K - 1 - p, size - 1 - t) / C(K,
    size)``: O(n size) time.
    """
    rank = ranks(groups)
    _, earlier = first_of_class(labels, groups)
    many = np.repeat(np.diff(groups), np.diff(groups))
    logs = np.concatenate([[0.0], np.cumsum(np.log(np.arange(1, max(2, int(many.max(initial=0)) + 1))))])

    def choose(n: NDArray[np.int64], k: int) -> NDArray[np.float64]:
        possible = (n >= k) & (k >= 0)
        at = np.where(possible, n, 0)
        chosen = k if k >= 0 else 0
        left = np.where(possible, n - k, 0)
        log = logs[at] - np.where(possible, logs[min(chosen, len(logs) - 1)], 0.0) - logs[left]
        return np.where(possible, log, -np.inf)

    before, behind = rank - earlier, many - 1 - rank
    everything = choose(many, size)
    out = np.zeros(len(rank))
    with np.errstate(invalid="ignore"):
        for t, weight in enumerate(weights[:size].tolist()):
            out += weight * np.exp(choose(before, t) + choose(behind, size - 1 - t) - everything)
    return np.where(many >= size, out, np.nan)


def sum_of_groups(values: NDArray[np.float64], groups: Groups) -> NDArray[np.float64]:
    """Return the sum over the rows of every group, ``float64[g]``; NaN for one that is empty or has a NaN."""
    sizes = np.diff(groups)
    sums = np.bincount(np.repeat(np.arange(len(sizes)), sizes), values, len(sizes))
    return np.where(sizes > 0, sums, np.nan)


class ClassCorpus:
    """Classes of all rows together; holds one label and one count a class."""

    def __init__(self) -> None:
        self.rows = 0
        self._labels = np.zeros(0, np.int64)
        self._counts = np.zeros(0, np.int64)

    def add(self, rows: Labels) -> None:
        """Take one block of labels."""
        labels, counts = np.unique(rows, return_counts=True)
        self._take(labels, counts)
        self.rows += len(rows)

    def merge(self, other: ClassCorpus) -> None:
        """Take what another accumulator has seen."""
        self._take(other._labels, other._counts)
        self.rows += other.rows

    def _take(self, labels: Labels, counts: NDArray[np.int64]) -> None:
        self._labels, index = np.unique(np.concatenate([self._labels, labels]), return_inverse=True)
        weights = np.concatenate([self._counts, counts])
        # In integers: a double holds no count beyond 2^53.
        self._counts = np.zeros(len(self._labels), np.int64)
        np.add.at(self._counts, index, weights)

    def classes(self) -> Classes:
        """Return the classes of everything seen so far, as those of one group."""
        defined = self.rows > 0 and not (len(self._labels) and self._labels[0] < 0)
        group = np.zeros(len(self._labels), np.int64)
        return Classes(group, self._counts, np.array([self.rows]), np.array([defined]))
