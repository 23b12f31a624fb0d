"""Intervals over per-group values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine

REPLICATES = 1000
LEVEL = 0.95


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
