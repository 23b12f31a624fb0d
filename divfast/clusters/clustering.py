"""Samples to clusters: read, embed, cluster, score."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import divfast
from divfast import _core, engine
from divfast.clusters.corpus import FLAT, FLAT_ROWS, Search, cluster_rows
from divfast.clusters.found import SemanticClusters, scores_of
from divfast.clusters.recipe import Recipe
from divfast.dumps import AllDumps, Progress, block_limits
from divfast.duplicate_clusters import number
from divfast.errors import DataError, MetricError, os_reason
from divfast.readers import Blocks, find_dumps, read
from divfast.result import run_facts
from divfast.samples import Ragged, Samples, samples_or_paths
from divfast.views import View
from divfast.views.opening import KINDS, Sources
from divfast.views.partition import numbers_of


@dataclass
class _Seen:
    """What is kept of the samples, block by block, in the order of reading."""

    first: list[NDArray[np.int64]] = field(default_factory=list)
    medoids: list[NDArray[np.int64]] = field(default_factory=list)
    exemplars: list[Ragged] = field(default_factory=list)
    positions: list[NDArray[np.int64]] = field(default_factory=list)
    sizes: list[NDArray[np.int64]] = field(default_factory=list)
    ids: list[pa.Array] = field(default_factory=list)
    rewards: list[NDArray[np.float64]] = field(default_factory=list)
    rows: int = 0
    fingerprint: int = 0
    search: Search = FLAT


def cluster(
    source: Any,
    *,
    method: str = "threshold",
    tau: float = 0.8,
    k: int | None = None,
    scope: str = "prompt",
    encoder: str | None = None,
    dtype: str = "float32",
    embeddings: Any = None,
    index: str = "auto",
    probes: int = 4,
    reward: str = "scores",
    seed: int = 0,
    threads: int | None = None,
    memory: int | None = None,
    cache: bool = True,
    progress: Progress | None = None,
    join: bool = False,
    **reading: Any,
) -> SemanticClusters:
    """Cluster samples by what they mean, and score the clusters.

    Parameters
    ----------
    source : str, Path, Samples, list of list of str, or a list of paths
        A dump on disk, or texts in memory, one list of strings a prompt; several files only where they are parts of one
        dump (`join`).
    method : {"threshold", "leader", "kmeans"}
        ``threshold``: two samples at least as alike as `tau` are of one cluster, and chains of these. ``leader``: each
        sample in turn joins the first cluster whose first member it is at least as alike as `tau`, or begins one.
        ``kmeans``: `k` clusters around the directions of their means.
    tau : float
        Cosine similarity, from -1 to 1.
    k : int, optional
        Clusters of k-means, in every prompt or in all; by default ``sqrt(n / 2)`` of n samples.
    scope : {"prompt", "pooled"}
        Clusters among the samples of each prompt, or among all.
    encoder, dtype, embeddings, cache
        Where vectors come from; see `divfast.score`. One of `encoder` and `embeddings` is needed.
    index : {"auto", "flat", "ivf"}
        In the scope ``pooled``: ``flat`` compares all pairs; ``ivf`` those that share one of the lists of an inverted
        file of FAISS. ``auto`` is flat up to 32,768 different vectors.
    probes : int
        Lists that a sample is in; more find more pairs, and take longer.
    reward : str
        Column of the dump with the reward of every sample; where there is one, `utility_k` is scored as well.
    seed : int
        Of k-means, the index, and the bootstrap.
    threads, memory : int, optional
        Cores, and about how many bytes to work in; with `memory`, vectors go to a temporary file.
    progress : callable, optional
        Called as ``progress(done, total, unit)``; nothing is ever printed.
    join : bool
        Several dumps are parts of one: samples with the same id are one prompt's.
    **reading
        Options of `divfast.read`.

    Returns
    -------
    SemanticClusters
        One row a sample in the order of the dump, one a cluster with its exemplar, and a `divfast.Report`.

    Raises
    ------
    DivfastError
        One sentence: where, what, and the remedy.

    Notes
    -----
    Similarities are float32 and reach `tau` where they are within 1e-6 of it, so that equal texts are alike at 1. The
    exemplar is the medoid: the member with the greatest mean similarity to all members, which is the one nearest to the
    centroid. Clusters are numbered in order of appearance.

    *Prompt*: every pair of a prompt, O(K^2 d), in compiled code and on all cores; no FAISS. Prompts of more than 32,768
    samples are clustered as a corpus is.

    *Pooled*, threshold and leader: vectors that are the same are one from then on. Flat is O(n^2 d) time. The inverted
    file has ``sqrt(n)`` lists, each vector in the `probes` nearest of them, and compares within lists: O(n^1.5 d).
    The share of similar pairs that share a list is measured on 256 random samples against all, and is `recall`.
    Whatever is joined is similar; a missed pair only matters where no chain goes around it. Leaders hold all pairs,
    at least 8 bytes each; components hold none.

    *Pooled*, k-means: spherical k-means of FAISS on a sample of at most ``256 k`` vectors, then every vector is given
    to the nearest of all centroids. It may differ between machines and numbers of threads, as FAISS does.

    Memory: ``4 n d`` bytes for the vectors and the texts in the scope ``pooled``, those of a block in the scope
    ``prompt``.

    References
    ----------
    Leaders: Hartigan (1975), "Clustering Algorithms", chapter 3; as in NoveltyBench, Zhang et al. (2025), arXiv
    2504.05228. Spherical k-means: Dhillon and Modha (2001), "Concept Decompositions for Large Sparse Text Data Using
    Clustering", Machine Learning 42. Inverted files: Douze et al. (2024), "The Faiss library", arXiv 2401.08281.

    Examples
    --------
    >>> import numpy as np
    >>> vectors = np.array([[1, 0], [0.9, 0.1], [0, 1], [0, 1]])
    >>> found = cluster([["a", "a!", "b"], ["b"]], embeddings=vectors, scope="pooled")
    >>> found.samples.column("cluster").to_pylist(), found.report["distinct_k", "pooled"].value
    ([0, 0, 1, 1], 2.0)
    >>> found.table.column("text").to_pylist()
    ['a', 'b']
    """
    started = time.perf_counter()
    recipe = Recipe(scope, method, tau, k, index, probes, seed)
    sources = Sources(encoder=encoder, dtype=dtype, embeddings=embeddings, cache=cache, progress=progress)
    sources.check()
    if (remedy := KINDS["vectors"].lacking(sources)) is not None:
        raise MetricError("clusters need vectors.", remedy=remedy)
    with engine.use_threads(threads), engine.use_memory(memory), ExitStack() as stack:
        name, paths, blocks = _open(source, join, memory, reward, reading)
        view = KINDS["vectors"].open(sources)(paths[0] if paths else None)
        told = AllDumps([paths], progress).of(0) if progress is not None and paths else None
        seen = _Seen()
        rows = _Rows(stack) if scope == "pooled" else None
        rewarded: set[str] = set()
        stream = engine.ahead(blocks) if engine.threads() > 1 and isinstance(blocks, Blocks) else blocks
        for block in stream:
            _look(seen, block, view.build(block), recipe, rows)
            if reward in block.per_sample or rewarded:
                missing = np.full(seen.rows - block.rows - sum(map(len, seen.rewards)), np.nan)
                path = paths[0] if paths else None
                seen.rewards += [missing, numbers_of(block, reward, rewarded, path)]
            if told is not None and isinstance(blocks, Blocks):
                told(*blocks.position, "bytes")
        if hasattr(view, "finish"):
            view.finish(seen.rows)
        if rows is not None:
            _finish_corpus(seen, rows.matrix(), recipe)
        facts = _facts(name, blocks, seen, view)
        parts = {"part": recipe.canonical}
        if seen.search is not FLAT:
            parts["index"] = f"{seen.search.index}/recall={seen.search.recall:.4f}"
        source_of, _, vectors = view.signature.partition(":")
        parts |= {source_of: vectors, "data": f"{seen.fingerprint >> 32:08x}"}
        columns = _columns(seen)
        run = {"seed": seed, "recall": _number(seen.search.recall), "index": seen.search.index}
        report = scores_of(recipe, columns, parts, facts)
    run = run_facts(time.perf_counter() - started) | run | {"dumps": [facts]}
    return SemanticClusters(recipe, seen.search, report, run=run, **columns)


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value


def _open(
    source: Any, join: bool, memory: int | None, reward: str, reading: Mapping[str, Any]
) -> tuple[str | None, Sequence[Path], Iterable[Samples]]:
    """Return name, files and samples of the dump."""
    given = samples_or_paths(source)
    if isinstance(given, Samples):
        return None, (), [given]
    paths = find_dumps(given)
    if len(paths) > 1 and not join:
        raise MetricError(
            "several dumps cannot be clustered at once: their prompts may have the same ids.",
            remedy="Cluster them one by one, or say with --join that they are parts of one.",
        )
    limits: dict[str, Any] = {"columns": (), "sample_columns": (reward,), **block_limits(memory), **reading}
    blocks = read(paths if join else paths[0], **limits)
    return blocks.name, paths, blocks


class _Rows:
    """Vectors of a corpus: in memory, or in a temporary file where memory is limited."""

    def __init__(self, stack: ExitStack) -> None:
        self._parts: list[NDArray[np.float32]] = []
        self._file: Any = None
        self._shape = (0, 1)
        if engine.memory() is not None:
            self._file = stack.enter_context(tempfile.TemporaryFile(prefix="divfast-"))  # noqa: SIM115

    def add(self, rows: NDArray[np.float32]) -> None:
        """Take one block."""
        self._shape = (self._shape[0] + len(rows), rows.shape[1])
        if self._file is None:
            self._parts.append(rows)
            return
        try:
            self._file.write(np.ascontiguousarray(rows).data)
        except OSError as error:
            raise DataError(
                f"the vectors do not fit the memory and cannot be kept in a temporary file: {os_reason(error)}.",
                remedy="Set TMPDIR to a folder with room, or leave out --memory.",
            ) from None

    def matrix(self) -> NDArray[np.float32]:
        """Return all rows, once."""
        if not self._shape[0]:
            return np.zeros(self._shape, np.float32)
        if self._file is not None:
            self._file.flush()
            return np.memmap(self._file, np.float32, "r", shape=self._shape)
        whole = np.empty(self._shape, np.float32)
        start = 0
        # From the front, so that what is copied can go.
        self._parts.reverse()
        while self._parts:
            part = self._parts.pop()
            whole[start : start + len(part)] = part
            start += len(part)
        return whole


def _look(
    seen: _Seen, block: Samples, vectors: NDArray[np.float32], recipe: Recipe, rows: _Rows | None
) -> None:
    """Take the samples of one block."""
    text = block.text
    seen.fingerprint = _core.fingerprint(text.values, text.offsets, block.groups, seen.fingerprint)
    if rows is not None:
        rows.add(vectors)
        seen.exemplars.append(text)
    else:
        first = _cluster_groups(seen, block, vectors, recipe)
        medoids = _medoids(vectors, first)
        seen.exemplars.append(text.take(medoids))
        seen.first.append(first + seen.rows)
        seen.medoids.append(medoids + seen.rows)
    seen.positions.append(block.positions)
    seen.sizes.append(np.diff(block.groups))
    seen.ids.append(block.ids)
    seen.rows += block.rows


def _cluster_groups(
    seen: _Seen, block: Samples, vectors: NDArray[np.float32], recipe: Recipe
) -> NDArray[np.int64]:
    """Return for every row the first row of its cluster in its group."""
    sizes, threads = np.diff(block.groups), engine.threads()
    if recipe.k is not None and np.any(few := (sizes > 0) & (sizes < recipe.k)):
        at = int(np.argmax(few))
        raise MetricError(
            f"prompt {block.ids[at].as_py()!r} has {sizes[at]} samples, fewer than k = {recipe.k}.",
            remedy="Name a smaller --k, or leave it out.",
        )
    large = np.flatnonzero(sizes > FLAT_ROWS)
    if len(large) and len(sizes) > 1:
        # A prompt this large is a block of its own unless the reader was told otherwise.
        return np.concatenate(
            [_cluster_groups(seen, one, vectors[a:b], recipe) + a for one, a, b in _one_by_one(block)]
        )
    if len(large):
        labels, seen.search = cluster_rows(vectors, recipe)
        return labels
    if recipe.method == "kmeans":
        ks = np.array([recipe.clusters_of(int(n)) for n in sizes], np.int64)
        return _core.group_kmeans(vectors, block.groups, ks, recipe.seed, threads=threads)
    find = _core.group_components if recipe.method == "threshold" else _core.group_leaders
    return find(vectors, block.groups, recipe.tau, threads=threads)


def _one_by_one(block: Samples) -> Iterable[tuple[Samples, int, int]]:
    for i in range(len(block)):
        a, b = int(block.groups[i]), int(block.groups[i + 1])
        one = Samples(
            block.text.slice(a, b),
            np.array([0, b - a]),
            block.ids.slice(i, 1),
            block.prompts.slice(i, 1),
            block.positions[a:b],
        )
        yield one, a, b


def _medoids(rows: NDArray[np.float32], first: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the medoid of every cluster, in order of appearance."""
    _, cluster_of, _ = number(first, np.int64)
    order = np.argsort(cluster_of, kind="stable")
    offsets = np.append(0, np.cumsum(np.bincount(cluster_of))).astype(np.int64)
    return _core.medoids(rows, order, offsets, threads=engine.threads())


def _finish_corpus(seen: _Seen, rows: NDArray[np.float32], recipe: Recipe) -> None:
    if recipe.k is not None and recipe.k > len(rows):
        raise MetricError(
            f"there are {len(rows):,} samples, fewer than k = {recipe.k:,}.",
            remedy="Name a smaller --k, or leave it out.",
        )
    first, seen.search = cluster_rows(rows, recipe)
    medoids = _medoids(rows, first)
    texts = Ragged.concat(seen.exemplars) if seen.exemplars else Ragged.from_strings([])
    seen.exemplars = [texts.take(medoids)]
    seen.first, seen.medoids = [first], [medoids]


def _columns(seen: _Seen) -> dict[str, Any]:
    """Return what `SemanticClusters` has, in the order of reading."""
    none = np.zeros(0, np.int64)
    first = np.concatenate([none, *seen.first])
    _, cluster_of, size = number(first, np.int64)
    sizes = np.concatenate([none, *seen.sizes])
    rewards = None
    if seen.rewards:
        known = np.concatenate(seen.rewards)
        rewards = np.append(known, np.full(seen.rows - len(known), np.nan))
    return {
        "ids": pa.chunked_array(seen.ids, pa.large_string()).combine_chunks(),
        "groups": np.append(0, np.cumsum(sizes)).astype(np.int64),
        "position": np.concatenate([none, *seen.positions]),
        "cluster": cluster_of,
        "size": size,
        "exemplar": np.concatenate([none, *seen.medoids]),
        "texts": Ragged.concat(seen.exemplars) if seen.exemplars else Ragged.from_strings([]),
        "rewards": rewards,
    }


def _facts(name: str | None, blocks: Iterable[Samples], seen: _Seen, view: View) -> dict[str, Any]:
    meta: Mapping[str, Any] = blocks.meta if isinstance(blocks, Blocks) else {}
    facts: dict[str, Any] = {"model": meta.get("model"), "task": meta.get("task"), "dump": name}
    facts |= {"prompts": sum(map(len, seen.sizes)), "samples": seen.rows}
    if isinstance(blocks, Blocks):
        facts |= {"reader": blocks.reader, "counts": dict(blocks.counts)}
        if blocks.skipped:
            facts["skipped_records"] = list(blocks.skipped)
    return facts | {"vectors": dict(view.facts), "divfast": divfast.__version__}
