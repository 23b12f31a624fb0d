"""What the metrics over spectra and over pairs of vectors share: Gram matrices of groups, sums of outer products."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.viewed import concat_rows, take_rows

_BATCH_BYTES = 1 << 20
# Up to here all rows of a group fit a core's cache as doubles, and BLAS takes longer to begin than to multiply.
_SMALL = 128


def equal_sizes(sizes: NDArray[np.int64], index: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield the groups of `index` in batches of one size, few enough that their matrices stay in a core's cache.

    Parameters
    ----------
    sizes, index : numpy.ndarray
        ``int64[g]``, rows of every group, and which of them to take.
    """
    order = index[np.argsort(sizes[index], kind="stable")]
    cuts = [0, *(np.flatnonzero(np.diff(sizes[order])) + 1).tolist(), len(order)]
    for first, last in pairwise(cuts):
        if first < last:
            step = max(1, _BATCH_BYTES // (8 * max(1, int(sizes[order[first]]) ** 2)))
            for start in range(first, last, step):
                yield order[start : min(last, start + step)]


def grams(
    rows: NDArray[np.float32], groups: NDArray[np.int64], index: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
    """Yield batches of the groups of `index`, with their products of all rows by all rows, ``float64[b, k, k]``."""
    for batch in equal_sizes(np.diff(groups), index):
        k = int(groups[batch[0] + 1] - groups[batch[0]])
        if k <= _SMALL:
            yield batch, _core.group_products(rows, groups[batch], k, threads=engine.threads())
        else:
            # BLAS has threads of its own; two callers of it slow each other down by far more than a half.
            vectors = [rows[groups[g] : groups[g + 1]].astype(np.float64) for g in batch.tolist()]
            yield batch, np.stack([x @ x.T for x in vectors])


def to_cosines(products: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divide products ``float64[b, k, k]`` by the lengths of their rows, in place.

    This takes out the rounding of float32 norms, so that rows which are alike have a similarity of 1.
    """
    diagonal = np.einsum("bii->bi", products)
    lengths = np.sqrt(diagonal)
    with np.errstate(invalid="ignore", divide="ignore"):
        products /= lengths[:, :, None]
        products /= lengths[:, None, :]
    diagonal[...] = np.where(np.isnan(diagonal), diagonal, 1.0)
    return products


def to_rbf(products: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Turn products of vectors into their RBF kernel in place: ``exp(-|x - y|^2 / (2 scale^2))`` of unit rows."""
    to_cosines(products)
    # What rounding leaves above a similarity of 1, a small scale would blow up.
    np.minimum(products - 1.0, 0.0, out=products)
    products /= scale
    products /= scale
    return np.exp(products, out=products)


class OuterProducts:
    """Sum of the outer products of the features of all rows: its eigenvalues are those of their Gram matrix.

    Here the features of a vector are its own numbers. Up to as many rows as there are features are kept as they are:
    their Gram matrix is the smaller one. Sums are in float64: products of float32 turn zero eigenvalues into 1e-9,
    which low orders would count.
    """

    def __init__(self) -> None:
        self.count = 0
        self.products: NDArray[np.float64] | None = None
        self.rows: list[Any] = []

    def width(self, rows: Any) -> int:
        """Return how many features a row has."""
        d: int = rows.shape[1]
        return d

    def features(self, rows: Any) -> Iterator[NDArray[np.floating[Any]]]:
        """Yield the features of all rows, ``float[some, width]``."""
        yield rows

    def gram(self, rows: Any) -> NDArray[np.float64]:
        """Return what the products of the features of rows are, or are close to, ``float64[n, n]``."""
        vectors = rows.astype(np.float64)
        product: NDArray[np.float64] = vectors @ vectors.T
        return product

    def add(self, rows: Any) -> None:
        """Take one block of rows."""
        if not len(rows):
            return
        self.count += len(rows)
        if self.products is None:
            width = self.width(rows)
            if self.count <= width:
                # Copied, so that the block these rows came from is not held on to.
                self.rows.append(take_rows(rows, np.arange(len(rows))))
                return
            self.products = np.zeros((width, width))
            for kept in self.rows:
                self._add_products(kept)
            self.rows = []
        self._add_products(rows)

    def _add_products(self, rows: Any) -> None:
        assert self.products is not None
        for some in self.features(rows):
            _core.add_outer_products(self.products, some, threads=engine.threads())

    def merge(self, other: Self) -> None:
        """Take what another one has seen."""
        if other.products is None:
            for kept in other.rows:
                self.add(kept)
            return
        mine, self.rows = self.rows, []
        self.products = other.products.copy() if self.products is None else self.products + other.products
        for kept in mine:
            self._add_products(kept)
        self.count += other.count

    def matrix(self) -> NDArray[np.float64] | None:
        """Return the smaller of two matrices with the same eigenvalues besides zeros; None where no row was seen."""
        if self.products is not None:
            upper = np.triu(self.products)
            whole: NDArray[np.float64] = upper + upper.T
            np.einsum("ii->i", whole)[...] *= 0.5
            return whole
        return self.gram(concat_rows(self.rows)) if self.rows else None
