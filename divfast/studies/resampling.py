"""Draws of prompts that all models share, within every task; intervals of whatever follows from them."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.stats import FLIPS, REPLICATES, Floats, holm, sign_flip_p


def seed_of(task: str, seed: int) -> int:
    """Return the seed of a task's draws: those of different tasks are independent, whichever others there are."""
    return int(np.random.SeedSequence([seed, zlib.crc32(task.encode())]).generate_state(1, np.uint32)[0])


def drawn_means(columns: Floats, task: str, seed: int) -> Floats:
    """Return means over drawn prompts, ``float64[m, p]`` to ``float64[m, replicates]``.

    The same prompts are drawn for all rows, whatever else is drawn in another call for the same task: replicate r of
    two calls is of the same prompts where they are as many.
    """
    if columns.shape[1] < 2:
        return np.full((len(columns), REPLICATES), np.nan)
    values = np.ascontiguousarray(columns)
    return _core.bootstrap_means(values, REPLICATES, seed_of(task, seed), threads=engine.threads())


def means(columns: Floats) -> Floats:
    """Return the mean of the defined values of every row; NaN where there are none."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = np.nansum(columns, axis=1) / defined(columns)
    return found


def defined(columns: Floats) -> NDArray[np.int64]:
    """Return how many values of every row are defined."""
    counts: NDArray[np.int64] = np.count_nonzero(~np.isnan(columns), axis=-1)
    return counts


def flips_for(tests: int) -> int:
    """Return how many flips it takes for the smallest p-value to be small even after `tests` were corrected for."""
    return max(FLIPS, 200 * tests - 1)


def p_values(columns: Sequence[Floats], task: str, seed: int, tests: int) -> list[float]:
    """Return the p-values of paired differences by prompt; equal columns are one test."""
    keys = [column.tobytes() for column in columns]
    different = dict(zip(keys, columns, strict=True))
    found = sign_flip_p(list(different.values()), seed=seed_of(task, seed), flips=flips_for(tests))
    of = dict(zip(different, found, strict=True))
    # Of one prompt there is nothing to test.
    several = [np.count_nonzero(~np.isnan(column)) > 1 for column in columns]
    return [of[key] if some else float("nan") for key, some in zip(keys, several, strict=True)]


def corrected(p: Sequence[float], family: Sequence[object], test: Sequence[object]) -> list[float]:
    """Return p-values by Holm's method within every family, tests of the same name counted once.

    Examples
    --------
    >>> corrected([0.01, 0.01, 0.04], ["ead"] * 3, ["sft", "sft", "dpo"])
    [0.02, 0.02, 0.04]
    """
    out = [float("nan")] * len(p)
    for name in dict.fromkeys(family):
        here = [i for i, one in enumerate(family) if one == name]
        once = {test[i]: p[i] for i in here}
        of = dict(zip(once, holm(list(once.values())), strict=True))
        for i in here:
            out[i] = of[test[i]]
    return out
