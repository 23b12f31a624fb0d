"""All pairs of vectors, never stored: nearest neighbours, histograms, thresholds, extremes of their similarities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from divfast import _core, engine
from divfast.errors import DataError, MetricError

T = TypeVar("T", bound=np.generic)
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


# Numbers looked at together where rows are summed or checked: some megabytes.
_CHUNK = 1 << 20
# What `join` keeps in memory where nobody has said how much there is, and for a pair: once as it is found, once sorted.
_JOIN_MEMORY = 256 << 20
_PAIR_BYTES = 48
_JOIN_ROWS = 3840


def _chunks(rows: NDArray[np.float32]) -> Iterator[slice]:
    step = max(1, _CHUNK // max(1, rows.shape[1]))
    return (slice(start, start + step) for start in range(0, len(rows), step))


@dataclass(frozen=True)
class _Finite:
    """The finite rows of a set, in C order, and which they are of all; None for all of them."""

    rows: NDArray[np.float32]
    kept: NDArray[np.int64] | None
    total: int

    def names(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return which of all rows those are."""
        return index if self.kept is None else self.kept[index]

    def spread(self, values: NDArray[T], fill: float) -> NDArray[T]:
        """Return values of all rows, `fill` for those left out."""
        if self.kept is None:
            return values
        out = np.full((self.total, *values.shape[1:]), fill, values.dtype)
        out[self.kept] = values
        return out


def _finite(rows: ArrayLike, name: str) -> _Finite:
    array = np.ascontiguousarray(rows, np.float32)
    if array.ndim != 2:
        raise DataError(f"must be n x d, got {array.ndim} dimensions.", where=name)
    finite = np.ones(len(array), bool)
    for chunk in _chunks(array):
        finite[chunk] = np.isfinite(array[chunk]).all(axis=1)
    if finite.all():
        return _Finite(array, None, len(array))
    kept = np.flatnonzero(finite)
    return _Finite(array[kept], kept, len(array))


def _both(rows: ArrayLike, others: ArrayLike | None) -> tuple[_Finite, _Finite | None]:
    left, right = _finite(rows, "rows"), None if others is None else _finite(others, "others")
    if right is not None and left.rows.shape[1] != right.rows.shape[1]:
        raise DataError(
            f"have {right.rows.shape[1]} dimensions, where rows have {left.rows.shape[1]}.",
            where="others",
            remedy="Embed both sets with the same model.",
        )
    return left, right


def _reached(bounds: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return the least float32 at or above each number, which a float32 reaches where it reaches the number."""
    near = bounds.astype(np.float32)
    return np.where(near < bounds, np.nextafter(near, np.float32(np.inf)), near)


def _means(rows: NDArray[np.float32], others: NDArray[np.float32] | None) -> NDArray[np.float64]:
    """Return each row's mean similarity to all others, from the sum of those."""
    total = np.zeros(rows.shape[1])
    columns = rows if others is None else others
    for chunk in _chunks(columns):
        total += columns[chunk].sum(axis=0, dtype=np.float64)
    mean = np.full(len(rows), np.nan)
    count = len(rows) - 1 if others is None else len(others)
    if count < 1:
        return mean
    for chunk in _chunks(rows):
        exact = rows[chunk].astype(np.float64)
        # Not by BLAS, whose sums depend on its threads.
        mean[chunk] = np.einsum("ij,ij->i", exact, total - exact if others is None else total[None]) / count
    return mean


def _check_unit(rows: NDArray[np.float32], name: str) -> None:
    for chunk in _chunks(rows):
        exact = rows[chunk].astype(np.float64)
        squares = np.einsum("ij,ij->i", exact, exact)
        if len(squares) and squares.max() > 1.001:
            raise DataError(
                f"row {chunk.start + int(squares.argmax())} is {np.sqrt(squares.max()):.3g} long.",
                where=name,
                remedy="Sums of exponentials are for unit rows: divide each by its length.",
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
    """Look once at the similarity of every pair of rows, and keep what is asked of it.

    Parameters
    ----------
    rows : array_like
        ``float32[n, d]``, unit rows.
    others : array_like, optional
        ``float32[m, d]``: each row is compared with all of these, and not with the other rows.
    nearest : int
        How many neighbours of each row to keep.
    edges : array_like, optional
        ``float64[b + 1]``, ascending, of the bins of a histogram. A bin holds what is at or above its lower and below
        its upper edge; the outer ones also hold what lies beyond, so that every pair is counted.
    thresholds : sequence of float
        Count the pairs with a similarity of at least each of these.
    temperature : float, optional
        Sum exp((s - 1) / temperature) over all similarities of a row, its own included where there is one set.

    Returns
    -------
    PairStatistics

    Raises
    ------
    DataError
        For sets of different width, or rows longer than 1 where a temperature is given.
    MetricError
        For a parameter that cannot be.

    Notes
    -----
    Similarities are dot products: cosines of unit rows. Products and sums in float32, 128 dimensions at a time and then
    those sums, so that each is within (128 + d / 128) 2^-24 of the float64 one times the row lengths; typically 1e-7.
    Equal rows have equal similarities to every other, and one pair has one similarity whichever row comes first. Among
    equal similarities the lower row is the nearer. A bin or a threshold is compared with the float32 similarity, so
    that rows which are equal may be 1e-7 below 1.

    The mean comes from the sum of all rows in float64. Terms of `softmax` are to 1e-6 of themselves, and rounded down
    to 2 m 2^-62 for m similarities, since whole numbers have the same sum in any order.

    No digit depends on the number of threads. A row with a number that is not finite is nobody's neighbour and in no
    count, its own values are NaN, and `undefined` says how many there are.

    n^2 d / 2 multiplications and additions for one set, n m d for two: every pair is formed once and never stored.
    O(n k) memory, and some megabytes a thread.

    Examples
    --------
    >>> found = pairs([[1, 0], [0, 1], [0.6, 0.8]], edges=[-1, 0.5, 1], thresholds=[0.7])
    >>> found.neighbours[:, 0].tolist(), found.histogram.tolist(), found.above.tolist()
    ([2, 2, 1], [1, 2], [1])
    """
    if nearest < 0:
        raise MetricError(f"must be at least 0, got {nearest}.", where="nearest")
    bounds = np.asarray([] if edges is None else edges, np.float64)
    if edges is not None and (bounds.ndim != 1 or len(bounds) < 2 or not (np.diff(bounds) > 0).all()):
        raise MetricError("must be at least two numbers, ascending.", where="edges")
    at = np.asarray(thresholds, np.float64)
    if at.ndim != 1 or not np.isfinite(at).all() or not np.isfinite(bounds).all():
        raise MetricError("must be finite numbers.", where="edges and thresholds")
    if temperature is not None and not 0 < temperature < np.inf:
        raise MetricError(f"must be above 0, got {temperature}.", where="temperature")
    left, right = _both(rows, others)
    columns = left if right is None else right
    n, m = len(left.rows), len(columns.rows)
    if temperature is not None:
        _check_unit(left.rows, "rows")
        _check_unit(columns.rows, "others")

    inner, reached = _reached(bounds[1:-1]), _reached(at)
    cuts = np.unique(np.concatenate([inner, reached]))
    # A pair has to be counted somewhere, also where there is one bin.
    cuts = cuts if len(cuts) or edges is None else np.zeros(1, np.float32)
    fraction = 61 - m.bit_length()
    kept = max(nearest, 1)
    sharpness = 0.0 if temperature is None else 1 / (temperature * np.log(2))
    found = _core.pair_statistics(
        left.rows,
        None if right is None else right.rows,
        kept,
        cuts,
        sharpness,
        fraction,
        threads=engine.threads(),
    )
    similarity, neighbours, lowest, counts, powers = found
    similarity, neighbours = similarity.reshape(n, kept), neighbours.reshape(n, kept)
    nobody = neighbours == np.iinfo(np.int64).max
    similarity[nobody] = np.nan
    lowest[nobody[:, 0]] = np.nan
    named = np.full(neighbours.shape, -1)
    named[~nobody] = columns.names(neighbours[~nobody])
    below = np.cumsum(np.concatenate([[0], counts]))
    ends = below[np.concatenate([[0], np.searchsorted(cuts, inner) + 1, [len(counts)]])]
    return PairStatistics(
        similarity=left.spread(similarity[:, :nearest], np.nan),
        neighbours=left.spread(named[:, :nearest], -1),
        mean=left.spread(_means(left.rows, None if right is None else right.rows), np.nan),
        lowest=left.spread(lowest, np.nan),
        highest=left.spread(similarity[:, 0], np.nan),
        histogram=np.diff(ends) if len(bounds) else np.zeros(0, np.int64),
        above=below[-1] - below[np.searchsorted(cuts, reached) + 1] if len(at) else np.zeros(0, np.int64),
        softmax=None if temperature is None else left.spread(powers / 2.0**fraction, np.nan),
        edges=bounds,
        undefined=sum(one.total - len(one.rows) for one in (left, right) if one is not None),
    )


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
    between: NDArray[np.float64] = low + (high - low) * (rank - below)
    return between


def join(
    rows: ArrayLike, tau: float, *, others: ArrayLike | None = None, block: int | None = None
) -> Iterator[Join]:
    """Yield every pair with a similarity of at least `tau`, in blocks.

    Parameters
    ----------
    rows : array_like
        ``float32[n, d]``, unit rows.
    tau : float
        The threshold.
    others : array_like, optional
        ``float32[m, d]``: pairs of a row with one of these.
    block : int, optional
        Rows whose pairs are looked for together, at most; what comes out is the same.

    Yields
    ------
    tuple of numpy.ndarray
        ``int64`` i, ``int64`` j and ``float32`` similarities, in the order of i and then of j; i < j where there is one
        set. A block without a pair is not yielded.

    Raises
    ------
    DataError
        For sets of different width.
    MetricError
        For a threshold that is no number.

    Notes
    -----
    Similarities are those of `pairs`, digit for digit, and rows that are not finite have none. Where a block of rows
    has more pairs than memory for them (``engine.memory()``, else 256 MB), it is looked at again in halves, down to one
    row, so that there are never more than that many or the pairs of one row. n^2 d / 2 multiplications and
    additions for one set and n m d for two, no more than twice where pairs are spread evenly.

    Examples
    --------
    >>> [(i.tolist(), j.tolist()) for i, j, s in join([[1, 0], [0, 1], [0.6, 0.8]], 0.5)]
    [([0, 1], [2, 2])]
    """
    if np.isnan(tau):
        raise MetricError("must be a number, got nan.", where="tau")
    if block is not None and block < 1:
        raise MetricError(f"must be at least 1, got {block}.", where="block")
    left, right = _both(rows, others)
    return _blocks(left, right, float(_reached(np.asarray(tau, np.float64))), block or _JOIN_ROWS)


def _blocks(left: _Finite, right: _Finite | None, tau: float, most: int) -> Iterator[Join]:
    limit = max(1, (engine.memory() or _JOIN_MEMORY) // _PAIR_BYTES)
    columns = left if right is None else right
    start, high = 0, most
    while start < len(left.rows):
        stop = min(len(left.rows), start + high)
        found = _core.join_rows(
            left.rows,
            None if right is None else right.rows,
            start,
            stop,
            tau,
            limit if stop - start > 1 else len(columns.rows),
            threads=engine.threads(),
        )
        if found is None:
            high = max(1, (stop - start) // 2)
            continue
        i, j, similarity = found
        if len(i):
            yield left.names(i), columns.names(j), similarity
        start = stop
        if 4 * len(i) < limit:
            high = min(most, 2 * high)
