"""Greedy subsets of vectors, every candidate tried at every step."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from divfast.reference.vendi import vendi


class Greedy:
    """A subset that grows by the cheapest row, as `divfast._core.Greedy`.

    Costs: ``distance`` is minus the squared distance to the nearest row taken; the others are those of
    `divfast.greedy`, here from the Vendi Score of the subset with the row in it.
    """

    def __init__(self, rows: ArrayLike, cost: str, q: float = 1.0) -> None:
        self._rows = np.asarray(rows, np.float64)
        self._cost = cost
        self._q = q
        self._taken: list[int] = []

    def central(self) -> int:
        """Return the row nearest to the mean of all."""
        mean = self._rows.mean(axis=0)
        return int(np.argmin(((self._rows - mean) ** 2).sum(axis=1)))

    def take(self, row: int) -> None:
        """Take a row into the subset."""
        self._taken.append(row)

    def cheapest(self) -> tuple[int, float]:
        """Return the row to be taken next, the first of equals, and its cost; -1 where none is left."""
        left = np.setdiff1d(np.arange(len(self._rows)), self._taken)
        if not len(left):
            return -1, 0.0
        if self._cost == "distance":
            apart = self._rows[left, None, :] - self._rows[None, self._taken, :]
            costs = -(apart**2).sum(axis=2).min(axis=1)
        else:
            before = self._sum(self._taken)
            costs = np.array([self._sum([*self._taken, row]) - before for row in left])
        best = int(np.argmin(costs))
        return int(left[best]), float(costs[best])

    def _sum(self, rows: list[int]) -> float:
        """Return tr f(G), where G are the cosines of some rows, from their score of order q."""
        m, q = len(rows), 2.0 if self._cost == "cosines" else self._q
        score = float(vendi(self._rows[rows], [0, m], q=q)[0])
        if self._cost == "cosines":
            return (m**2 / score - m) / 2
        if q == 1:
            return m * float(np.log(m) - np.log(score))
        return float((m**q * score ** (1 - q) - m) / (q - 1))


def covering_radius(rows: ArrayLike, chosen: ArrayLike) -> float:
    """Return the largest squared distance from a row to the nearest chosen one."""
    vectors = np.asarray(rows, np.float64)
    apart: NDArray[np.float64] = vectors[:, None, :] - vectors[None, np.asarray(chosen), :]
    return float((apart**2).sum(axis=2).min(axis=1).max())
