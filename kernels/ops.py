"""The kernels as operators of torch, ``torch.ops.divfast``: they trace under ``torch.compile`` and have gradients.

On a CUDA device they run the Triton kernels, on the CPU plain torch (`divfast.kernels.padded`), or the kernels too
where Triton interprets them. `max_k`, rows of the largest group, is a number of the host: nothing on the way waits for
the device. What no kernel takes, rows that are wider or groups that are larger, plain torch does where the rows are.
"""

from __future__ import annotations

from typing import Any

import torch

from divfast.errors import BackendError
from divfast.kernels import padded


def _kernels(rows: torch.Tensor) -> bool:
    """Return whether the kernels are to run on these rows."""
    try:
        from divfast.kernels import launching
    except ImportError:
        if not rows.is_cuda:
            return False
        raise BackendError(
            "Triton is not installed, which kernels on a GPU need.", remedy="pip install 'divfast[gpu]'"
        ) from None
    return launching.runs_on(rows)


def _out(rows: torch.Tensor) -> torch.dtype:
    return torch.float64 if rows.dtype == torch.float64 else torch.float32


@torch.library.custom_op("divfast::cosine", mutates_args=())
def cosine(
    rows: torch.Tensor, groups: torch.Tensor, max_k: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the mean cosine of the pairs of every group, and each row's mean and maximum with the others."""
    if _kernels(rows):
        from divfast.kernels import cosine as kernel

        if rows.shape[1] <= kernel.WIDEST:
            exact = torch.float64 if rows.dtype == torch.float64 else torch.float32
            found = kernel.cosine(rows, groups, per_row=True, accumulator=exact)
            assert found.row_mean is not None and found.row_max is not None
            return found.mean.to(_out(rows)), found.row_mean, found.row_max
    mean, row_mean, row_max = padded.cosine(rows.to(_out(rows)), groups, max_k)
    return mean, row_mean, row_max


@cosine.register_fake
def _(rows: torch.Tensor, groups: torch.Tensor, max_k: int) -> Any:
    n, g = len(rows), len(groups) - 1
    return tuple(rows.new_empty(size, dtype=_out(rows)) for size in (g, n, n))


def _cosine_context(ctx: Any, inputs: Any, output: Any) -> None:
    rows, groups, _ = inputs
    ctx.save_for_backward(rows, groups)
    ctx.mark_non_differentiable(output[2])


def _cosine_backward(ctx: Any, of_mean: Any, of_row_mean: Any, _: Any) -> Any:
    rows, groups = ctx.saved_tensors
    n, d = rows.shape
    group = padded.group_of_rows(groups, n)
    outside = (group == len(groups) - 1)[:, None]
    e, length = _unit_or_zero(rows.to(_out(rows)))
    count = torch.cat([groups.diff(), groups.new_ones(1)])[group][:, None]
    weight = of_row_mean[:, None] + torch.cat([of_mean, of_mean.new_zeros(1)])[group][:, None] / count
    weight = torch.where(outside, 0, weight)
    sums = e.new_zeros(2, len(groups), d)
    total = sums[0].index_add(0, group, e)[group]
    weighted = sums[1].index_add(0, group, weight * e)[group]
    slope = (weight * (total - e) + weighted - weight * e) / (count - 1).clamp(min=1)
    return _along_the_sphere(slope, e, length).to(rows.dtype), None, None


cosine.register_autograd(_cosine_backward, setup_context=_cosine_context)


def _unit_or_zero(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows of length 1 and their lengths; zero and 1 for rows without direction, lest they spoil a sum."""
    length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True)
    defined = (length > 0) & torch.isfinite(length)
    length = torch.where(defined, length, 1)
    return torch.where(defined, rows / length, 0), length


def _along_the_sphere(slope: torch.Tensor, e: torch.Tensor, length: torch.Tensor) -> torch.Tensor:
    """Return the gradient to rows from that to their directions."""
    return (slope - (slope * e).sum(-1, keepdim=True) * e) / length


@torch.library.custom_op("divfast::vendi", mutates_args=())
def vendi(rows: torch.Tensor, groups: torch.Tensor, max_k: int, q: float) -> torch.Tensor:
    """Return the order-q Vendi Score of every group."""
    if _kernels(rows):
        from divfast.kernels import vendi as kernel

        if max_k <= kernel.LARGEST:
            return kernel.vendi(rows, groups, q=q, max_k=max_k).to(_out(rows))
    return padded.vendi(rows.to(_out(rows)), groups, max_k, q)


@vendi.register_fake
def _(rows: torch.Tensor, groups: torch.Tensor, max_k: int, q: float) -> torch.Tensor:
    return rows.new_empty(len(groups) - 1, dtype=_out(rows))


def _vendi_context(ctx: Any, inputs: Any, output: Any) -> None:
    rows, groups, ctx.max_k, ctx.q = inputs
    ctx.save_for_backward(rows, groups)


def _vendi_backward(ctx: Any, of_score: Any) -> Any:
    rows, groups = ctx.saved_tensors
    block, inside = padded.pad(rows.to(_out(rows)), groups, ctx.max_k)
    e, length = _unit_or_zero(block)
    slope = 2 * effective_number_slope(e @ e.mT, ctx.q) @ e
    # A group without a score adds nothing, unless its score was asked for.
    slope = torch.where(of_score[:, None, None] == 0, 0, slope * of_score[:, None, None])
    slope = _along_the_sphere(slope, e, length)
    # Every row has one place at most; all places that are none are added to a row behind the last.
    place = torch.where(inside, groups[:-1, None] + torch.arange(ctx.max_k, device=rows.device), len(rows))
    out = slope.new_zeros(len(rows) + 1, rows.shape[1])
    out = out.index_add(0, place.reshape(-1), slope.reshape(-1, rows.shape[1]))
    return out[:-1].to(rows.dtype), None, None, None


vendi.register_autograd(_vendi_backward, setup_context=_vendi_context)


@torch.library.custom_op("divfast::effective_number", mutates_args=())
def effective_number(products: torch.Tensor, q: float) -> torch.Tensor:
    """Return the order-q effective number of the eigenvalues of every matrix, ``[b, k, k]`` to ``[b]``."""
    if _kernels(products):
        from divfast.kernels import vendi as kernel

        if products.shape[-1] <= kernel.LARGEST:
            return kernel.spectrum(products, q=q).to(products.dtype)
    return padded.spectrum(products, q)


@effective_number.register_fake
def _(products: torch.Tensor, q: float) -> torch.Tensor:
    return products.new_empty(len(products))


@torch.library.custom_op("divfast::effective_number_slope", mutates_args=())
def effective_number_slope(products: torch.Tensor, q: float) -> torch.Tensor:
    """Return the derivatives of `effective_number` by the elements of its matrices."""
    if _kernels(products):
        from divfast.kernels import vendi as kernel

        if products.shape[-1] <= kernel.LARGEST:
            return kernel.spectrum(products, q=q, gradient=True)
    return padded.spectrum(products, q, gradient=True)


@effective_number_slope.register_fake
def _(products: torch.Tensor, q: float) -> torch.Tensor:
    return torch.empty_like(products)


def _number_context(ctx: Any, inputs: Any, output: Any) -> None:
    products, ctx.q = inputs
    ctx.save_for_backward(products)


def _number_backward(ctx: Any, of_score: Any) -> Any:
    (products,) = ctx.saved_tensors
    of_score = of_score[:, None, None]
    slope = effective_number_slope(products, ctx.q)
    return torch.where(of_score == 0, 0, slope * of_score), None


effective_number.register_autograd(_number_backward, setup_context=_number_context)
