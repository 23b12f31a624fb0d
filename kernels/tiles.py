"""What the kernels over all pairs share: in which order tiles come, their products, and what a launcher must know."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import triton
import triton.language as tl

from divfast.errors import BackendError, DataError
from divfast.kernels import launching

MODES = ("bf16", "tf32", "fp32")


@dataclass(frozen=True)
class Tile:
    """Rows, columns and dimensions at a time, and how they are worked on."""

    rows: int
    columns: int
    depth: int
    warps: int
    stages: int


# The largest first. Of bfloat16, 128 x 256 products take 590 KB at 768 dimensions: 85 operations a byte from the second
# cache, where 128 x 128 have 64. The accumulator is half of the registers, and the stages are 144 KB.
TILES = {
    "bf16": (
        Tile(256, 128, 64, 8, 3),
        Tile(128, 128, 64, 8, 3),
        Tile(64, 64, 64, 4, 2),
        Tile(32, 32, 32, 4, 1),
    ),
    "tf32": (Tile(128, 128, 32, 8, 3), Tile(64, 64, 32, 4, 2), Tile(32, 32, 32, 4, 1)),
    "fp32": (Tile(128, 64, 16, 8, 2), Tile(64, 64, 16, 4, 2), Tile(32, 32, 16, 4, 1)),
}
# Blocks of rows that are worked through together, so that their columns are still in the second cache: sixteen of 128
# rows and as many programs at once as there are multiprocessors share some 10 MB.
GROUP = 16


@triton.jit
def locate(
    tile,
    group,
    starts,
    first_row,
    BM: tl.constexpr,
    BN: tl.constexpr,
    GROUP: tl.constexpr,
    SYMMETRIC: tl.constexpr,
):
    """Return the group of a tile and its first row and column; `group` is that of an earlier tile.

    Of a symmetric matrix a group begins in the block of columns that the diagonal enters it.
    """
    while tile >= tl.load(starts + group + 1):
        group += 1
    within = (tile - tl.load(starts + group)).to(tl.int32)
    row = first_row + (group * GROUP + within % GROUP) * BM
    column = within // GROUP * BN
    if SYMMETRIC:
        column += (first_row + group * GROUP * BM) // BN * BN
    return group, row, column


@triton.jit
def multiply(
    left, right, row, column, n, m, left_stride, right_stride,
    D: tl.constexpr, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr, PRECISION: tl.constexpr, WIDEN: tl.constexpr,
):  # fmt: skip
    """Return ``float32[BM, BN]`` products; rows behind the last are that one again, for the caller to leave out."""
    i = tl.minimum(row + tl.arange(0, BM), n - 1).to(tl.int64)
    j = tl.minimum(column + tl.arange(0, BN), m - 1).to(tl.int64)
    k = tl.arange(0, BK)
    a_at = left + i[:, None] * left_stride + k[None, :]
    b_at = right + j[:, None] * right_stride + k[None, :]
    products = tl.zeros((BM, BN), tl.float32)
    for start in range(0, D, BK):
        if D % BK == 0:
            a = tl.load(a_at + start)
            b = tl.load(b_at + start)
        else:
            there = k[None, :] < D - start
            a = tl.load(a_at + start, mask=there, other=0.0)
            b = tl.load(b_at + start, mask=there, other=0.0)
        if WIDEN:
            a, b = a.to(tl.float32), b.to(tl.float32)
        products = tl.dot(a, tl.trans(b), products, input_precision=PRECISION)
    return products


@triton.jit
def wholeness(left_finite, right_finite, i, j, row, column, n, m, BM: tl.constexpr, SYMMETRIC: tl.constexpr):
    """Return whether all of a tile is to be counted, and which of its rows and columns are there and finite."""
    good_i = tl.load(left_finite + i, mask=i < n, other=0).to(tl.int32)
    good_j = tl.load(right_finite + j, mask=j < m, other=0).to(tl.int32)
    whole = (tl.min(good_i) > 0) & (tl.min(good_j) > 0)
    if SYMMETRIC:
        whole = whole & (row + BM - 1 < column)
    return whole, good_i, good_j


@triton.jit
def has_pairs(row, column, n, BN: tl.constexpr, SYMMETRIC: tl.constexpr):
    """Return whether a tile has a pair: it is not behind the last row nor, of one set, below the diagonal."""
    there = row < n
    if SYMMETRIC:
        there = there & (row < column + BN - 1)
    return there


@triton.jit
def countable(good_i, good_j, i, j, SYMMETRIC: tl.constexpr):
    """Return which pairs of a tile are to be counted: of rows that are finite and, of one set, each pair once."""
    counted = (good_i[:, None] > 0) & (good_j[None, :] > 0)
    if SYMMETRIC:
        counted = counted & (i[:, None] < j[None, :])
    return counted


def check(rows: torch.Tensor, others: torch.Tensor | None, mode: str) -> None:
    """Raise where no kernel can take these; reads no value, so waits for no device.

    Raises
    ------
    DataError
        For other shapes, types, or an unknown mode.
    BackendError
        Where the rows are where no kernel runs, or the device has no bfloat16.
    """
    if mode not in MODES:
        raise DataError(f"must be one of {', '.join(MODES)}, got {mode!r}.", where="mode")
    for name, one in (("rows", rows), ("others", others)):
        if one is None:
            continue
        if one.dim() != 2 or one.dtype not in (torch.float32, torch.bfloat16, torch.float16):
            raise DataError(
                f"must be [n, d] of float32, bfloat16 or float16, got {list(one.shape)} of {one.dtype}.",
                where=name,
                remedy="Stack vectors of one dimension, and convert them with .float().",
            )
        if len(one) >= 2**31 - 2**9:
            raise DataError(f"{len(one):,} rows are more than a kernel can name, 2^31.", where=name)
        launching.check_place(one, name)
    if others is not None and (others.shape[1] != rows.shape[1] or others.device != rows.device):
        raise DataError(
            f"must have {rows.shape[1]} dimensions on {rows.device}, as rows have; "
            f"got {others.shape[1]} on {others.device}.",
            where="others",
        )
    if mode == "bf16" and rows.dtype != torch.float16:
        launching.check_bfloat16(rows, 'Use mode="fp32", or rows of float16.')


def operand(rows: torch.Tensor, mode: str) -> torch.Tensor:
    """Return rows in the type that they are multiplied in, each row without gaps."""
    if mode == "bf16" and rows.dtype == torch.float32:
        rows = rows.to(torch.bfloat16)
    return rows if rows.stride(1) == 1 else rows.contiguous()


def finite(rows: torch.Tensor) -> torch.Tensor:
    """Return ``int8[n]``, 1 for a row of finite numbers, without waiting for the device."""
    # A sum of absolute values in float32 is finite where all are; in chunks, since it may be a copy.
    found = torch.empty(len(rows), dtype=torch.int8, device=rows.device)
    step = max(1, (1 << 26) // max(1, rows.shape[1]))
    for start in range(0, len(rows), step):
        found[start : start + step] = torch.isfinite(rows[start : start + step]).all(dim=1)
    return found


def sent(values: list[Any], dtype: torch.dtype, device: torch.device) -> torch.Tensor:
    """Return values as a tensor on the device, without waiting for it."""
    made = torch.tensor(values, dtype=dtype)
    return made.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else made.to(device)


def reaching(thresholds: list[float]) -> list[float]:
    """Return the least float32 at or above each threshold, which a float32 reaches where it reaches that."""
    exact = torch.tensor(thresholds, dtype=torch.float64)
    near = exact.to(torch.float32)
    above = torch.nextafter(near, torch.full_like(near, torch.inf))
    reached: list[float] = torch.where(near.double() < exact, above, near).tolist()
    return reached


def tile_starts(n: int, m: int, tile: Tile, symmetric: bool, first: int = 0) -> list[int]:
    """Return the number of the first tile of every group of rows from `first` up to n, and how many there are."""
    starts = [0]
    high = GROUP * tile.rows
    for row in range(first, n, high):
        columns = -(-m // tile.columns) - (row // tile.columns if symmetric else 0)
        starts.append(starts[-1] + GROUP * columns)
    return starts


def constants(rows: torch.Tensor, mode: str, tile: Tile, symmetric: bool) -> dict[str, Any]:
    """Return the compile-time arguments that both kernels have."""
    return {
        "D": rows.shape[1],
        "BM": tile.rows,
        "BN": tile.columns,
        "BK": tile.depth,
        "GROUP": GROUP,
        "SYMMETRIC": symmetric,
        "PRECISION": "tf32" if mode == "tf32" else "ieee",
        # In the interpreter bfloat16 are bits, which it would multiply.
        "WIDEN": rows.dtype != torch.float32 and (mode != "bf16" or launching.interpreted()),
    }


def programs(device: torch.device, tiles: int, tile: Tile) -> int:
    """Return how many programs to start: as many as run at once, each working through many tiles."""
    if device.type != "cuda":
        return min(tiles, 3)
    units = int(torch.cuda.get_device_properties(device).multi_processor_count)
    return min(tiles, units * (8 // tile.warps))


def with_tiles(run: Callable[[Tile], Any], mode: str, tile: Tile | None) -> Any:
    """Return ``run(tile)`` with the largest tile that the device has room for, or with the one that is named.

    Raises
    ------
    BackendError
        Where it has room for none.
    """
    from triton.runtime.errors import OutOfResources

    tried = TILES[mode] if tile is None else (tile,)
    for one in tried:
        try:
            return run(one)
        except OutOfResources as error:
            wanted = f"{error.required:,} of {error.name}, where the device has {error.limit:,}"
    raise BackendError(
        f"the smallest tile of {mode}, {tried[-1].rows} x {tried[-1].columns}, needs {wanted}.",
        remedy="Use --backend cpu.",
    )


def allocate(make: Callable[[], Any], what: str, size: int, each: int) -> Any:
    """Return ``make()``, memory of `size` bytes for as many things of `each` bytes.

    Raises
    ------
    BackendError
        Where there is not so much; it says how many would fit.
    """
    try:
        return make()
    except torch.OutOfMemoryError:
        free = torch.cuda.mem_get_info()[0]
    raise BackendError(
        f"{what} take {size / 1e6:,.0f} MB, and the device has {free / 1e6:,.0f} MB left.",
        remedy=f"{free // each:,} of them would fit.",
    )
