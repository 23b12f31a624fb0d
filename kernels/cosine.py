"""Mean cosine of all pairs of a group, and of each row with the others: its mean and its maximum.

With unit rows e and their sum S, the mean over pairs is ``(|S|^2 - K) / (K (K - 1))`` and that of a row with the
others ``e (S - e) / (K - 1)``: no matrix of similarities. The maximum needs every pair; it is made of tiles of a few
rows by as many, never stored.

*Bytes moved*: every row is read once, ``n d`` values, and g + 1 offsets; 8 bytes a group are written, and 8 a row where
rows are asked for. For these a group is read again, by then from the cache: once for the means, ``K / tile`` times for
the maxima. *Operations*: ``4 n d``; ``2 n K d`` more for maxima, on tensor cores. *Accumulator*: sums over rows and of
squares in float32 (or float64, by `accumulator`), the length of the sum S and the mean in float64. Nothing waits for
the device.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl

from divfast.errors import DataError
from divfast.kernels import launching

# The widest row that one program keeps the sum of.
WIDEST = 16384
_TILE_VALUES = 16384


class Similarities(NamedTuple):
    """Cosines within groups.

    Attributes
    ----------
    mean : torch.Tensor
        ``float64[g]``, over all pairs.
    row_mean, row_max : torch.Tensor or None
        ``float32[n]`` (float64 with that accumulator), of each row with the others of its group.
    """

    mean: torch.Tensor
    row_mean: torch.Tensor | None
    row_max: torch.Tensor | None


@triton.jit
def _unit_rows(rows_ptr, first, stop, d, ACC: tl.constexpr, BLOCK_K: tl.constexpr, BLOCK_D: tl.constexpr):
    """Return a tile of unit rows, zero past the end, and how many of them have no direction."""
    row = first + tl.arange(0, BLOCK_K)
    column = tl.arange(0, BLOCK_D)
    at = rows_ptr + row[:, None] * d + column[None, :]
    x = tl.load(at, mask=(row < stop)[:, None] & (column < d)[None, :], other=0.0).to(ACC)
    squares = tl.sum(x * x, axis=1)
    undefined = (row < stop) & ~((squares > 0) & (squares < float("inf")))
    e = x * tl.where(squares > 0, 1 / tl.sqrt(tl.where(squares > 0, squares, 1.0)), 0.0).to(ACC)[:, None]
    return e, tl.sum(undefined.to(tl.int32), axis=0)


@triton.jit
def _row_maxima(
    rows_ptr,
    first,
    start,
    stop,
    d,
    ACC: tl.constexpr,
    OPERAND: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """Return the largest cosine of each row of a tile with another row of its group."""
    row = first + tl.arange(0, BLOCK)
    best = tl.full([BLOCK], float("-inf"), ACC)
    for other_first in range(start, stop, BLOCK):
        other = other_first + tl.arange(0, BLOCK)
        products = tl.zeros([BLOCK, BLOCK], ACC)
        squares = tl.zeros([BLOCK], ACC)
        other_squares = tl.zeros([BLOCK], ACC)
        for c in range(0, d, CHUNK):
            column = c + tl.arange(0, CHUNK)
            x = tl.load(
                rows_ptr + row[:, None] * d + column[None, :],
                mask=(row < stop)[:, None] & (column < d)[None, :],
                other=0.0,
            )
            y = tl.load(
                rows_ptr + other[None, :] * d + column[:, None],
                mask=(other < stop)[None, :] & (column < d)[:, None],
                other=0.0,
            )
            products = tl.dot(x.to(OPERAND), y.to(OPERAND), products, input_precision="ieee", out_dtype=ACC)
            x = x.to(ACC)
            y = y.to(ACC)
            squares += tl.sum(x * x, axis=1)
            other_squares += tl.sum(y * y, axis=0)
        scale = tl.where(squares > 0, 1 / tl.sqrt(tl.where(squares > 0, squares, 1.0)), 0.0).to(ACC)
        other_squares = tl.where(other_squares > 0, other_squares, float("inf"))
        cosines = products * scale[:, None] * (1 / tl.sqrt(other_squares)).to(ACC)[None, :]
        pair = (other < stop)[None, :] & (row[:, None] != other[None, :])
        best = tl.maximum(best, tl.max(tl.where(pair, cosines, float("-inf")), axis=1))
    return best


@triton.jit
def _cosine_kernel(
    rows_ptr,
    groups_ptr,
    mean_ptr,
    row_mean_ptr,
    row_max_ptr,
    n,
    d,
    ROWS: tl.constexpr,
    ACC: tl.constexpr,
    OPERAND: tl.constexpr,
    BLOCK_K: tl.constexpr,
    BLOCK_D: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    group = tl.program_id(0).to(tl.int64)
    start = tl.load(groups_ptr + group)
    stop = tl.load(groups_ptr + group + 1)
    k = stop - start
    if (start < 0) | (stop > n) | (k < 2):
        tl.store(mean_ptr + group, float("nan"))
        return
    total = tl.zeros([BLOCK_D], ACC)
    undefined = 0
    for first in range(start, stop, BLOCK_K):
        e, many = _unit_rows(rows_ptr, first, stop, d, ACC, BLOCK_K, BLOCK_D)
        total += tl.sum(e, axis=0)
        undefined += many
    count = k.to(tl.float64)
    wide = total.to(tl.float64)
    mean = (tl.sum(wide * wide, axis=0) - count) / (count * (count - 1))
    tl.store(mean_ptr + group, tl.where(undefined > 0, float("nan"), mean))
    if ROWS:  # noqa: SIM102 - the outer one is for the compiler, the inner one for the device
        if undefined == 0:
            for first in range(start, stop, BLOCK_K):
                e, many = _unit_rows(rows_ptr, first, stop, d, ACC, BLOCK_K, BLOCK_D)
                with_all = tl.sum(e * total[None, :], axis=1)
                with_itself = tl.sum(e * e, axis=1)
                row = first + tl.arange(0, BLOCK_K)
                tl.store(row_mean_ptr + row, (with_all - with_itself) / (k - 1).to(ACC), mask=row < stop)
            for first in range(start, stop, BLOCK):
                row = first + tl.arange(0, BLOCK)
                best = _row_maxima(rows_ptr, first, start, stop, d, ACC, OPERAND, BLOCK, CHUNK)
                tl.store(row_max_ptr + row, best, mask=row < stop)


def cosine(
    rows: torch.Tensor,
    groups: torch.Tensor,
    *,
    per_row: bool = False,
    accumulator: torch.dtype = torch.float32,
) -> Similarities:
    """Return the mean cosine of all pairs of every group, and with `per_row` each row's mean and maximum.

    Parameters
    ----------
    rows : torch.Tensor
        ``[n, d]``, float32, bfloat16 or float16, of any length each, on a CUDA device.
    groups : torch.Tensor
        ``int64[g + 1]``, rows of each group; any sizes.
    per_row : bool
        Also the two values of each row. Rows of no group are NaN.
    accumulator : torch.dtype
        ``float32`` or ``float64``, of sums over the dimensions. In float32 a row whose squared length leaves the
        type, shorter than about 1e-19 or longer than 1e19, counts as one without direction.

    Returns
    -------
    Similarities
        NaN for groups of fewer than two rows, and for those with a row that is zero or not finite.

    Raises
    ------
    DivfastError
        Where the kernel cannot take them.
    """
    launching.check(rows, groups)
    n, d = rows.shape
    if d > WIDEST:
        raise DataError(
            f"rows of {d:,} dimensions are wider than the kernel's {WIDEST:,}.", remedy="Use torch."
        )
    rows, groups = rows.contiguous(), groups.contiguous()
    g = len(groups) - 1
    mean = torch.empty(g, dtype=torch.float64, device=rows.device)
    many = n if per_row else 0
    row_mean = torch.full((many,), torch.nan, dtype=accumulator, device=rows.device)
    row_max = torch.full_like(row_mean, torch.nan)
    if g:
        shape = launch_shape(n, g, d, accumulator)
        _cosine_kernel[(g,)](
            rows,
            groups,
            mean,
            row_mean,
            row_max,
            n,
            d,
            ROWS=per_row,
            ACC=launching.language(accumulator),
            OPERAND=launching.operand(rows, accumulator),
            **shape,
        )
    return Similarities(mean, row_mean, row_max) if per_row else Similarities(mean, None, None)


def launch_shape(n: int, g: int, d: int, accumulator: torch.dtype) -> dict[str, Any]:
    """Return tiles and warps for groups of about n / g rows, known without looking at them.

    A thread holds 64 values of a tile (32 in float64), so that enough programs fit on a multiprocessor to keep its
    memory busy; more rows at a time only cost registers.
    """
    block_d = max(16, triton.next_power_of_2(d))
    usual = triton.next_power_of_2(max(1, n // max(1, g)))
    exact = accumulator == torch.float64
    rows = max(4, 2048 // block_d) // (2 if exact else 1)
    block_k = max(1, min(rows, usual, _TILE_VALUES // block_d))
    warps = block_k * block_d // (32 * (32 if exact else 64))
    return {
        "BLOCK_K": block_k,
        "BLOCK_D": block_d,
        "BLOCK": 16 if usual <= 16 else 32,
        "CHUNK": min(64, block_d),
        "num_warps": max(1, min(warps, 32)),
    }
