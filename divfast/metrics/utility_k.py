"""Utility of the first samples to a user who tires of repetitions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.kinds import choice, positive_int_or_all, share
from divfast.metrics.distinct_k import first_k
from divfast.partitions import first_of_class, odds_of_new, ranks, sum_of_groups
from divfast.registry import metric

# Rewards of Skywork-Reward-Gemma-2-27B-v0.2 from which NoveltyBench gives 2, 3, ..., 10 points in place of one.
_THRESHOLDS = np.array([-7.71875, -6.28125, -6.0, -5.71875, -5.5, -5.0, -4.375, -3.4375, -2.046875])


def utilities(rewards: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    """Return what each sample is worth, NaN where its reward is."""
    if scale == "given":
        return rewards
    points = np.searchsorted(_THRESHOLDS, rewards, side="left") + 1.0
    return np.where(np.isnan(rewards), np.nan, points)


def _labels(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    return np.where(np.isnan(rows[:, 0]), -1, rows[:, 0]).astype(np.int64)


def expected_utility_k(
    rows: NDArray[np.float64], groups: NDArray[np.int64], size: int, *, k: int | None, p: float, scale: str
) -> NDArray[np.float64]:
    """Return what is expected of `size` samples of every group, left in their order; NaN where it has fewer."""
    many = size if k is None else k
    if size < many:
        return np.full(len(groups) - 1, np.nan)
    labels = _labels(rows)
    inside = slice(int(groups[0]), int(groups[-1]))
    odds = odds_of_new(labels, groups, size, np.power(p, np.arange(many, dtype=np.float64)))
    worth = np.where(labels[inside] < 0, np.nan, utilities(rows[inside, 1], scale))
    # What can never be new in a subset has no say, whatever its reward.
    parts = np.where(odds == 0, np.where(labels[inside] < 0, np.nan, 0.0), odds * worth)
    return sum_of_groups(parts, groups) * (1 - p) / (1 - p**many)


@metric(
    "utility_k",
    view="rewards",
    unit="utility",
    higher="more diverse and better",
    parameters={"k": positive_int_or_all, "p": share, "scale": choice("given", "noveltybench")},
    expectation=expected_utility_k,
    sequential=("default",),
)
def utility_k(
    rows: NDArray[np.float64],
    groups: NDArray[np.int64],
    *,
    k: int | None = None,
    p: float = 0.8,
    scale: str = "given",
) -> NDArray[np.float64]:
    """Utility of the first k samples of a group to a user who reads on with probability p and gains from new ones only.

    Parameters
    ----------
    rows : numpy.ndarray
        ``float64[n, 2]``, class and reward of each sample, NaN where there is none.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    k : int or None
        How many samples, in the order of the dump; None, written ``all``, for all of them.
    p : float
        Patience: the odds that the user reads on after a sample.
    scale : str
        ``given``: rewards are utilities; ``noveltybench``: raw rewards of Skywork-Reward-Gemma-2-27B-v0.2 become 1 to
        10 points by that benchmark's thresholds.

    Returns
    -------
    numpy.ndarray
        ``float64[g]``, between 0 and the greatest utility where none is negative; NaN for a group of fewer than k
        samples, and where one of the first k has no class, or one that is new no reward.

    Notes
    -----
    ``(1 - p) / (1 - p^k) sum_{i <= k} p^(i - 1) [c_i new] u_i``: a mean of utilities, weighted by the odds that the
    sample is read, in which one of a class that stood before is worth nothing. The order of samples matters. Not
    defined over a corpus, which nobody reads from its first sample to its last. ``--at-k`` gives the expectation over
    all subsets, each in the order of the dump, by a formula; NaN where a sample has no class, or one that may be new no
    reward. O(n log n) time. Sums in float64; equal to the reference to 1e-9.

    References
    ----------
    Zhang, Diddee, Holm, Liu, Liu, Samuel, Wang and Ippolito (2025), "NoveltyBench: Evaluating Language Models for
    Humanlike Diversity", arXiv 2504.05228.

    Examples
    --------
    >>> import numpy as np
    >>> rows = np.array([[0, 6], [0, 9], [1, 3]], float)    # class and reward; the second repeats the first
    >>> round(utility_k(rows, np.array([0, 3]), p=0.5).item(), 4)  # (6 + 0 / 2 + 3 / 4) / (1 + 1 / 2 + 1 / 4)
    3.8571
    """
    at, offsets = first_k(groups, k)
    labels = _labels(rows[at])
    new, _ = first_of_class(labels, offsets)
    worth = np.where(new, utilities(rows[at, 1], scale), 0.0)
    many = np.diff(offsets)
    sums = sum_of_groups(np.where(labels < 0, np.nan, p ** ranks(offsets) * worth), offsets)
    with np.errstate(invalid="ignore", divide="ignore"):
        weight: NDArray[np.float64] = (1 - p) / (1 - p**many)
    return sums * weight
