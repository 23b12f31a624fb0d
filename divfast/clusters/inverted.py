"""An inverted file: rows by the centroids that they are nearest to, so that only rows of one list are compared."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import engine
from divfast.errors import BackendError
from divfast.similarity import join

Rows = NDArray[np.float32]
Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]

QUERIES = 256
_TRAINED_PER_LIST = 40
_ROUNDS = 8
_SEEDED_ROWS = 1 << 14
_STEP_BYTES = 64 << 20


@contextlib.contextmanager
def faiss_threads(why: str) -> Iterator[Any]:
    """Give FAISS, on as many threads as may be used here.

    Raises
    ------
    BackendError
        Where it is not installed; `why` says what it is needed for.
    """
    try:
        import faiss
    except ImportError:
        raise BackendError(
            f"{why} needs FAISS, which is not installed.", remedy="pip install 'divfast[cluster]'"
        ) from None
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(engine.threads())
    try:
        yield faiss
    finally:
        faiss.omp_set_num_threads(before)


def trained(
    faiss: Any, rows: Rows, k: int, seed: int, *, rounds: int, per_centroid: int, spread: bool = False
) -> Any:
    """Return spherical k-means of FAISS, trained on a seeded sample of the rows; on a GPU where FAISS has one.

    With `spread` it begins with centroids drawn apart, as k-means++ does, and not with any k rows.
    """
    size = min(len(rows), per_centroid * k)
    random = np.random.default_rng(seed)
    drawn = random.choice(len(rows), size, replace=False)
    means = faiss.Kmeans(
        rows.shape[1],
        k,
        niter=rounds,
        seed=seed & 0x7FFFFFFF,
        spherical=True,
        min_points_per_centroid=1,
        max_points_per_centroid=per_centroid,
        gpu=on_gpu(faiss),
    )
    # In the order of the dump, which is that of memory or of a file.
    sample = rows[np.sort(drawn)]
    means.train(sample, init_centroids=_apart(sample, k, random) if spread else None)
    return means


def _apart(rows: Rows, k: int, random: np.random.Generator) -> Rows:
    """Return k rows, each drawn with odds that grow with its distance to the nearest before it (k-means++)."""
    some = rows[random.permutation(len(rows))[: max(_SEEDED_ROWS, 4 * k)]]
    chosen = np.empty((k, rows.shape[1]), np.float32)
    distance = np.ones(len(some))
    for i in range(k):
        ends = np.cumsum(distance)
        # Rows that are all chosen already leave nothing to draw by: then any will do.
        at = (
            np.searchsorted(ends, random.random() * ends[-1], side="right") if ends[-1] > 0 else i % len(some)
        )
        chosen[i] = some[min(int(at), len(some) - 1)]
        distance = np.minimum(distance, np.maximum(0.0, 1.0 - some @ chosen[i]))
    return chosen


def on_gpu(faiss: Any) -> bool:
    """Whether this FAISS was built for GPUs and sees one."""
    return bool(getattr(faiss, "get_num_gpus", lambda: 0)() > 0)


def nearest_centroids(means: Any, rows: Rows, many: int) -> NDArray[np.int32]:
    """Return the `many` centroids nearest to every row, ``int32[n, many]``; compared with all of them."""
    out = np.empty((len(rows), many), np.int32)
    for part in steps(len(rows), 4 * (rows.shape[1] + 4 * many)):
        out[part] = means.index.search(np.ascontiguousarray(rows[part]), many)[1]
    return out


def steps(n: int, row_bytes: int) -> Iterator[slice]:
    """Yield slices of [0, n) whose rows take a bounded number of bytes."""
    limit = engine.memory()
    room = _STEP_BYTES if limit is None else min(_STEP_BYTES, max(1 << 20, limit // 16))
    step = max(1, room // max(1, row_bytes))
    for start in range(0, n, step):
        yield slice(start, min(n, start + step))


class InvertedFile:
    """Every row in the lists of its few nearest centroids.

    Parameters
    ----------
    rows : numpy.ndarray
        ``float32[n, d]``, unit rows; not copied.
    probes : int
        Lists that a row is in.
    seed : int
        Of the sample that centroids are trained on.

    Notes
    -----
    Two rows are compared where they share a list. There are ``sqrt(n)`` lists: finding them and comparing within them
    is O(n^1.5 d). More lists in which a row is more often find as many pairs in as many comparisons. Beside the rows:
    ``4 n probes`` bytes for the lists, 12 more while they are sorted, and the rows of as many lists as there are
    threads.
    """

    def __init__(self, rows: Rows, probes: int, seed: int) -> None:
        self._rows = rows
        self.lists = max(1, min(len(rows), round(np.sqrt(len(rows)))))
        self.probes = min(probes, self.lists)
        with faiss_threads(f"an index over {len(rows):,} samples") as faiss:
            means = trained(faiss, rows, self.lists, seed, rounds=_ROUNDS, per_centroid=_TRAINED_PER_LIST)
            self._near = nearest_centroids(means, rows, self.probes)
        self._seed = seed

    def pairs(self, tau: float) -> Iterator[Iterator[Pairs]]:
        """Yield for every list its pairs with a similarity of at least tau, the lower row first, a few at a time."""
        flat = self._near.reshape(-1)
        # Stable: the rows of a list stay in their order.
        order = np.argsort(flat, kind="stable")
        ends = np.cumsum(np.bincount(flat, minlength=self.lists))
        for start, stop in zip(np.append(0, ends[:-1]), ends, strict=True):
            yield self._within(np.asarray(order[start:stop] // self.probes, np.int64), tau)

    def _within(self, members: NDArray[np.int64], tau: float) -> Iterator[Pairs]:
        for left, right, _ in join(self._rows[members], tau):
            yield members[left], members[right]

    def recall(self, tau: float) -> float:
        """Return the share of pairs at least as alike as tau that share a list, among those of a seeded sample of rows.

        The rows of the sample are compared with all. NaN where they have no such pair.
        """
        n = len(self._rows)
        queries = np.sort(np.random.default_rng(self._seed + 1).choice(n, min(n, QUERIES), replace=False))
        wanted = self._rows[queries]
        own = self._near[queries]
        found = total = 0
        for part in steps(n, 4 * len(queries)):
            at, other = np.nonzero(wanted @ self._rows[part].T >= tau)
            other += part.start
            at, other = at[other != queries[at]], other[other != queries[at]]
            total += len(at)
            for some in steps(len(at), 8 * self.probes**2):
                shared = own[at[some], :, None] == self._near[other[some], None, :]
                found += int(shared.any(axis=(1, 2)).sum())
        return found / total if total else float("nan")
