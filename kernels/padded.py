"""Ragged groups in plain torch, each padded to the rows of the largest: what kernels are compared with.

The twin of the kernels on the CPU, what takes groups that are too large for them, and the baseline of their benchmark.
Nothing here looks at a value, so nothing waits for the device except where torch's eigenvalues do. Memory is that of
``g max_k d`` values and ``g max_k^2``.
"""

from __future__ import annotations

import torch

# Eigenvalues up to this share of the trace are rounding of zero.
_ZERO = 1e-12


def group_of_rows(groups: torch.Tensor, n: int) -> torch.Tensor:
    """Return which group each of n rows is in, ``int64[n]``; g for a row of none."""
    index = torch.arange(n, device=groups.device)
    group = torch.searchsorted(groups, index, right=True) - 1
    return torch.where((group < 0) | (index >= groups[-1]), len(groups) - 1, group)


def pad(rows: torch.Tensor, groups: torch.Tensor, max_k: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return ``[g, max_k, d]``, zero behind the last row of a group, and which of them are rows, ``bool[g, max_k]``."""
    index = groups[:-1, None] + torch.arange(max_k, device=groups.device)
    inside = index < groups[1:, None]
    if not len(rows):
        return rows.new_zeros(*index.shape, rows.shape[1]), inside
    block = rows[index.clamp(0, len(rows) - 1)]
    return torch.where(inside[..., None], block, 0), inside


def unit(block: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Return rows of length 1, zero where there is none, NaN where one has no direction."""
    length = torch.linalg.vector_norm(torch.where(inside[..., None], block, 1), dim=-1, keepdim=True)
    return torch.where(inside[..., None], block / length, 0)


def cosine(
    rows: torch.Tensor, groups: torch.Tensor, max_k: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the mean cosine of the pairs of every group, and each row's mean and maximum with the others.

    Parameters
    ----------
    rows : torch.Tensor
        ``[n, d]`` of any floating type, in which all is done.
    groups : torch.Tensor
        ``int64[g + 1]``.
    max_k : int
        Rows of the largest group; larger ones are NaN.

    Returns
    -------
    tuple of torch.Tensor
        ``[g]``, ``[n]``, ``[n]``; NaN as `divfast.kernels.cosine.cosine` has it.
    """
    block, inside = pad(rows, groups, max_k)
    e = unit(block, inside)
    products = e @ e.mT
    count = (groups[1:] - groups[:-1])[:, None]
    undefined = (count < 2) | (count > max_k) | torch.isnan(products).any(-1).any(-1)[:, None]
    itself = torch.eye(max_k, dtype=torch.bool, device=rows.device)
    others = inside[:, None, :] & ~itself
    row_mean = torch.where(others, products, 0).sum(-1) / (count - 1).clamp(min=1)
    row_max = torch.where(others, products, -torch.inf).amax(-1) if max_k else row_mean
    row_mean = row_mean.masked_fill(undefined, torch.nan)
    row_max = row_max.masked_fill(undefined, torch.nan)
    mean = torch.where(inside, row_mean, 0).sum(-1) / count[:, 0].clamp(min=1)
    mean = mean.masked_fill(undefined[:, 0], torch.nan)
    return mean, unpad(row_mean, groups, len(rows)), unpad(row_max, groups, len(rows))


def unpad(values: torch.Tensor, groups: torch.Tensor, n: int) -> torch.Tensor:
    """Return of ``[g, max_k]`` the value of each of n rows; NaN for those of no group, and beyond max_k."""
    g, max_k = values.shape
    if not g or not max_k:
        return values.new_full((n,), torch.nan)
    group = group_of_rows(groups, n)
    outside = group == g
    group = group.clamp(max=g - 1)
    place = torch.arange(n, device=groups.device) - groups[group]
    outside = outside | (place >= max_k)
    return values[group, place.clamp(0, max_k - 1)].masked_fill(outside, torch.nan)


def vendi(rows: torch.Tensor, groups: torch.Tensor, max_k: int, q: float) -> torch.Tensor:
    """Return the order-q Vendi Score of every group, ``[g]``.

    The matrix of similarities is in the type of the rows; eigenvalues, which torch has in float32 and float64 alone,
    in float32 for the narrower ones. Where rows have fewer dimensions than max_k, the d x d matrix takes its place.
    """
    block, inside = pad(rows, groups, max_k)
    e = unit(block, inside)
    products = e.mT @ e if rows.shape[1] < max_k else e @ e.mT
    wide = products if products.dtype == torch.float64 else products.float()
    count = groups[1:] - groups[:-1]
    return spectrum(wide, q).masked_fill((count < 1) | (count > max_k), torch.nan)


def effective_number(p: torch.Tensor, q: float) -> torch.Tensor:
    """Return the Hill number of order q of shares that sum to 1 along the last dimension."""
    logs = torch.where(p > 0, p, 1).log()
    if q == 1:
        entropy = -(p * logs).sum(-1)
    elif q == float("inf"):
        entropy = -p.amax(-1).log()
    elif abs(q - 1) < 0.01:
        # The sum of p^q is 1 plus very little, which only this form keeps.
        entropy = (p * torch.expm1((q - 1) * logs)).sum(-1).log1p() / (1 - q)
    else:
        top = p.amax(-1).log()
        powers = torch.where(p > 0, (q * (logs - top[..., None])).exp(), 0)
        entropy = (q * top + powers.sum(-1).log()) / (1 - q)
    return entropy.exp()


def spectrum(products: torch.Tensor, q: float, gradient: bool = False) -> torch.Tensor:
    """Return what `divfast.kernels.vendi.spectrum` returns, in the type of the matrices, of any size."""
    trace = products.diagonal(dim1=-2, dim2=-1).sum(-1)
    defined = (trace > 0) & torch.isfinite(products.abs().sum((-2, -1)))
    safe = torch.where(defined[:, None, None], products / trace[:, None, None], 0)
    if not products.shape[-1]:
        return products if gradient else trace.fill_(torch.nan)
    if gradient:
        values, vectors = torch.linalg.eigh(safe)
    else:
        values = torch.linalg.eigvalsh(safe)
    p = torch.where(values > _ZERO, values, 0)
    score = effective_number(p, q)
    if not gradient:
        return score.masked_fill(~defined, torch.nan)
    slope = _slope(p, q, score[:, None])
    slope = (slope - (slope * p).sum(-1, keepdim=True)) / trace[:, None]
    return ((vectors * slope[:, None, :]) @ vectors.mT).masked_fill(~defined[:, None, None], torch.nan)


def _slope(p: torch.Tensor, q: float, score: torch.Tensor) -> torch.Tensor:
    """Return how the Hill number grows with each share, up to a number that is the same for all."""
    logs = torch.where(p > 0, p, 1).log()
    if q == float("inf"):
        first = torch.nn.functional.one_hot(p.argmax(-1), p.shape[-1])
        return -score * score * first
    if q == 1:
        return torch.where(p > 0, -score * (1 + logs), 0)
    # q / (1 - q) V^q p^(q - 1), less what is nearly all of it next to q = 1.
    power = torch.where(p > 0, ((q - 1) * (logs + score.log())).exp(), 0)
    return q * score * (power - 1) / (1 - q)


def outer_products(rows: torch.Tensor, step: int = 1 << 16) -> torch.Tensor:
    """Return the sum of the outer products of unit rows, ``float64[d, d]``, `step` rows at a time."""
    d = rows.shape[1]
    out = torch.zeros(d, d, dtype=torch.float64, device=rows.device)
    for part in rows.split(step):
        wide = part.double()
        out.addmm_(wide.mT, wide)
    return out
