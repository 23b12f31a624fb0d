"""Order-q Vendi Score of groups of up to 128 rows: Gram matrix, eigenvalues and entropy in one kernel.

A program takes a group. Its Gram matrix is multiplied in tiles of the dimensions and divided by the lengths of the
rows; the eigenvalues come of Jacobi rotations, K / 2 at a time: in round r of a sweep row i is rotated with row
``i XOR r``, which over r = 1 .. K - 1 takes every pair once. Sweeps go on until what is left beside the diagonal is
rounding, 6 to 9 of them.

*Bytes moved*: every row is read once, ``n d`` values, and g + 1 offsets for each of at most four launches; 8 bytes a
group are written. *Operations*: ``n K d`` multiplications on tensor cores, about ``60 K^3`` for the rotations.
*Accumulator*: with float32 Gram matrix and rotations in float32, eigenvalues on the diagonal and entropy in float64;
eigenvalues below a millionth of the largest are then rounding and dropped. With float64 all of it in float64, and those
up to 1e-12 of the trace are dropped. Rows in float32 need float64 to be as close as plain torch in float32: hundreds of
rotations round more often than LAPACK does. Nothing waits for the device.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from divfast.kernels import launching

LARGEST = 128
_TILES = (16, 32, 64, 128)
_WARPS = {16: 1, 32: 2, 64: 8, 128: 16}


@triton.jit
def _tangents(values, beside, partner, index):
    """Return the tangent of the rotation of each index with its partner, as that index sees it.

    For the two of a pair it is the same number with opposite signs, to the last bit.
    """
    gap = tl.gather(values, partner, 0) - values
    sign = tl.where((gap > 0) | ((gap == 0) & (index < partner)), 2.0, -2.0).to(beside.dtype)
    gap = gap.to(beside.dtype)
    size = tl.abs(gap) + tl.sqrt(gap * gap + 4 * beside * beside)
    return tl.where(size > 0, sign * beside / tl.where(size > 0, size, 1.0), 0.0).to(beside.dtype)


@triton.jit
def _jacobi(
    matrix,
    k,
    TOLERANCE: tl.constexpr,
    SWEEPS: tl.constexpr,
    VECTORS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Return the eigenvalues of a symmetric matrix, ``float64[BLOCK]``, and with VECTORS its eigenvectors as columns.

    Only the leading k x k part is not zero.
    """
    row = tl.arange(0, BLOCK)
    on_diagonal = row[:, None] == row[None, :]
    values = tl.sum(tl.where(on_diagonal, matrix, 0.0), axis=1).to(tl.float64)
    matrix = tl.where(on_diagonal, 0.0, matrix).to(matrix.dtype)
    vectors = tl.where(on_diagonal, 1.0, 0.0).to(matrix.dtype)
    rounds = 1
    while rounds < k:
        rounds *= 2
    limit = TOLERANCE * tl.sum(values, axis=0)
    left = tl.sum(tl.sum(matrix * matrix, axis=1), axis=0).to(tl.float64)
    sweep = 0
    while (sweep < SWEEPS) & (left > limit * limit):
        for r in range(1, rounds):
            partner = row ^ r
            rows = tl.broadcast_to(partner[:, None], [BLOCK, BLOCK])
            columns = tl.broadcast_to(partner[None, :], [BLOCK, BLOCK])
            pivot = row[:, None] == columns
            # Rounding may make two numbers of an element and its mirror image: their mean is one.
            beside = tl.sum(tl.where(pivot, matrix, 0.0), axis=1)
            beside = ((beside + tl.gather(beside, partner, 0)) * 0.5).to(matrix.dtype)
            tangent = _tangents(values, beside, partner, row)
            values -= tangent.to(tl.float64) * beside.to(tl.float64)
            # The same numbers along the other axis, to the last bit: a sum with zeros.
            across = tl.sum(tl.where(on_diagonal, tangent[:, None], 0.0), axis=0).to(matrix.dtype)
            cosine = 1 / tl.sqrt(1 + tangent * tangent)
            matrix = cosine[:, None] * (matrix - tangent[:, None] * tl.gather(matrix, rows, 0))
            cosine = 1 / tl.sqrt(1 + across * across)
            matrix = cosine[None, :] * (matrix - across[None, :] * tl.gather(matrix, columns, 1))
            matrix = tl.where(pivot | on_diagonal, 0.0, matrix).to(matrix.dtype)
            if VECTORS:
                vectors = cosine[None, :] * (vectors - across[None, :] * tl.gather(vectors, columns, 1))
        left = tl.sum(tl.sum(matrix * matrix, axis=1), axis=0).to(tl.float64)
        sweep += 1
    return values, vectors


@triton.jit
def _effective_number(p, q, ORDER: tl.constexpr):
    """Return the Hill number of order q of shares that sum to 1, all in float64."""
    logs = tl.log(tl.where(p > 0, p, 1.0))
    if ORDER == "shannon":
        entropy = -tl.sum(p * logs, axis=0)
    elif ORDER == "inf":
        entropy = -tl.log(tl.max(p, axis=0))
    elif ORDER == "near":
        # The sum of p^q is 1 plus very little, which only this form keeps: a series for exp - 1, log of 1 + excess.
        z = (q - 1) * logs
        series = 1 + z / 12
        for i in tl.static_range(10):
            series = 1 + series * z / (11 - i)
        excess = tl.sum(p * z * series, axis=0)
        rounded = 1 + excess
        exact = tl.where(
            rounded == 1, excess, tl.log(rounded) * (excess / tl.where(rounded == 1, 1.0, rounded - 1))
        )
        entropy = exact / (1 - q)
    else:
        # The largest is taken out because p^q of a large q is nothing but underflow.
        top = tl.log(tl.max(p, axis=0))
        powers = tl.where(p > 0, tl.exp(q * (logs - top)), 0.0)
        entropy = (q * top + tl.log(tl.sum(powers, axis=0))) / (1 - q)
    return tl.exp(entropy)


@triton.jit
def _gram(
    rows_ptr,
    start,
    k,
    d,
    ACC: tl.constexpr,
    OPERAND: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    """Return the cosines of a group's rows, zero past the end, and how many rows have no direction."""
    row = tl.arange(0, BLOCK)
    chunk = tl.arange(0, CHUNK)
    inside = row < k
    products = tl.zeros([BLOCK, BLOCK], ACC)
    at = rows_ptr + (start + row)[:, None] * d + chunk[None, :]
    for c in range(0, d, CHUNK):
        x = tl.load(at + c, mask=inside[:, None] & (c + chunk < d)[None, :], other=0.0).to(OPERAND)
        products = tl.dot(x, tl.trans(x), products, input_precision="ieee", out_dtype=ACC)
    on_diagonal = row[:, None] == row[None, :]
    squares = tl.sum(tl.where(on_diagonal, products, 0.0), axis=1)
    across = tl.sum(tl.where(on_diagonal, products, 0.0), axis=0)
    undefined = inside & ~((squares > 0) & (squares < float("inf")))
    scale = tl.where(squares > 0, 1 / tl.sqrt(tl.where(squares > 0, squares, 1.0)), 0.0).to(ACC)
    scale_across = tl.where(across > 0, 1 / tl.sqrt(tl.where(across > 0, across, 1.0)), 0.0).to(ACC)
    cosines = products * scale[:, None] * scale_across[None, :]
    cosines = tl.where(on_diagonal, tl.where(inside, 1.0, 0.0)[:, None], cosines).to(ACC)
    return cosines, tl.sum(undefined.to(tl.int32), axis=0)


@triton.jit
def _vendi_kernel(
    rows_ptr,
    groups_ptr,
    out_ptr,
    n,
    d,
    q_high,
    q_low,
    ORDER: tl.constexpr,
    ACC: tl.constexpr,
    OPERAND: tl.constexpr,
    TOLERANCE: tl.constexpr,
    ZERO: tl.constexpr,
    SWEEPS: tl.constexpr,
    MORE_THAN: tl.constexpr,
    LAST: tl.constexpr,
    BLOCK: tl.constexpr,
    CHUNK: tl.constexpr,
):
    group = tl.program_id(0).to(tl.int64)
    start = tl.load(groups_ptr + group)
    stop = tl.load(groups_ptr + group + 1)
    k = stop - start
    if (k > BLOCK) & (not LAST):
        return
    if (k <= MORE_THAN) & (MORE_THAN > 0):
        return
    if (start < 0) | (stop > n) | (k < 1) | (k > BLOCK):
        tl.store(out_ptr + group, float("nan"))
        return
    cosines, undefined = _gram(rows_ptr, start, k, d, ACC, OPERAND, BLOCK, CHUNK)
    count = k.to(tl.float64)
    if ORDER == "two":
        wide = cosines.to(tl.float64)
        score = count * count / tl.sum(tl.sum(wide * wide, axis=1), axis=0)
    else:
        values, _ = _jacobi(cosines, k, TOLERANCE, SWEEPS, False, BLOCK)
        p = tl.where(tl.arange(0, BLOCK) < k, values, 0.0) / count
        p = tl.where(p > ZERO, p, 0.0)
        q = tl.full([], q_high, tl.float64) + tl.full([], q_low, tl.float64)
        score = _effective_number(p, q, ORDER)
    tl.store(out_ptr + group, tl.where(undefined > 0, float("nan"), score))


@triton.jit
def _slope(p, q, score, ORDER: tl.constexpr):
    """Return how the Hill number grows with each share, as long as they sum to anything; 0 for a share of 0."""
    logs = tl.log(tl.where(p > 0, p, 1.0))
    if ORDER == "inf":
        top = tl.max(p, axis=0)
        first = tl.min(tl.where(p == top, tl.arange(0, p.shape[0]), p.shape[0]), axis=0)
        slope = tl.where(tl.arange(0, p.shape[0]) == first, -score * score, 0.0)
    elif ORDER == "shannon":
        slope = tl.where(p > 0, -score * (1 + logs), 0.0)
    elif ORDER == "two":
        slope = -2 * score * score * p
    else:
        # q / (1 - q) V^q p^(q - 1), less a constant that the trace takes out, and which is all of it near q = 1.
        z = (q - 1) * logs + q * tl.log(score) - tl.log(score)
        slope = q * score * (tl.where(p > 0, tl.exp(z), 0.0) - 1) / (1 - q)
    return slope


@triton.jit
def _spectrum_kernel(
    products_ptr,
    score_ptr,
    gradient_ptr,
    k,
    q_high,
    q_low,
    GRADIENT: tl.constexpr,
    ORDER: tl.constexpr,
    ACC: tl.constexpr,
    TOLERANCE: tl.constexpr,
    ZERO: tl.constexpr,
    SWEEPS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    matrix = tl.program_id(0).to(tl.int64)
    index = tl.arange(0, BLOCK)
    inside = index < k
    at = (matrix * k + index[:, None]) * k + index[None, :]
    both = inside[:, None] & inside[None, :]
    products = tl.load(products_ptr + at, mask=both, other=0.0).to(ACC)
    trace = tl.sum(tl.sum(tl.where(index[:, None] == index[None, :], products, 0.0), axis=1), axis=0)
    size = tl.sum(tl.sum(tl.abs(products), axis=1), axis=0)
    if not ((trace > 0) & (size < float("inf"))):
        if GRADIENT:
            tl.store(gradient_ptr + at, tl.full([BLOCK, BLOCK], float("nan"), ACC), mask=both)
        else:
            tl.store(score_ptr + matrix, float("nan"))
        return
    values, vectors = _jacobi(products / trace, k, TOLERANCE, SWEEPS, GRADIENT, BLOCK)
    p = tl.where(inside, values, 0.0)
    p = tl.where(p > ZERO, p, 0.0)
    q = tl.full([], q_high, tl.float64) + tl.full([], q_low, tl.float64)
    if ORDER == "two":
        score = 1 / tl.sum(p * p, axis=0)
    else:
        score = _effective_number(p, q, ORDER)
    if GRADIENT:
        slope = _slope(p, q, score, ORDER)
        # Only the shares matter, not the trace.
        slope = tl.where(inside, slope - tl.sum(slope * p, axis=0), 0.0) / trace.to(tl.float64)
        weighted = vectors * slope.to(ACC)[None, :]
        gradient = tl.dot(weighted, tl.trans(vectors), input_precision="ieee", out_dtype=ACC)
        tl.store(gradient_ptr + at, gradient, mask=both)
    else:
        tl.store(score_ptr + matrix, score)


def vendi(
    rows: torch.Tensor,
    groups: torch.Tensor,
    *,
    q: float = 1.0,
    max_k: int = LARGEST,
    accumulator: torch.dtype | None = None,
) -> torch.Tensor:
    """Return the order-q Vendi Score of every group.

    Parameters
    ----------
    rows : torch.Tensor
        ``[n, d]``, float32, bfloat16 or float16, of any length each, on a CUDA device.
    groups : torch.Tensor
        ``int64[g + 1]``, rows of each group.
    q : float
        Order, in (0, inf]; q = 2 needs no eigenvalues.
    max_k : int
        Rows of the largest group, if less than 128: fewer launches.
    accumulator : torch.dtype, optional
        ``float32`` or ``float64``; by default float64 for rows in float32, else float32.

    Returns
    -------
    torch.Tensor
        ``float64[g]``; NaN for a group without rows, of more than `max_k` or 128, or with a row that is zero or not
        finite.

    Raises
    ------
    DivfastError
        Where the kernel cannot take them.
    """
    launching.check(rows, groups)
    accumulator = accumulator or natural_accumulator(rows.dtype)
    rows, groups = rows.contiguous(), groups.contiguous()
    n, d = rows.shape
    g = len(groups) - 1
    out = torch.empty(g, dtype=torch.float64, device=rows.device)
    tiles = tiles_for(min(max_k, n))
    for i, tile in enumerate(tiles if g else []):
        _vendi_kernel[(g,)](
            rows,
            groups,
            out,
            n,
            d,
            *in_two(q),
            OPERAND=launching.operand(rows, accumulator),
            MORE_THAN=tiles[i - 1] if i else 0,
            LAST=tile == tiles[-1],
            CHUNK=max(16, min(64, triton.next_power_of_2(d))),
            **launch_shape(tile, q, accumulator),
        )
    return out


def natural_accumulator(dtype: torch.dtype) -> torch.dtype:
    """Return what rows of a type are best summed in."""
    return torch.float64 if dtype in (torch.float32, torch.float64) else torch.float32


def tiles_for(k: int) -> list[int]:
    """Return the tiles of the launches that together take groups of up to k rows."""
    return [tile for i, tile in enumerate(_TILES) if i == 0 or _TILES[i - 1] < k]


def order_name(q: float) -> str:
    """Return which formula an order needs."""
    if q == 1:
        return "shannon"
    if q == float("inf"):
        return "inf"
    if q == 2:
        return "two"
    return "near" if abs(q - 1) < 0.01 else "any"


def in_two(q: float) -> tuple[float, float]:
    """Return an order as the sum of two float32, which is what a kernel takes."""
    if q == float("inf"):
        return 0.0, 0.0
    high = torch.tensor(q, dtype=torch.float32).item()
    return high, q - high


def launch_shape(tile: int, q: float, accumulator: torch.dtype) -> dict[str, Any]:
    """Return what a kernel is compiled with for groups of up to `tile` rows."""
    exact = accumulator == torch.float64
    return {
        "ORDER": order_name(q),
        "ACC": launching.language(accumulator),
        "TOLERANCE": 1e-12 if exact else 3e-8,
        "ZERO": 1e-12 if exact else 1e-6,
        "SWEEPS": 20,
        "BLOCK": tile,
        "num_warps": _WARPS[tile] * (2 if exact and 16 < tile < 128 else 1),
    }


def spectrum(products: torch.Tensor, *, q: float = 1.0, gradient: bool = False) -> torch.Tensor:
    """Return the order-q effective number of the eigenvalues of matrices, or with `gradient` how it grows with them.

    Parameters
    ----------
    products : torch.Tensor
        ``[b, k, k]``, float32 or float64, symmetric without negative eigenvalues, k up to 128, on a CUDA device. Only
        eigenvalues relative to the trace matter.
    q : float
        Order, in (0, inf].
    gradient : bool
        The matrix of derivatives in place of the number. Eigenvalues that count as zero add nothing to it.

    Returns
    -------
    torch.Tensor
        ``float64[b]``, or ``[b, k, k]`` in the type of `products`; NaN for a matrix that is zero or not finite.

    Notes
    -----
    In float64 whatever the type, k^2 values read, and as many written for derivatives.
    """
    products = products.contiguous()
    b, k, _ = products.shape
    score = torch.empty(0 if gradient else b, dtype=torch.float64, device=products.device)
    slopes = torch.empty_like(products) if gradient else products
    if b and k:
        shape = launch_shape(tiles_for(k)[-1], q, torch.float64)
        _spectrum_kernel[(b,)](products, score, slopes, k, *in_two(q), GRADIENT=gradient, **shape)
    elif not gradient:
        score.fill_(torch.nan)
    return slopes if gradient else score
