"""Diversity of samples as functions of tensors, with gradients to their embeddings: for rewards and losses.

They run where the embeddings are: Triton kernels on a GPU, plain torch on the CPU. Where `groups` is a number or
`max_k` is given, nothing waits for the device, and ``torch.compile`` takes them whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from divfast.errors import DataError, MetricError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["cosine_distance", "leave_one_out_cosine", "leave_one_out_vendi", "nearest_cosine", "vendi_score"]


def _grouped(embeddings: Any, groups: Any, max_k: int | None) -> tuple[Any, Any, int]:
    """Return rows, offsets of groups where the rows are, and the rows of the largest group."""
    import torch

    if not isinstance(embeddings, torch.Tensor):
        raise DataError(
            f"embeddings must be a tensor, got {type(embeddings).__name__}.",
            remedy="Stack vectors of one dimension with torch.stack.",
        )
    if embeddings.dim() == 3 and groups is None:
        groups = embeddings.shape[1]
        embeddings = embeddings.flatten(0, 1)
    if embeddings.dim() != 2 or not embeddings.is_floating_point():
        raise DataError(
            f"embeddings must be [n, d] or [g, k, d] of floats, got {list(embeddings.shape)} of {embeddings.dtype}.",
            remedy="Stack vectors of one dimension.",
        )
    n = len(embeddings)
    if groups is None:
        groups = n
    if isinstance(groups, int):
        if groups < 1 or n % groups:
            raise DataError(
                f"{n} rows are no groups of {groups} each.",
                remedy="Give offsets of the groups, int64[g + 1].",
            )
        return embeddings, torch.arange(0, n + 1, groups, device=embeddings.device), groups
    if groups.dim() != 1 or groups.dtype != torch.int64 or not len(groups):
        raise DataError(
            f"groups must be int64[g + 1], got {list(groups.shape)} of {groups.dtype}.",
            remedy="Give where the rows of each group begin, and where the last ones end.",
        )
    if max_k is None:
        max_k = int(groups.diff().amax()) if len(groups) > 1 else 0
    return embeddings, groups.to(embeddings.device, non_blocking=True), max_k


def _order(q: float) -> float:
    if not q > 0:
        raise MetricError(f"the order q must be greater than 0, got {q}.")
    return float(q)


def cosine_distance(
    embeddings: Tensor, groups: Tensor | int | None = None, max_k: int | None = None
) -> Tensor:
    """Return one minus the mean cosine of all pairs of every group.

    Parameters
    ----------
    embeddings : torch.Tensor
        ``[n, d]``, float32, bfloat16, float16 or float64, of any length each; or ``[g, k, d]`` without `groups`.
    groups : torch.Tensor or int, optional
        ``int64[g + 1]``, rows of each group; or how many rows each of them has. By default one group.
    max_k : int, optional
        Rows of the largest group; larger ones are NaN. Found in `groups` by default, which waits for the device where
        they lie there, and which ``torch.compile`` cannot trace.

    Returns
    -------
    torch.Tensor
        ``float32[g]`` (float64 of float64), in [0, K / (K - 1)]; NaN for a group of fewer than two rows, or with a row
        that is zero or not finite.

    Notes
    -----
    One pass over the rows, O(n d). Sums over the dimensions in float32. The gradient is of first order.

    Examples
    --------
    >>> import torch
    >>> from divfast.training import cosine_distance
    >>> cosine_distance(torch.tensor([[1.0, 0], [1, 0], [0, 1]]))  # three pairs, at distance 0, 1 and 1
    tensor([0.6667])
    """
    from divfast.kernels import ops

    rows, offsets, largest = _grouped(embeddings, groups, max_k)
    return 1 - ops.cosine(rows, offsets, largest)[0]


def nearest_cosine(
    embeddings: Tensor, groups: Tensor | int | None = None, max_k: int | None = None
) -> Tensor:
    """Return the cosine of every row with the most similar other row of its group, ``[n]``; without a gradient.

    Parameters and undefined values are those of `cosine_distance`.

    Examples
    --------
    >>> import torch
    >>> from divfast.training import nearest_cosine
    >>> nearest_cosine(torch.tensor([[1.0, 0], [1, 0], [0, 1]]))
    tensor([1., 1., 0.])
    """
    from divfast.kernels import ops

    rows, offsets, largest = _grouped(embeddings, groups, max_k)
    return ops.cosine(rows, offsets, largest)[2]


def vendi_score(
    embeddings: Tensor, groups: Tensor | int | None = None, max_k: int | None = None, *, q: float = 1.0
) -> Tensor:
    """Return the order-q Vendi Score of every group, the effective number of its rows.

    Parameters
    ----------
    embeddings, groups, max_k
        As in `cosine_distance`.
    q : float
        Order, in (0, inf].

    Returns
    -------
    torch.Tensor
        ``float32[g]`` (float64 of float64), in [1, min(K, d)]; NaN for a group of no row, or with one that is zero or
        not finite.

    Notes
    -----
    O(n K d) for the matrices of similarities, O(K^3) for eigenvalues. Groups of more than 128 rows go through
    ``torch.linalg.eigvalsh``, which waits for the device. The gradient is of first order; eigenvalues that count as
    zero add nothing to it.

    Examples
    --------
    >>> import torch
    >>> from divfast.training import vendi_score
    >>> vendi_score(torch.tensor([[[1.0, 0], [0, 1]], [[1, 1], [1, 1]]]))
    tensor([2., 1.])
    """
    from divfast.kernels import ops

    rows, offsets, largest = _grouped(embeddings, groups, max_k)
    return ops.vendi(rows, offsets, largest, _order(q))


def leave_one_out_cosine(
    embeddings: Tensor, groups: Tensor | int | None = None, max_k: int | None = None
) -> Tensor:
    """Return how much every row adds to the mean cosine distance of its group: with it, less without it.

    Parameters
    ----------
    embeddings, groups, max_k
        As in `cosine_distance`.

    Returns
    -------
    torch.Tensor
        ``float32[n]`` (float64 of float64), positive for a row that is farther from the others than they are from each
        other; their sum over a group is 0. NaN in a group of fewer than three rows.

    Notes
    -----
    ``2 (m - m_i) / (K - 2)`` with the mean cosine m of all pairs, and m_i of the pairs with row i. O(n d).

    Examples
    --------
    >>> import torch
    >>> from divfast.training import leave_one_out_cosine
    >>> leave_one_out_cosine(torch.tensor([[1.0, 0], [1, 0], [0, 1]]))  # 2/3 less 1, 1 and 0
    tensor([-0.3333, -0.3333,  0.6667])
    """
    import torch

    from divfast.kernels import ops, padded

    rows, offsets, largest = _grouped(embeddings, groups, max_k)
    mean, row_mean, _ = ops.cosine(rows, offsets, largest)
    group = padded.group_of_rows(offsets, len(rows))
    count = torch.cat([offsets.diff(), offsets.new_zeros(1)])[group]
    mean = torch.cat([mean, mean.new_full((1,), torch.nan)])[group]
    added = 2 * (mean - row_mean) / (count - 2).clamp(min=1)
    return torch.where(count > 2, added, torch.nan)


def leave_one_out_vendi(
    embeddings: Tensor, groups: Tensor | int | None = None, max_k: int | None = None, *, q: float = 1.0
) -> Tensor:
    """Return how much every row adds to the Vendi Score of its group: with it, less without it.

    Parameters
    ----------
    embeddings, groups, max_k, q
        As in `vendi_score`.

    Returns
    -------
    torch.Tensor
        ``float32[n]`` (float64 of float64); negative for a row that repeats others. NaN in a group of one row.

    Notes
    -----
    The spectrum of every group without each of its rows: O(n K^3) time, ``n K^2`` numbers of memory.

    Examples
    --------
    >>> import torch
    >>> from divfast.training import leave_one_out_vendi
    >>> leave_one_out_vendi(torch.tensor([[1.0, 0], [0, 1]]))  # 2 less 1
    tensor([1., 1.])
    """
    import torch

    from divfast.kernels import ops, padded

    rows, offsets, largest = _grouped(embeddings, groups, max_k)
    wide = rows if rows.dtype == torch.float64 else rows.float()
    block, inside = padded.pad(wide, offsets, largest)
    e = padded.unit(block, inside)
    products = e @ e.mT
    others = 1 - torch.eye(largest, dtype=e.dtype, device=e.device)
    without = products[:, None] * others[:, :, None] * others[:, None, :]
    rest = ops.effective_number(without.flatten(0, 1), _order(q)).unflatten(0, (-1, largest))
    whole = ops.effective_number(products, _order(q))
    return padded.unpad(whole[:, None] - rest, offsets, len(rows))
