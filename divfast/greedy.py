"""Greedy subsets of vectors: farthest first, or the highest Vendi Score, on any backend."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.backends import BACKENDS
from divfast.errors import BackendError, MetricError, nearest

METHODS = ("k_centre", "vendi")
SCOPES = ("pooled", "prompt")
# Beyond them the search could leave no sample out, or would count eigenvalues that are rounding of zero.
LOWEST_ORDER, HIGHEST_ORDER = 0.5, 2.0
# How many prompts are done between two reports of progress.
_PROMPTS = 4096


class Greedy(Protocol):
    """A subset of rows that grows by the cheapest row; no cost falls when a row is taken."""

    def central(self) -> int:
        """Return the row nearest to the mean of all, -1 where there are none."""

    def take(self, row: int) -> None:
        """Take a row into the subset."""

    def cheapest(self) -> tuple[int, float]:
        """Return the row to be taken next, the first of equals, and its cost; -1 where none is left."""


@dataclass(frozen=True)
class Picks:
    """What was picked of every group, in the order of picking.

    Attributes
    ----------
    rows : numpy.ndarray
        ``int64[m]``, those of group g from ``bounds[g]`` to ``bounds[g + 1]``.
    bounds : numpy.ndarray
        ``int64[g + 1]``.
    values : numpy.ndarray
        ``float64[m]``. k_centre: one minus the cosine with the nearest row picked before, NaN for the first. vendi: the
        score of the subset up to here.
    """

    rows: NDArray[np.int64]
    bounds: NDArray[np.int64]
    values: NDArray[np.float64]


@dataclass(frozen=True)
class Recipe:
    """What decides which samples are picked, and what the subset is judged by; see `divfast.selection.select`."""

    k: int
    method: str
    q: float
    scope: str
    draws: int
    seed: int

    def __post_init__(self) -> None:
        for name, value, known in (("method", self.method, METHODS), ("scope", self.scope, SCOPES)):
            if value not in known:
                raise MetricError(f"{name} cannot be {value!r}.", remedy=nearest(value, known))
        for name, count, least in (("k", self.k, 1), ("draws", self.draws, 0)):
            if count < least:
                raise MetricError(f"{name} must be at least {least}, got {count:,}.")
        if not self.q > 0:
            raise MetricError(f"q must be greater than 0 (inf is allowed), got {self.q:g}.")
        if self.method == "vendi" and not LOWEST_ORDER <= self.q <= HIGHEST_ORDER:
            raise MetricError(
                f"greedy Vendi is made for orders from {LOWEST_ORDER} to {HIGHEST_ORDER:g}, got {self.q:g}.",
                remedy="Name a --q among them, or take --method k_centre, which has no order.",
            )

    @property
    def canonical(self) -> str:
        """The recipe with every parameter that changes a number, as it stands in a signature."""
        return f"select:method={self.method},k={self.k},q={self.q:g}"

    @property
    def cost(self) -> str:
        """What a row costs, as the compiled code names it."""
        if self.method == "k_centre":
            return "distance"
        return "cosines" if self.q == 2 else "spectrum"


def find_backend(backend: str, scope: str) -> str:
    """Return where rows are picked: ``reference``, ``cpu`` or ``cuda``.

    Raises
    ------
    BackendError
        Where `backend` is named and cannot run here.
    """
    if backend not in ("auto", *BACKENDS):
        raise BackendError(f"unknown backend {backend!r}.", remedy=nearest(backend, ("auto", *BACKENDS)))
    if backend == "cuda":
        if not _has_cuda():
            raise BackendError("torch finds no CUDA device here.", remedy="Use --backend auto.")
        return backend
    if backend != "auto":
        return backend
    # To ask torch takes seconds, not spent where there is no driver. A prompt's samples are too few for a GPU.
    likely = "torch" in sys.modules or Path("/proc/driver/nvidia").exists()
    return "cuda" if scope == "pooled" and likely and _has_cuda() else "cpu"


def _has_cuda() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return bool(torch.cuda.is_available())


def pick(
    rows: NDArray[np.float32],
    groups: NDArray[np.int64],
    recipe: Recipe,
    backend: str,
    progress: Callable[[int, int | None, str], None] | None = None,
) -> Picks:
    """Pick up to k rows of every group.

    Parameters
    ----------
    rows : numpy.ndarray
        ``float32[n, d]``, unit rows, C order.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    recipe : Recipe
        ``k``, ``method`` and ``q`` of it.
    backend : {"cpu", "cuda", "reference"}
        As `find_backend` says.
    progress : callable, optional
        Called as ``progress(done, total, unit)``.
    """
    most = int(np.diff(groups).max(initial=0))
    k = min(recipe.k, most)
    if k == 0 or rows.shape[1] == 0:
        return Picks(np.zeros(0, np.int64), np.zeros(len(groups), np.int64), np.zeros(0))
    parts: list[tuple[NDArray[np.int64], NDArray[np.float64]]] = []
    if backend == "cpu" and len(groups) > 2:
        g = len(groups) - 1
        for start in range(0, g, _PROMPTS):
            some = groups[start : start + _PROMPTS + 1]
            taken, costs = _core.greedy_groups(rows, some, k, recipe.cost, recipe.q, engine.threads())
            parts += [(of[of >= 0], cost[of >= 0]) for of, cost in zip(taken, costs, strict=True)]
            if progress:
                progress(min(g, start + _PROMPTS), g, "prompts")
    else:
        for start, stop in pairwise(groups.tolist()):
            found, costs = _grow(_open(rows[start:stop], recipe, backend), k, progress)
            parts.append((found + start, costs))
    sizes = [len(found) for found, _ in parts]
    values = np.concatenate([_values(costs, recipe) for _, costs in parts])
    return Picks(
        np.concatenate([found for found, _ in parts]), np.cumsum([0, *sizes]).astype(np.int64), values
    )


def _open(rows: NDArray[np.float32], recipe: Recipe, backend: str) -> Greedy:
    if backend == "reference":
        from divfast.reference import selection

        return selection.Greedy(rows, recipe.cost, recipe.q)
    if backend == "cuda":
        from divfast.greedy_torch import TorchGreedy

        return TorchGreedy(rows, recipe.cost, recipe.q)
    return _core.Greedy(rows, recipe.cost, recipe.q, engine.threads())


def _grow(
    subset: Greedy, k: int, progress: Callable[[int, int | None, str], None] | None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return up to k rows in the order of picking, and their costs: NaN for the first."""
    taken: list[int] = []
    costs: list[float] = []
    row, cost = subset.central(), np.nan
    while row >= 0:
        taken.append(row)
        costs.append(cost)
        if len(taken) == k:
            break
        subset.take(row)
        row, cost = subset.cheapest()
        if progress:
            progress(len(taken), k, "picks")
    return np.array(taken, np.int64), np.array(costs, np.float64)


def _values(costs: NDArray[np.float64], recipe: Recipe) -> NDArray[np.float64]:
    """Return what `Picks.values` holds from costs; those of Vendi add up to tr f of the matrix of cosines."""
    m = np.arange(1, len(costs) + 1, dtype=np.float64)
    total = np.cumsum(np.where(np.isnan(costs), 0.0, costs))
    values: NDArray[np.float64]
    if recipe.cost == "distance":
        values = -costs / 2
    elif recipe.cost == "cosines":
        values = m**2 / (m + 2 * total)
    elif recipe.q == 1:
        values = m * np.exp(-total / m)
    else:
        powers = (m + (recipe.q - 1) * total) / m**recipe.q
        values = powers ** (1 / (1 - recipe.q))
    return values


def covering_radius(
    rows: NDArray[np.float32],
    groups: NDArray[np.int64],
    chosen: NDArray[np.int64],
    bounds: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Return for every group one minus the cosine of the row that is farthest from all chosen ones, ``float64[g]``.

    NaN where there is no row or none is chosen. The chosen rows of group g are ``chosen[bounds[g]:bounds[g + 1]]``.
    """
    return _core.covering_radius(rows, groups, chosen, bounds, engine.threads()) / 2
