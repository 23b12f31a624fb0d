"""Random Fourier features: vectors whose products are close to the RBF kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.gram import OuterProducts, to_rbf

_PART_BYTES = 16 << 20


class FourierProducts(OuterProducts):
    """Sum of the outer products of random Fourier features of unit rows; exact up to as many rows as features.

    Parameters
    ----------
    scale : float
        Of the kernel ``exp(-|x - y|^2 / (2 scale^2))``.
    rank, seed : int
        How many frequencies, each with a cosine and a sine, and the seed that draws them.

    Notes
    -----
    The mean of ``cos w.(x - y)`` over frequencies w from a normal distribution of deviation ``1 / scale`` is the
    kernel; `rank` of them are drawn. What is held does not depend on the cuts between blocks.

    References
    ----------
    Rahimi and Recht (2007), "Random Features for Large-Scale Kernel Machines".
    """

    def __init__(self, scale: float, rank: int, seed: int) -> None:
        super().__init__()
        self.scale = scale
        self.rank = rank
        self.seed = seed
        self._frequencies: NDArray[np.float32] | None = None

    def width(self, rows: Any) -> int:
        """Return how many features a row has."""
        return 2 * self.rank

    def features(self, rows: Any) -> Iterator[NDArray[np.floating[Any]]]:
        """Yield the features of all rows, ``float32[some, 2 rank]``, each of length 1."""
        if self._frequencies is None:
            normal = np.random.default_rng(self.seed).standard_normal((self.rank, rows.shape[1]))
            self._frequencies = np.ascontiguousarray(normal.T / self.scale, np.float32)
        step = max(1, _PART_BYTES // (8 * self.rank))
        for start in range(0, len(rows), step):
            angles = rows[start : start + step] @ self._frequencies
            yield np.concatenate([np.cos(angles), np.sin(angles)], axis=1) / np.float32(self.rank**0.5)

    def gram(self, rows: Any) -> NDArray[np.float64]:
        """Return the kernel of rows, ``float64[n, n]``."""
        kernel: NDArray[np.float64] = to_rbf(super().gram(rows)[None], self.scale)[0]
        return kernel
