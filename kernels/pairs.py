"""All pairs of vectors in tiles that are never stored: nearest neighbours, histogram, thresholds, extremes, means.

A tile of similarities lives in registers. Everything that is asked is taken from it there, and what leaves is a few
numbers a row. With n rows and tiles of BM x BN over the upper triangle:

Operations: n^2 d / 2 multiplications and additions on the matrix units, half of what the square product takes. For
every similarity about 10 for the histogram (scaled, clamped, made an index, checked, added to a counter in shared
memory; counted in machine code for the architecture 9.0), and, as estimated from the source, 1 for the maximum of
rows, 2.5 for that of columns (0.75 of them shuffles), 2 for each threshold and 6 for the lowest. A tile on the
diagonal or at an edge, or with a row that is not finite, takes 4 more; a tile with nearer neighbours some 10 for each
that one row has in it, and after the first thousands of rows few have.

Bytes: n^2 d b (1 / BM + 1 / BN) / 2 from the second cache with b bytes a number, and about n^2 d b / (2 GROUP BM) from
memory, since a group of blocks of rows passes over all columns once: at 1,000,000 x 768 of bfloat16 9 TB and 190 GB.
Written: 8 k bytes a row, 4 more for the lowest.

Accumulator: float32 on the matrix units; counts in int64; means in float64 from the sum of all rows.

Errors of a similarity of unit rows, at most: ``fp32`` d 2^-24; ``tf32`` 2^-10 more, since numbers have 11 bits;
``bf16`` 2^-8 more for float32 rows, which are rounded to 8 bits, and nothing more for rows that are bfloat16 or float16
already, whose products are exact. Rounding is mostly random: 2^-10 / sqrt(d) and 2^-8 / sqrt(d) are typical.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from divfast.errors import DataError
from divfast.kernels import tiles
from divfast.kernels.tiles import Tile, countable, has_pairs, locate, multiply, wholeness

__all__ = ["Pairs", "pairs", "quantiles"]

# Below every similarity and its index.
_NOBODY = -(2**63)
# So that a counter of 32 bits holds what a program finds in one launch, and a launch is not endless.
_TILES_A_LAUNCH = 1 << 24


class Pairs(NamedTuple):
    """What `pairs` finds; the fields of `divfast.similarity.PairStatistics`, on the device of the rows."""

    similarity: torch.Tensor
    neighbours: torch.Tensor
    mean: torch.Tensor
    lowest: torch.Tensor
    highest: torch.Tensor
    histogram: torch.Tensor
    above: torch.Tensor
    undefined: torch.Tensor


@triton.jit
def _ordered(x):
    """Return whole numbers in the order of the float32 numbers; its own inverse on their bits."""
    bits = x.to(tl.int32, bitcast=True)
    return bits ^ ((bits >> 31) & 0x7FFFFFFF)


@triton.jit
def _keep(similarities, best, own, others, count, K: tl.constexpr, AXIS: tl.constexpr):
    """Put the best of every row of a tile (or column) among its K, packed with their indices and in descending order.

    Atomic maxima push what they displace down the list, so that in any order of tiles it ends as the same list.
    """
    lists = best + own.to(tl.int64) * K
    there = own < count
    least = tl.load(lists + K - 1, mask=there, other=0x7FFFFFFFFFFFFFFF, volatile=True)
    most = tl.max(similarities, axis=AXIS)
    # What is not among the K so far will not be later. Beside the first tiles of a row this is all that is done.
    pending = there & (_ordered(most).to(tl.int64) >= least >> 32) & (most > -float("inf"))
    after = tl.zeros_like(own) - 1
    while tl.max(pending.to(tl.int32)) > 0:
        # Of equal ones the lower index. What comes after it in this order is the rest: no copy of the tile is kept.
        index = tl.expand_dims(others, 1 - AXIS)
        bound = tl.expand_dims(most, AXIS)
        equal = (similarities == bound) & (index > tl.expand_dims(after, AXIS))
        at = tl.min(tl.where(equal, index, 0x7FFFFFFF), axis=AXIS)
        packed = (_ordered(most).to(tl.int64) << 32) | (0x7FFFFFFF - at).to(tl.int64)
        pending &= packed > least
        moving = packed
        for slot in range(K):
            before = tl.atomic_max(lists + slot, moving, mask=pending, sem="relaxed")
            moving = tl.where(pending, tl.minimum(before, moving), moving)
        rest = (similarities < bound) | (equal & (index > tl.expand_dims(at, AXIS)))
        later = tl.max(tl.where(rest, similarities, -float("inf")), axis=AXIS)
        after = tl.where(later == most, at, -1)
        most = later
        least = tl.load(lists + K - 1, mask=there, other=0x7FFFFFFFFFFFFFFF, volatile=True)
        pending &= (_ordered(most).to(tl.int64) >= least >> 32) & (most > -float("inf"))


@triton.jit
def _pairs_kernel(
    left, right, left_finite, right_finite, best, lowest, histogram, above, thresholds, starts,
    n, m, left_stride, right_stride, offset, scale, first_tile, last_tile,
    K: tl.constexpr, BINS: tl.constexpr, COUNTERS: tl.constexpr, COUNTS: tl.constexpr, LOWEST: tl.constexpr,
    SYMMETRIC: tl.constexpr, GROUP: tl.constexpr, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    PRECISION: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    group = tl.program_id(0) * 0
    counters = tl.zeros((COUNTERS,), tl.int64)
    left_out = tl.program_id(0).to(tl.int64) * 0
    for tile in range(first_tile + tl.program_id(0), last_tile, tl.num_programs(0)):
        group, row, column = locate(tile, group, starts, 0, BM, BN, GROUP, SYMMETRIC)
        if has_pairs(row, column, n, BN, SYMMETRIC):
            s = multiply(
                left, right, row, column, n, m, left_stride, right_stride, D, BM, BN, BK, PRECISION, WIDEN
            )
            i = row + tl.arange(0, BM)
            j = column + tl.arange(0, BN)
            whole, good_i, good_j = wholeness(
                left_finite, right_finite, i, j, row, column, n, m, BM, SYMMETRIC
            )
            if not whole:
                counted = countable(good_i, good_j, i, j, SYMMETRIC)
                s = tl.where(counted, s, -float("inf"))
                left_out += BM * BN - tl.sum(counted.to(tl.int32))

            if BINS > 0:
                # Clamped before it is a whole number; what is left out falls into the first bin.
                bins = tl.minimum(tl.maximum(s * scale + offset, 0.0), BINS - 1.0).to(tl.int32)
                counters += tl.histogram(tl.reshape(bins, (BM * BN,)), COUNTERS).to(tl.int64)
            for t in range(COUNTS):
                reached = tl.sum((s >= tl.load(thresholds + t)).to(tl.int32))
                tl.atomic_add(above + t, reached.to(tl.int64), sem="relaxed")
            if LOWEST:
                seen = tl.where(s > -float("inf"), s, float("inf"))
                tl.atomic_min(lowest + i, _ordered(tl.min(seen, axis=1)), mask=i < n, sem="relaxed")
                if SYMMETRIC:
                    tl.atomic_min(lowest + j, _ordered(tl.min(seen, axis=0)), mask=j < m, sem="relaxed")
            _keep(s, best, i, j, n, K, 1)
            if SYMMETRIC:
                _keep(s, best, j, i, m, K, 0)

    if BINS > 0:
        at = tl.arange(0, COUNTERS)
        counters = tl.where(at == 0, counters - left_out, counters)
        tl.atomic_add(histogram + at, counters, mask=at < BINS, sem="relaxed")


def _unordered(keys: torch.Tensor) -> torch.Tensor:
    """Return the float32 numbers that `_ordered` made these of."""
    return (keys ^ ((keys >> 31) & 0x7FFFFFFF)).view(torch.float32)


def _means(
    rows: torch.Tensor, others: torch.Tensor, good: torch.Tensor, good_others: torch.Tensor, symmetric: bool
) -> torch.Tensor:
    """Return each row's mean similarity to all others, from the sum of those, in float64."""
    step = max(1, (1 << 24) // max(1, rows.shape[1]))

    def exact(part: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return torch.where(mask.bool()[:, None], part.to(torch.float64), 0.0)

    total = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    for start in range(0, len(others), step):
        total += exact(others[start : start + step], good_others[start : start + step]).sum(dim=0)
    count = good_others.sum(dtype=torch.float64) - int(symmetric)
    mean = torch.empty(len(rows), dtype=torch.float64, device=rows.device)
    for start in range(0, len(rows), step):
        part = exact(rows[start : start + step], good[start : start + step])
        mean[start : start + step] = (part * (total - part if symmetric else total)).sum(dim=1)
    return torch.where(good.bool() & (count > 0), mean / count, torch.nan)


def _launch(
    rows: torch.Tensor, others: torch.Tensor | None, nearest: int, bins: int, low: float, high: float,
    thresholds: list[float], extremes: bool, mode: str, tile: Tile | None,
) -> list[torch.Tensor]:  # fmt: skip
    tiles.check(rows, others, mode)
    symmetric = others is None
    left = tiles.operand(rows, mode)
    right = left if others is None else tiles.operand(others, mode)
    n, m = len(left), len(right)
    device, k = rows.device, max(1, nearest)
    good = tiles.finite(left)
    good_others = good if symmetric else tiles.finite(right)

    def full(shape: tuple[int, ...], value: int, dtype: torch.dtype) -> torch.Tensor:
        return torch.full(shape, value, dtype=dtype, device=device)

    best = tiles.allocate(lambda: full((n, k), _NOBODY, torch.int64), "lists of neighbours", 8 * n * k, 8 * k)
    # As `_ordered` has it, infinity.
    lowest = full((n,), 0x7F800000, torch.int32)
    histogram, above = full((bins,), 0, torch.int64), full((len(thresholds),), 0, torch.int64)
    at = tiles.sent(tiles.reaching(thresholds), torch.float32, device)

    def run(one: Tile) -> None:
        starts = tiles.tile_starts(n, m, one, symmetric)
        where = tiles.sent(starts, torch.int64, device)
        for first in range(0, starts[-1], _TILES_A_LAUNCH):
            last = min(starts[-1], first + _TILES_A_LAUNCH)
            _pairs_kernel[(tiles.programs(device, last - first, one),)](
                left, right, good, good_others, best, lowest, histogram, above, at, where,
                n, m, left.stride(0), right.stride(0), -low * bins / (high - low), bins / (high - low), first, last,
                K=k, BINS=bins, COUNTERS=max(2, triton.next_power_of_2(bins)), COUNTS=len(thresholds), LOWEST=extremes,
                **tiles.constants(left, mode, one, symmetric), num_warps=one.warps, num_stages=one.stages,
            )  # fmt: skip

    if n and m:
        tiles.with_tiles(run, mode, tile)
    there = best != _NOBODY
    similarity = torch.where(there, _unordered((best >> 32).to(torch.int32)), torch.nan)
    neighbours = torch.where(there, 0x7FFFFFFF - (best & 0xFFFFFFFF), -1)
    least = torch.where(there[:, 0], _unordered(lowest), torch.nan) if extremes else similarity.new_empty(0)
    undefined = (1 - good).sum() if symmetric else (1 - good).sum() + (1 - good_others).sum()
    mean = _means(left, right, good, good_others, symmetric)
    return [
        similarity[:, :nearest].contiguous(), neighbours[:, :nearest].contiguous(), mean, least,
        similarity[:, 0].clone(), histogram, above, undefined,
    ]  # fmt: skip


@torch.library.custom_op("divfast::pairs", mutates_args=())
def _pairs_op(
    rows: torch.Tensor, others: torch.Tensor | None, nearest: int, bins: int, low: float, high: float,
    thresholds: list[float], extremes: bool, mode: str,
) -> list[torch.Tensor]:  # fmt: skip
    return _launch(rows, others, nearest, bins, low, high, thresholds, extremes, mode, None)


@_pairs_op.register_fake
def _(
    rows: Any,
    others: Any,
    nearest: int,
    bins: int,
    low: float,
    high: float,
    thresholds: Any,
    extremes: bool,
    mode: str,
) -> Any:
    n, ints, double = rows.shape[0], torch.int64, torch.float64

    def empty(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        made: torch.Tensor = rows.new_empty(shape, dtype=dtype)
        return made

    return [
        empty(n, nearest), empty(n, nearest, dtype=ints), empty(n, dtype=double), empty(n if extremes else 0),
        empty(n), empty(bins, dtype=ints), empty(len(thresholds), dtype=ints), empty(dtype=ints),
    ]  # fmt: skip


def pairs(
    rows: torch.Tensor,
    others: torch.Tensor | None = None,
    *,
    nearest: int = 1,
    bins: int = 0,
    span: tuple[float, float] = (-1.0, 1.0),
    thresholds: tuple[float, ...] = (),
    extremes: bool = True,
    mode: str = "fp32",
    tile: Tile | None = None,
) -> Pairs:
    """Look once at the similarity of every pair of rows, and keep what is asked of it; waits for no device.

    Parameters
    ----------
    rows : torch.Tensor
        ``[n, d]`` of float32, bfloat16 or float16, unit rows, on a CUDA device.
    others : torch.Tensor, optional
        ``[m, d]``: each row is compared with all of these, and not with the other rows.
    nearest : int
        How many neighbours of each row to keep; for a few dozen at most, since each is an atomic operation.
    bins : int
        Of a histogram, all of one width; those at the ends also hold what lies beyond.
    span : tuple of float
        The lower and the upper end of the bins. A similarity within 2^-22 of an edge may be counted on its other side.
    thresholds : tuple of float
        Count the pairs with a similarity of at least each of these.
    extremes : bool
        Whether to look for the lowest similarity of each row; `lowest` is empty without.
    mode : str
        ``fp32``, ``tf32`` or ``bf16``: what is multiplied; float16 rows stay as they are in ``bf16``.
    tile : Tile, optional
        Named for tests; else the largest one that the device has room for.

    Returns
    -------
    Pairs
        The same, bit for bit, in every run on one device: counts are whole numbers, and among equal similarities the
        lower row is the nearer. Rows that are not finite are nobody's neighbours and in no count, and `undefined` of
        them are here.

    Raises
    ------
    DataError, BackendError
        For what a kernel cannot take, and where it cannot run.
    """
    if nearest < 0 or bins < 0 or bins > 1 << 12:
        raise DataError(
            f"nearest {nearest} and bins {bins} must be at least 0, bins at most 4096.", where="pairs"
        )
    if not span[0] < span[1]:
        raise DataError(f"must ascend, got {span}.", where="span")
    asked: Any = (
        rows,
        others,
        nearest,
        bins,
        *map(float, span),
        [float(t) for t in thresholds],
        extremes,
        mode,
    )
    return Pairs(*(_pairs_op(*asked) if tile is None else _launch(*(*asked, tile))))


def quantiles(
    histogram: torch.Tensor, q: torch.Tensor, span: tuple[float, float] = (-1.0, 1.0)
) -> torch.Tensor:
    """Return quantiles, ``float64``, from a histogram of `pairs`: off by a bin's width at most; NaN without a pair."""
    counts = histogram.to(torch.float64)
    ends = counts.cumsum(0)
    rank = q.to(torch.float64) * (ends[-1] - 1)
    width = (span[1] - span[0]) / len(counts)

    def at(rank: torch.Tensor) -> torch.Tensor:
        which = torch.searchsorted(ends, rank, right=True).clamp(max=len(counts) - 1)
        within = (rank - (ends - counts)[which] + 0.5) / counts[which]
        return span[0] + (which + within) * width

    below = rank.floor()
    low, high = at(below), at(rank.ceil())
    return torch.where(ends[-1] > 0, low + (high - low) * (rank - below), torch.nan)
