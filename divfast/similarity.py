"""All pairs of vectors, never stored: nearest neighbours, histograms, thresholds, extremes of their similarities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from divfast.errors import DataError, MetricError

Join = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]


@dataclass(frozen=True)
class PairStatistics:
    """What `pairs` finds of the similarities of n rows to each other, or to those of another set."""

    similarity: NDArray[np.float32]
    """``[n, k]``: of each row's k nearest, descending; NaN where there are fewer."""
    neighbours: NDArray[np.int64]
    """``[n, k]``: which rows; -1 where there are fewer."""
    mean: NDArray[np.float64]
    """``[n]``: mean similarity of each row to all others; NaN where there are none."""
    lowest: NDArray[np.float32]
    """``[n]``: least similarity to another; NaN where there are none."""
    highest: NDArray[np.float32]
    """``[n]``: greatest similarity to another; NaN where there are none."""
    histogram: NDArray[np.int64]
    """``[b]``: pairs within each bin of `edges`; each pair of rows once."""
    above: NDArray[np.int64]
    """``[t]``: pairs with a similarity of at least each threshold."""
    softmax: NDArray[np.float64] | None
    """``[n]``: sum over j of exp((s_ij - 1) / temperature), the row itself included, where it was asked for."""
    edges: NDArray[np.float64]
    """``[b + 1]``: of the bins; empty where none were asked for."""
    undefined: int
    """Rows of both sets with a number that is not finite; they are left out."""


def _rows(rows: ArrayLike, name: str) -> tuple[NDArray[np.float32], NDArray[np.int64] | None]:
    """Return finite rows in C order, and which they were of all; None for all of them."""
    array = np.ascontiguousarray(rows, np.float32)
    if array.ndim != 2:
        raise DataError(f"must be n x d, got {array.ndim} dimensions.", where=name)
    finite = np.ones(len(array), bool)
    step = max(1, (1 << 22) // max(1, array.shape[1]))
    for start in range(0, len(array), step):
        finite[start : start + step] = np.isfinite(array[start : start + step]).all(axis=1)
    if finite.all():
        return array, None
    kept = np.flatnonzero(finite)
    return array[kept], kept


def _same_width(rows: NDArray[np.float32], others: NDArray[np.float32]) -> None:
    if rows.shape[1] != others.shape[1]:
        raise DataError(
            f"have {others.shape[1]} dimensions, rows have {rows.shape[1]}.",
            where="others",
            remedy="Embed both sets with the same model.",
        )


def pairs(
    rows: ArrayLike,
    others: ArrayLike | None = None,
    *,
    nearest: int = 1,
    edges: ArrayLike | None = None,
    thresholds: Sequence[float] = (),
    temperature: float | None = None,
) -> PairStatistics:
    """Look at the similarity of every pair of rows once, and keep what is asked of it."""
    if nearest < 0:
        raise MetricError(f"must be at least 0, got {nearest}.", where="nearest")
    bins = np.asarray([] if edges is None else edges, np.float64)
    if edges is not None and (bins.ndim != 1 or len(bins) < 2 or not (np.diff(bins) > 0).all()):
        raise MetricError("must be at least two numbers that increase.", where="edges")
    at = np.asarray(thresholds, np.float64)
    if not np.isfinite(bins).all() or not np.isfinite(at).all():
        raise MetricError("must be finite.", where="edges and thresholds")
    if temperature is not None and not 0 < temperature < np.inf:
        raise MetricError(f"must be above 0, got {temperature}.", where="temperature")
    left, kept = _rows(rows, "rows")
    right, right_kept = (left, kept) if others is None else _rows(others, "others")
    _same_width(left, right)
    n, m = len(left), len(right)
    similarity = np.full((n, nearest), np.nan, np.float32)
    neighbours = np.full((n, nearest), -1, np.int64)
    lowest, highest = np.full(n, np.nan, np.float32), np.full(n, np.nan, np.float32)
    mean = np.full(n, np.nan)
    softmax = None if temperature is None else np.zeros(n)
    histogram = np.zeros(max(0, len(bins) - 1), np.int64)
    above = np.zeros(len(at), np.int64)
    for start in range(0, n, 256):
        part = slice(start, min(n, start + 256))
        products = left[part] @ right.T
        if softmax is not None:
            softmax[part] = np.exp((products.astype(np.float64) - 1) / temperature).sum(axis=1)
        own = np.arange(part.start, part.stop)
        if others is None:
            products[own - start, own] = np.nan
        once = products[own[:, None] < np.arange(m)] if others is None else products.reshape(-1)
        if len(bins):
            histogram += np.histogram(np.clip(once, bins[0], bins[-1]), bins)[0]
        above += (once[:, None] >= at).sum(axis=0)
        some = m - (others is None)
        if some > 0:
            mean[part] = np.nanmean(products.astype(np.float64), axis=1)
            lowest[part], highest[part] = np.nanmin(products, axis=1), np.nanmax(products, axis=1)
            best = np.argsort(-products, axis=1, kind="stable")[:, : min(nearest, some)]
            similarity[part, : best.shape[1]] = np.take_along_axis(products, best, axis=1)
            neighbours[part, : best.shape[1]] = best
    undefined = 0
    if right_kept is not None:
        undefined += len(np.asarray(rows if others is None else others)) - m
        neighbours = np.where(neighbours < 0, -1, right_kept[neighbours]) if m else neighbours
    if kept is not None:
        total = len(np.asarray(rows))
        undefined += 0 if others is None else total - n
        similarity, neighbours = _back(similarity, kept, total, np.nan), _back(neighbours, kept, total, -1)
        mean, lowest, highest = (_back(one, kept, total, np.nan) for one in (mean, lowest, highest))
        softmax = None if softmax is None else _back(softmax, kept, total, np.nan)
    return PairStatistics(
        similarity, neighbours, mean, lowest, highest, histogram, above, softmax, bins, undefined
    )


def _back(values, kept, total, fill):  # type: ignore[no-untyped-def]
    out = np.full((total, *values.shape[1:]), fill, values.dtype)
    out[kept] = values
    return out


def quantiles(
    statistics: PairStatistics | ArrayLike, q: ArrayLike, *, edges: ArrayLike | None = None
) -> NDArray[np.float64]:
    """Return quantiles of all similarities from their histogram, off by no more than the width of a bin.

    Parameters
    ----------
    statistics : PairStatistics or array_like
        What `pairs` has found with `edges`, or the histogram itself, ``int64[b]``.
    q : array_like
        Which, within [0, 1].
    edges : array_like, optional
        ``float64[b + 1]``, with a bare histogram.

    Returns
    -------
    numpy.ndarray
        ``float64``, of the shape of `q`; NaN where there are no pairs.

    Notes
    -----
    The similarities of a bin are taken to lie evenly in it. Since the outer bins also hold what lies beyond them, the
    bound holds where the edges span the similarities, such as -1 to 1.
    """
    if isinstance(statistics, PairStatistics):
        counts, bounds = statistics.histogram, statistics.edges
    else:
        counts, bounds = np.asarray(statistics, np.int64), np.asarray([] if edges is None else edges, float)
    if len(bounds) != len(counts) + 1 or not len(counts):
        raise MetricError("a histogram is needed, with its edges.", where="quantiles", remedy="Pass edges.")
    wanted = np.asarray(q, np.float64)
    if not ((wanted >= 0) & (wanted <= 1)).all():
        raise MetricError("must lie within 0 and 1.", where="q")
    ends = np.cumsum(counts)
    if not ends[-1]:
        return np.full(wanted.shape, np.nan)

    def at(rank: NDArray[np.float64]) -> NDArray[np.float64]:
        bin_of = np.searchsorted(ends, rank, side="right")
        within = (rank - (ends - counts)[bin_of] + 0.5) / counts[bin_of]
        values: NDArray[np.float64] = bounds[bin_of] + within * (bounds[bin_of + 1] - bounds[bin_of])
        return values

    rank = wanted * (ends[-1] - 1)
    below = np.floor(rank)
    low, high = at(below), at(np.ceil(rank))
    return low + (high - low) * (rank - below)


def join(
    rows: ArrayLike, tau: float, *, others: ArrayLike | None = None, block: int | None = None
) -> Iterator[Join]:
    """Yield every pair with a similarity of at least `tau`, i < j, in the order of i and then of j."""
    left, kept = _rows(rows, "rows")
    right, right_kept = (left, kept) if others is None else _rows(others, "others")
    _same_width(left, right)
    for start in range(0, len(left), block or 256):
        products = left[start : start + (block or 256)] @ right.T
        i, j = np.nonzero(products >= tau)
        i += start
        if others is None:
            i, j = i[i < j], j[i < j]
        similarity = products[i - start, j]
        yield (
            i if kept is None else kept[i],
            j if right_kept is None else right_kept[j],
            similarity,
        )
