"""Cases of statistics: intervals of many metrics over the same prompts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.stats import LEVEL, bootstrap_intervals
from divfast.throughput.case import Absent, Case, Goal, Implementation, Place, Prepared, Tolerance, Values

# Peers resample in parts of so many values, as far as they can, to stay within some hundred MB.
_PART = 10_000_000

Floats = NDArray[np.float64]


def _values(metrics: int, prompts: int) -> Floats:
    return np.random.default_rng(0).normal(size=(metrics, prompts))


def _ends(values: Floats, replicates: int, ends: Any) -> Values:
    """Return ends of intervals in standard errors from the mean, of which chance leaves the same at any size.

    An end that is a quantile of r replicates has a standard error of its own, which is as 1 / sqrt(r).
    """
    errors = values.std(axis=1) / values.shape[1] ** 0.5
    apart = (np.asarray(ends, np.float64).T - values.mean(axis=1)) / errors
    return {"ends": apart * (replicates / 10_000) ** 0.5}


def _divfast(place: Place, *, metrics: int, prompts: int, replicates: int) -> Prepared:
    values = _values(metrics, prompts)
    columns = list(values)
    return Prepared(
        lambda: bootstrap_intervals(columns, replicates=replicates),
        lambda found: _ends(values, replicates, found),
        {"values": metrics * prompts * replicates},
    )


def _numpy(place: Place, *, metrics: int, prompts: int, replicates: int) -> Prepared:
    values = _values(metrics, prompts)
    many = max(1, _PART // prompts)

    def run() -> Floats:
        random = np.random.default_rng(1)
        means = []
        for start in range(0, replicates, many):
            drawn = random.integers(0, prompts, (min(many, replicates - start), prompts))
            means.append([column.take(drawn).mean(axis=1) for column in values])
        tail = (1 - LEVEL) / 2
        return np.quantile(np.concatenate(means, axis=1), [tail, 1 - tail], axis=1).T

    return Prepared(run, lambda found: _ends(values, replicates, found))


def _scipy(place: Place, *, metrics: int, prompts: int, replicates: int) -> Prepared:
    try:
        from scipy.stats import bootstrap
    except ImportError:
        raise Absent("scipy is not installed") from None
    values = _values(metrics, prompts)
    batch = max(1, _PART // values.size)

    def run() -> Any:
        interval = bootstrap(
            (values,), np.mean, axis=-1, n_resamples=replicates, batch=batch, method="percentile", rng=1
        ).confidence_interval
        return np.stack([interval.low, interval.high], axis=1)

    return Prepared(run, lambda found: _ends(values, replicates, found))


CASES = (
    Case(
        "bootstrap",
        "bootstrap intervals of the means of many metrics over prompts",
        (
            {"metrics": 20, "prompts": 1000, "replicates": 10_000},
            {"metrics": 20, "prompts": 10_000, "replicates": 1000},
            {"metrics": 20, "prompts": 100_000, "replicates": 1000},
        ),
        {"metrics": 20, "prompts": 1000, "replicates": 500},
        (
            Implementation("divfast", _divfast, ("numpy",)),
            Implementation("numpy", _numpy, ("numpy",)),
            Implementation("scipy", _scipy, ("scipy",)),
        ),
        # Chance alone: 40 ends of two bootstraps are apart by 0.04 of a standard error, and the most by 0.17.
        Tolerance(absolute=0.2),
        Goal(seconds=2.0),
    ),
)
