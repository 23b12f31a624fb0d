"""Cases of semantic clusters: from vectors in memory to labels."""

from __future__ import annotations

from itertools import chain, pairwise

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.clusters.corpus import cluster_rows
from divfast.clusters.recipe import Recipe
from divfast.samples import Samples
from divfast.throughput import inputs
from divfast.throughput.case import Absent, Case, Goal, Implementation, Place, Prepared, Tolerance
from divfast.throughput.peers import minilm_folder

_TAU = 0.9
# Copies of a text lie about this far apart in each of 384 dimensions: at 0.98 of one another.
_NOISE = 0.007
# What looks at every pair in Python, or holds all of them.
_FEW = 20_000


def _vectors(place: Place, *, samples: int, distinct: int) -> NDArray[np.float32]:
    """Return embeddings of different texts of real dumps, over and over again with a little noise."""
    read = chain.from_iterable(
        chain.from_iterable(inputs.dump_texts(path))
        for path in sorted(inputs.folder(place, "cruxeval").glob("*.jsonl.gz"))
    )
    texts = list(dict.fromkeys(read))
    random = np.random.default_rng(inputs.SEED)
    wanted = random.choice(len(texts), min(distinct, samples, len(texts)), replace=False)
    minilm_folder()
    from divfast.views.vectors import open_encoder

    seeds = open_encoder("minilm").build(Samples.from_lists([[texts[i] for i in wanted.tolist()]]))
    rows = np.empty((samples, seeds.shape[1]), np.float32)
    for start in range(0, samples, len(seeds)):
        part = rows[start : start + len(seeds)]
        part[:] = seeds[: len(part)]
        if start:
            part += _NOISE * random.standard_normal(part.shape, np.float32)
            part /= np.linalg.norm(part, axis=1, keepdims=True)
    return rows


def _recipe(method: str, k: int | None = None) -> Recipe:
    return Recipe("pooled", method, _TAU, k, "auto", 4, 0)


def _sizes(labels: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    _, counts = np.unique(labels, return_counts=True)
    return {"clusters": np.array([float(len(counts))]), "largest": np.array([float(counts.max())])}


def _components(place: Place, *, samples: int, distinct: int) -> Prepared:
    rows = _vectors(place, samples=samples, distinct=distinct)
    return Prepared(lambda: cluster_rows(rows, _recipe("threshold"))[0], _sizes, {"samples": samples})


def _dbscan(place: Place, *, samples: int, distinct: int) -> Prepared:
    if samples > _FEW:
        raise Absent(f"holds the neighbours of every sample, too many of more than {_FEW:,}")
    try:
        from sklearn.cluster import DBSCAN
    except ImportError:
        raise Absent("scikit-learn is not installed") from None
    rows = _vectors(place, samples=samples, distinct=distinct)
    # Where one neighbour makes a core, clusters are the components of the graph.
    peer = DBSCAN(eps=1 - _TAU, min_samples=1, metric="cosine", algorithm="brute", n_jobs=engine.threads())
    return Prepared(lambda: peer.fit(rows).labels_, _sizes, {"samples": samples})


def _kmeans(place: Place, *, samples: int, distinct: int, k: int) -> Prepared:
    rows = _vectors(place, samples=samples, distinct=distinct)
    return Prepared(
        lambda: cluster_rows(rows, _recipe("kmeans", k))[0],
        lambda labels: _inertia(rows, labels),
        {"samples": samples},
    )


def _kmeans_sklearn(place: Place, *, samples: int, distinct: int, k: int) -> Prepared:
    if samples > 10 * _FEW:
        raise Absent("takes an hour of so many samples")
    try:
        from sklearn.cluster import KMeans
    except ImportError:
        raise Absent("scikit-learn is not installed") from None
    rows = _vectors(place, samples=samples, distinct=distinct)
    peer = KMeans(k, n_init=1, max_iter=20, random_state=0)
    return Prepared(
        lambda: peer.fit(rows).labels_, lambda labels: _inertia(rows, labels), {"samples": samples}
    )


def _inertia(rows: NDArray[np.float32], labels: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return the mean similarity of rows to the mean of their cluster: what k-means makes large."""
    _, own = np.unique(labels, return_inverse=True)
    sums = np.zeros((own.max() + 1, rows.shape[1]))
    for column in range(rows.shape[1]):
        sums[:, column] = np.bincount(own, rows[:, column])
    # Members' products with the direction of their sum add up to its length.
    return {"mean similarity": np.array([np.linalg.norm(sums, axis=1).sum() / len(rows)])}


def _led(labels: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    """Return how many samples lead: of a million pairs some are as near to tau as float32 is exact."""
    return {"leaders": np.array([len(np.unique(labels))], np.float64)}


def _leaders(place: Place, *, prompts: int, samples: int, dimensions: int) -> Prepared:
    rows = inputs.unit_vectors(prompts * samples, dimensions)
    groups = np.arange(0, len(rows) + 1, samples)
    return Prepared(
        lambda: _core.group_leaders(rows, groups, 0.6, threads=engine.threads()),
        _led,
        {"samples": len(rows)},
    )


def _leaders_loop(place: Place, *, prompts: int, samples: int, dimensions: int) -> Prepared:
    rows = inputs.unit_vectors(prompts * samples, dimensions)
    groups = range(0, len(rows) + 1, samples)

    def run() -> NDArray[np.int64]:
        labels = []
        for start, stop in pairwise(groups):
            leaders: list[int] = []
            for i in range(start, stop):
                match = next((j for j in leaders if rows[j] @ rows[i] >= 0.6), None)
                if match is None:
                    leaders.append(i)
                labels.append(i if match is None else match)
        return np.array(labels, np.int64)

    return Prepared(run, _led, {"samples": len(rows)})


_PACKAGES = ("numpy", "faiss-cpu")
_SIZES = tuple({"samples": n, "distinct": 20_000} for n in (10_000, 100_000, 1_000_000))
_QUICK = {"samples": 400, "distinct": 200}

CASES = (
    Case(
        "cluster",
        "components of the graph of all samples at least 0.9 alike, from embeddings in memory; past 32,768 by an index",
        _SIZES,
        _QUICK,
        (
            Implementation("divfast", _components, _PACKAGES),
            Implementation("scikit-learn DBSCAN", _dbscan, ("scikit-learn", "numpy")),
        ),
        # A pair at the threshold may fall on either side of it.
        Tolerance(relative=2e-3),
        Goal(seconds=600, peak=12e9),
    ),
    Case(
        "cluster-kmeans",
        "k-means of all samples, from embeddings in memory, to the same mean similarity",
        tuple({**size, "k": 200} for size in _SIZES),
        {**_QUICK, "k": 8},
        (
            Implementation("divfast", _kmeans, _PACKAGES),
            Implementation("scikit-learn KMeans", _kmeans_sklearn, ("scikit-learn", "numpy")),
        ),
        Tolerance(relative=0.03),
        Goal(seconds=600, peak=12e9),
    ),
    Case(
        "cluster-leader",
        "greedy leaders of every prompt, from vectors in memory; beside it the loop over leaders",
        (
            {"prompts": 6250, "samples": 16, "dimensions": 384},
            {"prompts": 62_500, "samples": 16, "dimensions": 384},
        ),
        {"prompts": 20, "samples": 16, "dimensions": 64},
        (
            Implementation("divfast", _leaders, ("numpy",)),
            Implementation("loop over leaders", _leaders_loop, ("numpy",)),
        ),
        Tolerance(relative=1e-4),
    ),
)
