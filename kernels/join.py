"""Every pair of vectors with a similarity of at least a threshold, as a compact list.

Tiles as in `divfast.kernels.pairs`; what is in a tile and reaches the threshold is counted, one atomic addition takes
as many places in the list, and prefix sums over the tile say who stands where. A tile without a pair writes nothing.

Operations: n^2 d / 2 multiplications and additions on the matrix units, and 3 for every similarity; some 30 for those
of a tile that has a pair. A pass that finds more pairs than the list has room for is done again on fewer rows.

Bytes: read as by `pairs`; written, 20 for each pair.

Accumulator: float32 on the matrix units; the count in int64.

Errors of a similarity are those of `pairs` in the same mode; within them a pair may be on either side of the threshold.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import triton
import triton.language as tl

from divfast.errors import BackendError, DataError
from divfast.kernels import tiles
from divfast.kernels.tiles import Tile, countable, has_pairs, locate, multiply, wholeness

__all__ = ["join"]

# What a pair takes: in the list, and while it is sorted.
_PAIR_BYTES = 64
_FEWEST = 1 << 10


@triton.jit
def _join_kernel(
    left, right, left_finite, right_finite, found_i, found_j, found_s, found, starts,
    stop, m, left_stride, right_stride, tau, capacity, first_row, tile_count,
    SYMMETRIC: tl.constexpr, GROUP: tl.constexpr, D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr,
    PRECISION: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    group = tl.program_id(0) * 0
    for tile in range(tl.program_id(0), tile_count, tl.num_programs(0)):
        group, row, column = locate(tile, group, starts, first_row, BM, BN, GROUP, SYMMETRIC)
        if has_pairs(row, column, stop, BN, SYMMETRIC):
            s = multiply(
                left, right, row, column, stop, m, left_stride, right_stride, D, BM, BN, BK, PRECISION, WIDEN
            )
            i = row + tl.arange(0, BM)
            j = column + tl.arange(0, BN)
            whole, good_i, good_j = wholeness(
                left_finite, right_finite, i, j, row, column, stop, m, BM, SYMMETRIC
            )
            if not whole:
                counted = countable(good_i, good_j, i, j, SYMMETRIC)
                s = tl.where(counted, s, -float("inf"))
            reached = ((s >= tau) & (s > -float("inf"))).to(tl.int32)
            many = tl.sum(reached)
            if many > 0:
                base = tl.atomic_add(found, many.to(tl.int64), sem="relaxed")
                of_row = tl.sum(reached, axis=1)
                before = tl.cumsum(of_row, axis=0) - of_row
                at = base + (before[:, None] + tl.cumsum(reached, axis=1) - 1).to(tl.int64)
                there = (reached > 0) & (at < capacity)
                tl.store(found_i + at, tl.broadcast_to(i[:, None], (BM, BN)).to(tl.int64), mask=there)
                tl.store(found_j + at, tl.broadcast_to(j[None, :], (BM, BN)).to(tl.int64), mask=there)
                tl.store(found_s + at, s, mask=there)


def _launch(
    rows: torch.Tensor, others: torch.Tensor | None, tau: float, start: int, stop: int, capacity: int, mode: str,
    tile: Tile | None,
) -> list[torch.Tensor]:  # fmt: skip
    tiles.check(rows, others, mode)
    symmetric, device = others is None, rows.device
    left = tiles.operand(rows, mode)
    right = left if others is None else tiles.operand(others, mode)
    good = tiles.finite(left)
    good_others = good if symmetric else tiles.finite(right)
    m = len(right)
    i, j = (torch.empty(capacity, dtype=torch.int64, device=device) for _ in range(2))
    s = torch.empty(capacity, dtype=torch.float32, device=device)
    found = torch.zeros((), dtype=torch.int64, device=device)

    def run(one: Tile) -> None:
        found.zero_()
        starts = tiles.tile_starts(stop, m, one, symmetric, start)
        _join_kernel[(tiles.programs(device, starts[-1], one),)](
            left, right, good, good_others, i, j, s, found, tiles.sent(starts, torch.int64, device),
            stop, m, left.stride(0), right.stride(0), tiles.reaching([tau])[0], capacity, start, starts[-1],
            **tiles.constants(left, mode, one, symmetric), num_warps=one.warps, num_stages=one.stages,
        )  # fmt: skip

    if start < stop and m:
        tiles.with_tiles(run, mode, tile)
    return [i, j, s, found]


@torch.library.custom_op("divfast::join", mutates_args=())
def _join_op(
    rows: torch.Tensor,
    others: torch.Tensor | None,
    tau: float,
    start: int,
    stop: int,
    capacity: int,
    mode: str,
) -> list[torch.Tensor]:
    return _launch(rows, others, tau, start, stop, capacity, mode, None)


@_join_op.register_fake
def _(rows: Any, others: Any, tau: float, start: int, stop: int, capacity: int, mode: str) -> Any:
    ints = [rows.new_empty(shape, dtype=torch.int64) for shape in ((capacity,), (capacity,), ())]
    return [ints[0], ints[1], rows.new_empty((capacity,), dtype=torch.float32), ints[2]]


def join(
    rows: torch.Tensor,
    tau: float,
    *,
    others: torch.Tensor | None = None,
    capacity: int | None = None,
    mode: str = "fp32",
    tile: Tile | None = None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """Yield every pair with a similarity of at least `tau`, in as many passes as memory needs.

    Parameters
    ----------
    rows : torch.Tensor
        ``[n, d]`` of float32, bfloat16 or float16, unit rows, on a CUDA device.
    tau : float
        The threshold.
    others : torch.Tensor, optional
        ``[m, d]``: pairs of a row with one of these.
    capacity : int, optional
        Pairs of a pass, at most, though never fewer than one row may have; without it, what half of the free memory
        holds.
    mode : str
        ``fp32``, ``tf32`` or ``bf16``, as in `pairs`.
    tile : Tile, optional
        Named for tests; else the largest one that the device has room for.

    Yields
    ------
    tuple of torch.Tensor
        ``int64`` i, ``int64`` j and ``float32`` similarities of a pass, in the order of i and then of j, i < j where
        there is one set. A pass is over when its count is known: each waits for the device once.

    Raises
    ------
    DataError, BackendError
        For what a kernel cannot take, and where it cannot run.
    """
    tiles.check(rows, others, mode)
    if tau != tau or (capacity is not None and capacity < 1):
        raise DataError(f"tau {tau} must be a number, and capacity {capacity} at least 1.", where="join")
    return _passes(rows, float(tau), others, capacity, mode, tile)


def _passes(
    rows: torch.Tensor,
    tau: float,
    others: torch.Tensor | None,
    capacity: int | None,
    mode: str,
    tile: Tile | None,
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    m = len(rows) if others is None else len(others)
    if capacity is None:
        free = torch.cuda.mem_get_info(rows.device)[0] if rows.is_cuda else 1 << 30
        # No more than all pairs there can be.
        capacity = max(1, min(free // 2 // _PAIR_BYTES, len(rows) * m))
    start, high = 0, len(rows)
    while start < len(rows):
        stop = min(len(rows), start + high)
        room = max(capacity, m) if stop - start == 1 else capacity
        asked: Any = (rows, others, tau, start, stop, room, mode)
        try:
            i, j, s, found = _join_op(*asked) if tile is None else _launch(*(*asked, tile))
        except torch.OutOfMemoryError:
            capacity //= 2
            if capacity >= _FEWEST:
                continue
            free = torch.cuda.mem_get_info(rows.device)[0]
            raise BackendError(
                f"a list of {room:,} pairs does not fit into the {free / 1e6:,.1f} MB that the device has left.",
                remedy=f"Free some: {free // _PAIR_BYTES:,} pairs would fit, and a row may have {m:,}.",
            ) from None
        many = int(found)
        if many > room:
            # As many rows as would have fitted, were pairs spread evenly; a little fewer.
            high = max(1, min((stop - start) // 2, (stop - start) * room // many * 7 // 8))
            continue
        if many:
            order = torch.argsort(i[:many] * m + j[:many])
            yield i[:many][order], j[:many][order], s[:many][order]
        start = stop
