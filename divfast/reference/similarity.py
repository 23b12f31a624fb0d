"""All pairs of vectors, from the whole matrix of similarities."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def similarities(
    rows: NDArray[np.floating], others: NDArray[np.floating] | None = None
) -> NDArray[np.float64]:
    """Return ``float64[n, m]``; NaN for a row with itself, and where a number is not finite."""
    left = np.asarray(rows, np.float64)
    right = left if others is None else np.asarray(others, np.float64)
    with np.errstate(invalid="ignore"):
        products = left @ right.T
    products[~np.isfinite(left).all(axis=1)] = np.nan
    products[:, ~np.isfinite(right).all(axis=1)] = np.nan
    if others is None:
        np.fill_diagonal(products, np.nan)
    return products


def pairs(
    rows: NDArray[np.floating],
    others: NDArray[np.floating] | None = None,
    *,
    nearest: int = 1,
    edges: NDArray[np.float64] | None = None,
    thresholds: tuple[float, ...] = (),
    temperature: float | None = None,
) -> dict[str, Any]:
    """Return the fields of `divfast.similarity.PairStatistics` by name."""
    all_of = similarities(rows, others)
    n = len(all_of)
    found: dict[str, Any] = {
        "similarity": np.full((n, nearest), np.nan),
        "neighbours": np.full((n, nearest), -1),
        "mean": np.full(n, np.nan),
        "lowest": np.full(n, np.nan),
        "highest": np.full(n, np.nan),
        "softmax": None if temperature is None else np.full(n, np.nan),
    }
    for i, row in enumerate(all_of):
        there = np.flatnonzero(~np.isnan(row))
        # Stable: among equals the lower comes first.
        best = there[np.argsort(-row[there], kind="stable")][:nearest]
        found["similarity"][i, : len(best)] = row[best]
        found["neighbours"][i, : len(best)] = best
        if len(there):
            found["mean"][i], found["lowest"][i], found["highest"][i] = (
                row[there].mean(),
                row[there].min(),
                row[there].max(),
            )
        if temperature is not None and np.isfinite(rows[i]).all():
            own = [] if others is not None else [rows[i].astype(np.float64) @ rows[i].astype(np.float64)]
            found["softmax"][i] = np.exp((np.concatenate([row[there], own]) - 1) / temperature).sum()
    once = all_of if others is not None else all_of[np.triu_indices(n, 1)]
    once = once[~np.isnan(once)]
    found["above"] = np.array([(once >= threshold).sum() for threshold in thresholds], np.int64)
    bounds = np.asarray([] if edges is None else edges, np.float64)
    found["histogram"] = np.zeros(max(0, len(bounds) - 1), np.int64)
    if len(bounds):
        found["histogram"] = np.histogram(np.clip(once, bounds[0], bounds[-1]), bounds)[0]
    return found


def join(
    rows: NDArray[np.floating], tau: float, *, others: NDArray[np.floating] | None = None
) -> list[tuple[int, int]]:
    """Return the pairs with a similarity of at least `tau`."""
    all_of = similarities(rows, others)
    with np.errstate(invalid="ignore"):
        found = np.argwhere(all_of >= tau)
    return [(int(i), int(j)) for i, j in found if others is not None or i < j]
