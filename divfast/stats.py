"""Intervals over per-group values, and tests of paired differences."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine

REPLICATES = 1000
LEVEL = 0.95
# What reports say of how their intervals were made.
INTERVAL = f"95% percentile bootstrap over {{}}, expanded for their number, {REPLICATES} replicates"
FLIPS = 9999
# Sums under random signs that are held at one time.
_SUMS = 1 << 23

Floats = NDArray[np.float64]
Interval = tuple[float, float]
NOTHING: Interval = (float("nan"), float("nan"))
# Signs of eight differences, one row for every byte.
_SIGNS = 1.0 - 2.0 * np.unpackbits(np.arange(256, dtype=np.uint8)[:, None], axis=1)


def mean_and_std(values: Floats) -> tuple[float, float]:
    """Return mean and standard deviation (n - 1 in the denominator) of the defined values; NaN where undefined."""
    defined = values[~np.isnan(values)]
    mean = float(defined.mean()) if len(defined) else float("nan")
    std = float(defined.std(ddof=1)) if len(defined) > 1 else float("nan")
    return mean, std


def paired_differences(before: Floats, after: Floats) -> Floats:
    """Return `after` less `before`, 0 where that is no more than what rounding leaves of equal values.

    Notes
    -----
    The same samples in another order have the same value but for its last digits. Without this, such pairs would count
    as moved, and a test over them would find what is not there. The limit is 1e-12 of the largest value.

    Examples
    --------
    >>> paired_differences(np.array([0.3, 0.5]), np.array([0.1 + 0.2, 0.75])).tolist()
    [0.0, 0.25]
    """
    with np.errstate(invalid="ignore"):
        differences: Floats = after - before
    sizes = np.abs([before, after])
    largest = sizes[np.isfinite(sizes)].max(initial=0.0)
    differences[np.abs(differences) <= 1e-12 * largest] = 0.0
    return differences


def bootstrap_intervals(
    columns: Sequence[Floats],
    *,
    of: Callable[[Floats], Floats] | None = None,
    seed: int = 0,
    replicates: int = REPLICATES,
    level: float = LEVEL,
) -> list[Interval]:
    """Return bootstrap intervals over groups of the mean of each column, or of what follows from the means.

    Every interval that divfast gives is from here, or from the same draws through `expanded_percentile`.

    Parameters
    ----------
    columns : sequence of float64[g]
        Values of several metrics on the same groups; all are resampled by the same draws. NaN is undefined, and the
        mean of a replicate is over the defined values that it drew.
    of : callable, optional
        From means ``float64[m, r]``, a row a column, to what is to have intervals, ``float64[p, r]``: differences,
        ratios. Replicates for which it is not finite are left out. By default the means themselves.
    seed, replicates, level
        Of the bootstrap; replicate r depends on the seed and r alone, not on threads or block sizes.

    Returns
    -------
    list of (float, float)
        Lower and upper end; NaN where fewer than two values of a column are defined, with `of` of any.

    Notes
    -----
    The expanded percentile interval: with n defined values its ends are the quantiles ``a`` and ``1 - a`` of the
    replicates, ``a = Phi(-sqrt(n / (n - 1)) t)`` for Student's ``t`` of n - 1 degrees of freedom at the level, where
    the plain percentile interval has 2.5%. That one is too short for few prompts: replicates spread as the plug-in
    variance does, which is a factor of (n - 1) / n too small, and they do not know that it was estimated. At 10
    prompts ``a`` is 0.9%, at 30 1.9%, at 100 2.3%. How often such intervals hold the truth was measured:
    docs/statistics.md. An end is never beyond the largest or smallest value.

    O(replicates x g) time, O(replicates) memory for each column: no index matrix is made.

    References
    ----------
    Efron (1979), "Bootstrap Methods: Another Look at the Jackknife", Annals of Statistics 7(1). Hesterberg (2015),
    "What Teachers Should Know About the Bootstrap", The American Statistician 69(4), arXiv 1411.5279.

    Examples
    --------
    >>> columns = [np.array([1.0, 1.0, 1.0]), np.array([2.0, 2.0, 2.0])]
    >>> bootstrap_intervals(columns, of=lambda means: means[:1] / means[1])
    [(0.5, 0.5)]
    """
    if not columns:
        return []
    values = np.ascontiguousarray(np.stack(columns))
    defined = np.count_nonzero(~np.isnan(values), axis=1)
    if values.shape[1] < 2:
        drawn = np.full((len(values), 1), np.nan)
    else:
        drawn = _core.bootstrap_means(values, replicates, seed, threads=engine.threads())
    if of is not None:
        drawn = of(drawn)
        defined = np.full(len(drawn), defined.min())
    return [expanded_percentile(row, int(n), level) for row, n in zip(drawn, defined, strict=True)]


def expanded_percentile(drawn: Floats, n: int, level: float = LEVEL) -> Interval:
    """Return the interval between quantiles of replicates, further out the fewer values they were drawn from.

    Parameters
    ----------
    drawn : float64[r]
        What was drawn; left out where it is not finite.
    n : int
        Values, the smallest number where there are several columns or tasks.
    level : float
        Of the interval.

    Notes
    -----
    See `bootstrap_intervals`; for callers that keep the replicates.
    """
    finite = drawn[np.isfinite(drawn)]
    if n < 2 or not len(finite):
        return NOTHING
    tail = NormalDist().cdf(-math.sqrt(n / (n - 1)) * student_quantile(0.5 + level / 2.0, n - 1))
    low, high = np.quantile(finite, [tail, 1.0 - tail])
    return (float(low), float(high))


def student_quantile(p: float, df: int) -> float:
    """Return the quantile of Student's t by the expansion of Cornish and Fisher, to 0.1% from 3 degrees of freedom on.

    With fewer the ends of the interval are the smallest and the largest replicate, however it is rounded.
    """
    z = NormalDist().inv_cdf(p)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return float(z + sum(term / df ** (i + 1) for i, term in enumerate(terms)))


@dataclass(frozen=True)
class Effect:
    """How large paired differences are beside their own spread.

    Attributes
    ----------
    d : float
        Cohen's d_z: the mean difference over the standard deviation of the differences (n - 1 in the denominator).
        NaN where they are all the same.
    superiority : float
        The share of pairs that went up, ties by half; 0.5 is no tendency.
    d_interval, superiority_interval : (float, float)
        95% bootstrap intervals over pairs.
    up, down : int
        Pairs that went up, and that went down.
    """

    d: float
    d_interval: Interval
    superiority: float
    superiority_interval: Interval
    up: int
    down: int


def effect_size(differences: Floats, *, seed: int = 0) -> Effect:
    """Return the effect size of paired differences, NaN left out.

    Notes
    -----
    d_z grows with the correlation of the pairs, so it is not Cohen's d of two independent samples. Its intervals hold
    the truth less often than those of means where d_z is large and pairs are few: docs/statistics.md.

    References
    ----------
    Cohen (1988), "Statistical Power Analysis for the Behavioral Sciences", section 2.3. Grissom and Kim (2012),
    "Effect Sizes for Research", on the probability of superiority of dependent groups.

    Examples
    --------
    >>> found = effect_size(np.array([1.0, 2.0, 3.0, 0.0]))  # 1.5 over the root of 5 / 3
    >>> round(found.d, 4), found.superiority, found.up, found.down
    (1.1619, 0.875, 3, 0)
    """
    some = differences[~np.isnan(differences)]
    n = len(some)
    above = np.sign(differences) / 2 + 0.5
    mean, std = mean_and_std(differences)
    # Equal differences may come out a rounding error apart; that is no spread.
    if not std > 1e-12 * np.abs(some).max(initial=0.0):
        std = float("nan")
    d = mean / std
    apart = differences / std - d if not math.isnan(std) else np.zeros_like(differences)

    def effects(means: Floats) -> Floats:
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = (means[1] - means[0] ** 2) * n / max(n - 1, 1)
            return np.stack([(d + means[0]) / np.sqrt(np.maximum(variance, 0.0)), means[2]])

    of_d, of_superiority = bootstrap_intervals([apart, apart**2, above], of=effects, seed=seed)
    return Effect(
        d, of_d, mean_and_std(above)[0], of_superiority, int((some > 0).sum()), int((some < 0).sum())
    )


def sign_flip_p(columns: Sequence[Floats], *, seed: int = 0, flips: int = FLIPS) -> list[float]:
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
    flips)``, b of them as far, which is a valid p-value and never 0 (Phipson and Smyth 2010). O(flips x m) time
    for each column; they share the flips, and memory is bounded.

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
    # Of so many columns at a time as fit into memory; the flips are the same for all.
    many = max(1, _SUMS // flips)
    drawn: Floats | None = None
    for i, column in enumerate(columns):
        drawn = drawn if i % many else None
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
                together = columns[i - i % many : i - i % many + many]
                drawn = _flipped_sums(np.nan_to_num(np.stack(together, axis=1)), flips, seed)
            out.append((1 + int((np.abs(drawn[:, i % many]) >= far).sum())) / (1 + flips))
    return out


def _flipped_sums(differences: Floats, flips: int, seed: int) -> Floats:
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
