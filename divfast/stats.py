"""Intervals over per-group values, and tests of paired differences."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine

REPLICATES = 1000
LEVEL = 0.95
FLIPS = 9999
# Signs of eight differences, one row for every byte.
_SIGNS = 1.0 - 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)


def mean_and_std(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and standard deviation (n - 1 in the denominator) of the defined values; NaN where undefined."""
    defined = values[~np.isnan(values)]
    mean = float(defined.mean()) if len(defined) else float("nan")
    std = float(defined.std(ddof=1)) if len(defined) > 1 else float("nan")
    return mean, std


def bootstrap_intervals(
    columns: Sequence[NDArray[np.float64]],
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
    level: float = LEVEL,
) -> list[tuple[float, float]]:
    """Return the percentile bootstrap interval of the mean of each column over groups.

    Parameters
    ----------
    columns : sequence of float64[g]
        Values of several metrics on the same groups; all are resampled by the same draws. NaN is undefined, and the
        mean of a replicate is over the defined values that it drew.
    seed, replicates, level
        Of the bootstrap; replicate r depends on the seed and r alone, not on threads or block sizes.

    Returns
    -------
    list of (float, float)
        Lower and upper end; NaN where fewer than two values are defined.

    Notes
    -----
    O(replicates x g) time, O(replicates) memory: no index matrix is made.

    References
    ----------
    Efron (1979), "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7(1).
    """
    if not columns:
        return []
    values = np.ascontiguousarray(np.stack(columns))
    nothing = (float("nan"), float("nan"))
    if values.shape[1] < 2:
        return [nothing] * len(columns)
    means = _core.bootstrap_means(values, replicates, seed, threads=engine.threads())
    tail = (1.0 - level) / 2.0
    out = []
    for column, replicate_means in zip(values, means, strict=True):
        drawn = replicate_means[~np.isnan(replicate_means)]
        if np.count_nonzero(~np.isnan(column)) < 2 or not len(drawn):
            out.append(nothing)
            continue
        low, high = np.quantile(drawn, [tail, 1.0 - tail])
        out.append((float(low), float(high)))
    return out


def sign_flip_p(columns: Sequence[NDArray[np.float64]], *, seed: int = 0, flips: int = FLIPS) -> list[float]:
    """Return the two-sided p-value of the paired permutation test for each column of differences.

    Parameters
    ----------
    columns : sequence of float64[m]
        Paired differences of several metrics on the same m pairs; NaN is left out.
    seed, flips
        Of the random flips. Where all 2^m changes of sign of the differences that are not 0 are no more than
        ``flips + 1``, all of them are gone through and the p-value is exact.

    Returns
    -------
    list of float
        In (0, 1]; NaN where no difference is defined.

    Notes
    -----
    Had A and B been made alike, each difference would be as likely to have the other sign. The p-value is the share
    of changes of sign for which the mean is at least as far from 0 as it is; with random ones ``(1 + b) / (1 +
    flips)``, b of them as far, which is a valid p-value and never 0 (Phipson and Smyth 2010). O(flips x m) time,
    O(flips) memory for each column, which share the flips.

    References
    ----------
    Fisher (1935), "The Design of Experiments", section 21. Phipson and Smyth (2010), "Permutation P-values Should
    Never Be Zero", Statistical Applications in Genetics and Molecular Biology 9(1).

    Examples
    --------
    >>> sign_flip_p([np.array([1.0, 2.0, 3.0])])  # +++ and --- among eight
    [0.25]
    """
    out = []
    drawn: NDArray[np.float64] | None = None
    for i, column in enumerate(columns):
        some = column[~np.isnan(column)]
        # Sums of the same numbers in another order differ in their last digits.
        far = abs(some.sum()) - 1e-12 * np.abs(some).sum()
        if not len(some):
            out.append(float("nan"))
        elif np.count_nonzero(some) <= math.log2(flips + 1):
            sums = np.zeros(1)
            for difference in some[some != 0]:
                sums = np.concatenate([sums + difference, sums - difference])
            out.append(float((np.abs(sums) >= far).mean()))
        else:
            if drawn is None:
                drawn = _flipped_sums(np.nan_to_num(np.stack(columns, axis=1)), flips, seed)
            out.append((1 + int((np.abs(drawn[:, i]) >= far).sum())) / (1 + flips))
    return out


def _flipped_sums(differences: NDArray[np.float64], flips: int, seed: int) -> NDArray[np.float64]:
    """Return the sums of differences, ``float64[m, c]``, under random signs, ``float64[flips, c]``."""
    bits = np.random.PCG64(seed)
    words = -(-flips // 8)
    sums = np.zeros((flips, differences.shape[1]))
    for start in range(0, len(differences), 8):
        eight = differences[start : start + 8]
        # One byte stands for the signs of eight differences, so their sum is looked up.
        table = _SIGNS[:, : len(eight)] @ eight
        sums += table[bits.random_raw(words).view(np.uint8)[:flips]]
    return sums


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for their number; NaN stays and does not count.

    Notes
    -----
    The smallest of m is multiplied by m, the next by m - 1, and so on, none made smaller than the one before it or
    greater than 1. With them the odds of any false discovery are bounded, however the tests depend on one another.

    References
    ----------
    Holm (1979), "A Simple Sequentially Rejective Multiple Test Procedure", Scandinavian Journal of Statistics 6(2).

    Examples
    --------
    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    p = np.asarray(p_values, np.float64)
    out = np.full(len(p), np.nan)
    order = np.argsort(p)[: np.count_nonzero(~np.isnan(p))]  # NaN is sorted last
    weights = np.arange(len(order), 0, -1)
    out[order] = np.minimum(1.0, np.maximum.accumulate(p[order] * weights))
    return [float(value) for value in out]
