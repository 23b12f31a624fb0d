"""Clusters among all rows: every pair compared while that is cheap, those of an inverted file past that."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.clusters.inverted import InvertedFile, Pairs, faiss_threads, nearest_centroids, trained
from divfast.clusters.recipe import Recipe
from divfast.duplicate_clusters import first_rows
from divfast.errors import BackendError, MetricError
from divfast.similarity import join

# Up to here all pairs take less time than an index does; up to there one may wait for them where there is no FAISS.
FLAT_ROWS = 1 << 15
MOST_FLAT_ROWS = 1 << 18
# Rounding of float32 rows and sums: two rows that are the same may come out this far from 1.
SLACK = 1e-6
_ROUNDS = 20
_TRAINED_PER_CENTROID = 256
_PAIR_BYTES = 16
_MOST_PAIRS = 1 << 27


@dataclass(frozen=True)
class Search:
    """How pairs were found.

    Attributes
    ----------
    index : str
        ``flat``, or ``ivf/lists=1000/probes=4/rs=0``.
    recall : float
        Share of pairs that were found, measured on a sample of rows; 1 where every pair was compared, NaN where the
        sample had none.
    """

    index: str
    recall: float


FLAT = Search("flat", 1.0)


def has_faiss() -> bool:
    """Whether FAISS is installed."""
    return importlib.util.find_spec("faiss") is not None


def cluster_rows(rows: NDArray[np.float32], recipe: Recipe) -> tuple[NDArray[np.int64], Search]:
    """Return for every row the first row of its cluster, ``int64[n]``, and how pairs were found.

    Parameters
    ----------
    rows : numpy.ndarray
        ``float32[n, d]``, unit rows.
    recipe : Recipe
        Its scope is not looked at.
    """
    if not len(rows):
        return np.zeros(0, np.int64), FLAT
    if recipe.method == "kmeans":
        return _kmeans(rows, recipe), FLAT
    # Rows that are the same are one: thousands of copies would have millions of pairs.
    bounds = np.arange(len(rows) + 1) * (rows.shape[1] * rows.itemsize)
    bytes_ = np.ascontiguousarray(rows).reshape(-1).view(np.uint8)
    distinct, inverse = np.unique(
        _core.first_equal(bytes_, bounds, threads=engine.threads()), return_inverse=True
    )
    different = rows if len(distinct) == len(rows) else rows[distinct]
    labels, search = _of_different(different, recipe)
    return distinct[labels][inverse], search


def _of_different(rows: NDArray[np.float32], recipe: Recipe) -> tuple[NDArray[np.int64], Search]:
    n, tau = len(rows), recipe.tau - SLACK
    pairs = _every_pair(rows, tau, recipe)
    if pairs is not None:
        return (_components(n, pairs) if recipe.method == "threshold" else _leaders(n, pairs)), FLAT
    file = InvertedFile(rows, recipe.probes, recipe.seed)
    if recipe.method == "threshold":
        grown = _core.Components(n)

        def unite(of_list: Iterator[Pairs]) -> None:
            for left, right in of_list:
                grown.unite(left, right)

        for _ in engine.map_ordered(unite, file.pairs(tau)):
            pass
        labels = grown.roots()
    else:
        labels = _leaders(n, _in_order(file, tau, n))
    words = f"ivf/lists={file.lists}/probes={file.probes}/rs={recipe.seed}"
    return labels, Search(words, file.recall(tau))


def _every_pair(rows: NDArray[np.float32], tau: float, recipe: Recipe) -> Iterator[Pairs] | None:
    """Return all pairs at least as alike as tau, in order; None where an index is to find most of them."""
    n = len(rows)
    wanted = recipe.index == "flat" or (recipe.index == "auto" and n <= FLAT_ROWS)
    if recipe.index == "auto" and not wanted and not has_faiss():
        if (found := gpu_pairs(rows, tau)) is not None:
            return found
        if n > MOST_FLAT_ROWS:
            raise BackendError(
                f"an index over {n:,} samples needs FAISS, which is not installed.",
                remedy="pip install 'divfast[cluster]', or compare all pairs with --index flat, which takes hours.",
            )
        wanted = True
    return ((left, right) for left, right, _ in join(rows, tau)) if wanted else None


def gpu_pairs(rows: NDArray[np.float32], tau: float) -> Iterator[Pairs] | None:
    """Return all pairs at least as alike as tau by a kernel of our own; None where there is no GPU for it."""
    if any(importlib.util.find_spec(name) is None for name in ("torch", "triton")):
        return None
    import torch

    if not torch.cuda.is_available():
        return None
    from divfast.kernels.join import join as kernel

    # Copied on the way: vectors in a file cannot be written to, which torch warns of.
    found = kernel(torch.tensor(np.asarray(rows), device="cuda"), tau)
    return ((left.cpu().numpy(), right.cpu().numpy()) for left, right, _ in found)


def _components(n: int, pairs: Iterator[Pairs]) -> NDArray[np.int64]:
    grown = _core.Components(n)
    for left, right in pairs:
        grown.unite(left, right)
    return grown.roots()


def _leaders(n: int, pairs: Iterator[Pairs]) -> NDArray[np.int64]:
    leaders = _core.Leaders(n)
    for left, right in pairs:
        leaders.follow(left, right)
    return leaders.first()


def _in_order(file: InvertedFile, tau: float, n: int) -> Iterator[Pairs]:
    """Yield the pairs of all lists in their order, each once; they are held until all are there."""
    limit = engine.memory()
    most = _MOST_PAIRS if limit is None else max(1, limit // (2 * _PAIR_BYTES))
    keys: list[NDArray[np.int64]] = []
    held = 0
    for of_list in file.pairs(tau):
        for left, right in of_list:
            keys.append(left * n + right)
            held += len(left)
            if held > most:
                keys = [np.unique(np.concatenate(keys))]
                held = len(keys[0])
                if held > most // 2:
                    raise MetricError(
                        f"more than {held:,} pairs are at least as alike as tau, and leaders have to hold them.",
                        remedy="Name a higher --tau, a larger --memory, or --method threshold, which holds none.",
                    )
    order = np.unique(np.concatenate([np.zeros(0, np.int64), *keys]))
    yield order // n, order % n


def _kmeans(rows: NDArray[np.float32], recipe: Recipe) -> NDArray[np.int64]:
    k = recipe.clusters_of(len(rows))
    with faiss_threads("k-means over a corpus") as faiss:
        means = trained(
            faiss, rows, k, recipe.seed, rounds=_ROUNDS, per_centroid=_TRAINED_PER_CENTROID, spread=True
        )
        own = nearest_centroids(means, rows, 1)[:, 0]
    return first_rows(own, np.int64)
