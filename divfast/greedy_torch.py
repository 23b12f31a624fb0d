"""Greedy subsets of vectors on a GPU: every row is looked at for every pick, which memory there is fast enough for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.errors import BackendError

# What is made of the rows at a time, as doubles.
_TILE_BYTES = 256 << 20
_STEP, _DIGITS = 0.6, 32.0


class TorchGreedy:
    """As `divfast._core.Greedy`, on tensors; sums in float64.

    Parameters
    ----------
    rows : numpy.ndarray
        ``float32[n, d]``; copied to the device.
    cost : {"distance", "cosines", "spectrum"}
        What a row costs.
    q : float
        Order of the spectrum.
    device : str
        As torch names it.
    """

    def __init__(self, rows: NDArray[np.float32], cost: str, q: float = 1.0, device: str = "cuda") -> None:
        import torch

        self._torch: Any = torch
        self._cost = cost
        self._q = q
        try:
            self._rows = torch.tensor(rows, device=device)
        except torch.cuda.OutOfMemoryError:
            raise BackendError(
                f"{len(rows):,} vectors of {rows.shape[1]} dimensions need {rows.nbytes / 1e9:.1f} GB on the device, "
                "which has not so much left.",
                remedy="Use --backend cpu.",
            ) from None
        first = -np.inf if cost == "distance" else 0.0
        self._values = torch.full((len(rows),), first, dtype=torch.float64, device=device)
        self._taken = torch.zeros(len(rows), dtype=torch.bool, device=device)
        self._unit = torch.zeros((0, rows.shape[1]), dtype=torch.float64, device=device)

    def central(self) -> int:
        """Return the row nearest to the mean of all, -1 where there are none."""
        if not len(self._rows):
            return -1
        total = sum(tile.sum(dim=0) for _, tile in self._tiles())
        mean = total / len(self._rows)
        apart = self._torch.cat([(tile - mean).square().sum(dim=1) for _, tile in self._tiles()])
        return self._first_least(apart)[0]

    def take(self, row: int) -> None:
        """Take a row into the subset, and count what every other one costs now."""
        self._taken[row] = True
        if self._cost == "distance":
            own = self._rows[row].double()
            for part, tile in self._tiles():
                near = -(tile - own).square().sum(dim=1)
                self._values[part] = self._torch.maximum(self._values[part], near)
            return
        own = self._normalised(self._rows[row : row + 1].double())
        if self._cost == "cosines":
            for part, tile in self._tiles():
                self._values[part] += (self._normalised(tile) @ own[0]).square()
            return
        self._unit = self._torch.cat([self._unit, own])
        self._weigh()

    def cheapest(self) -> tuple[int, float]:
        """Return the row to be taken next, the first of equals, and its cost; -1 where none is left."""
        row, cost = self._first_least(self._values.masked_fill(self._taken, np.inf))
        return (-1, 0.0) if cost == np.inf else (row, cost)

    def _first_least(self, values: Any) -> tuple[int, float]:
        least = values.min()
        return int((values == least).nonzero()[0, 0]), float(least)

    def _normalised(self, tile: Any) -> Any:
        return tile / tile.norm(dim=1, keepdim=True)

    def _tiles(self, width: int = 0) -> Iterator[tuple[slice, Any]]:
        """Yield the rows as doubles, some at a time; `width` is how many more numbers are made of each."""
        step = max(1, _TILE_BYTES // (8 * (2 * self._rows.shape[1] + width)))
        for start in range(0, len(self._rows), step):
            part = slice(start, start + step)
            yield part, self._rows[part].double()

    def _weigh(self) -> None:
        """Count what every row adds to the spectrum of those taken; the formula stands in ``greedy_costs.hpp``."""
        torch, q = self._torch, self._q
        m, d = self._unit.shape
        # The smaller of the two matrices that have the same eigenvalues.
        if m <= d:
            values, vectors = torch.linalg.eigh(self._unit @ self._unit.T)
            basis = vectors.T @ self._unit
        else:
            values, vectors = torch.linalg.eigh(self._unit.T @ self._unit)
            basis = values.clamp(min=0).sqrt()[:, None] * vectors.T
        left, right = -_DIGITS / q, (_DIGITS + 2 * np.log(m + 1)) / (3 - q)
        at = torch.arange(left, right + _STEP, _STEP, dtype=torch.float64, device=self._unit.device)
        t = at.exp()
        factor = np.sinc(q - 1) * _STEP
        weights = factor * (q * at).exp()
        inverse = 1 / (values.clamp(min=0)[:, None] + t)
        more = 1 + t
        for part, tile in self._tiles(2 * m + 5 * len(t)):
            squares = (self._normalised(tile) @ basis.T).square()
            first, second = squares @ inverse, squares @ inverse.square()
            weight = squares.sum(dim=1)
            gain = t * (first + second * more) / (torch.maximum(more - first, t) * more)
            gain -= 2 * weight[:, None] * (t / more**3)
            self._values[part] = gain @ weights + q * weight
