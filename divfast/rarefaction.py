"""Scores at equal size: what a metric is expected to be on k of the K samples of a prompt, or on n of the rows of a
corpus.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.backends import accumulator, per_group
from divfast.engine import memory
from divfast.planning import SUBSETS, Plan
from divfast.registry import Metric, MetricSpec
from divfast.samples import Ragged, Samples
from divfast.sampling import RowSample
from divfast.views.cache import content_keys

_CHUNK_BYTES = 32 << 20


@dataclass(frozen=True)
class Rarefied:
    """One metric at one size.

    Attributes
    ----------
    size : Mapping[str, int]
        ``{"k": 4}`` or ``{"n": 500}``.
    values : numpy.ndarray
        ``float64``, one a prompt, or one a draw from the corpus.
    draws : str
        How many subsets were drawn, or ``exact``.
    """

    size: Mapping[str, int]
    values: NDArray[np.float64]
    draws: str


class PromptSubsets:
    """The metrics of a plan at every k of its ``at_k``, for prompts that arrive in blocks."""

    def __init__(self, plan: Plan, keys: Sequence[str]) -> None:
        self._plan = plan
        self._keys = keys
        self._values: dict[tuple[int, int], list[NDArray[np.float64]]] = {
            (i, k): [] for i in range(len(plan.specs)) for k in plan.at_k
        }
        self._exact = dict.fromkeys(self._values, True)

    def add(self, block: Samples, rows: Mapping[str, Any], values: Sequence[NDArray[np.float64]]) -> None:
        """Take one block: the rows of every view, and the metrics on all samples of each prompt."""
        if not self._values:
            return
        plan = self._plan
        ids = content_keys(Ragged.from_arrow(block.ids))[:, 0]
        for (i, k), column in self._values.items():
            spec = plan.specs[i]
            scores, exact = at_k(
                spec.metric,
                plan.parameters(spec),
                rows[self._keys[i]],
                block.groups,
                values[i],
                k,
                keys=ids,
                draws=plan.subsets,
                seed=plan.seed,
                backend=plan.backend,
            )
            column.append(scores)
            self._exact[i, k] &= exact

    def of(self, i: int) -> list[Rarefied]:
        """Return the i-th metric at every k."""
        return [
            Rarefied(
                {"k": k},
                np.concatenate(self._values[i, k]) if self._values[i, k] else np.zeros(0),
                "exact" if self._exact[i, k] else str(self._plan.subsets),
            )
            for k in self._plan.at_k
        ]


class CorpusSubsets:
    """The metrics of a plan at every n of its ``at_n``, for a corpus that arrives in blocks.

    Each of a few draws takes n rows at random, without replacement, in one pass; what is held are those rows.
    """

    def __init__(self, plan: Plan, keys: Sequence[str]) -> None:
        self._plan = plan
        self._keys = keys
        needed = {
            (key, n)
            for spec, key in zip(plan.specs, keys, strict=True)
            for n in plan.at_n
            if not is_its_own_expectation(spec.metric, n)
        }
        # A seed is below 2^32, so that every seed and draw has a stream of its own.
        self._samples = {
            at: [RowSample(at[1], seed=draw << 32 | plan.seed) for draw in range(plan.corpus_draws)]
            for at in needed
        }
        self._seen = 0

    def add(self, rows: Mapping[str, Any]) -> None:
        """Take one block: the rows of every view."""
        self._seen += len(next(iter(rows.values())))
        for (key, _), samples in self._samples.items():
            for sample in samples:
                sample.add(rows[key])

    def of(self, i: int, value: float) -> list[Rarefied]:
        """Return the i-th metric, which is `value` on the whole corpus, at every n."""
        spec, key = self._plan.specs[i], self._keys[i]
        out = []
        for n in self._plan.at_n:
            if self._seen < n:
                out.append(Rarefied({"n": n}, np.array([np.nan]), "exact"))
            elif self._seen == n or is_its_own_expectation(spec.metric, n):
                out.append(Rarefied({"n": n}, np.array([value]), "exact"))
            else:
                scores = [self._score(spec, sample.rows()) for sample in self._samples[key, n]]
                out.append(Rarefied({"n": n}, np.array(scores), str(len(scores))))
        return out

    def _score(self, spec: MetricSpec, rows: Any) -> float:
        corpus = accumulator(spec.metric, self._plan.parameters(spec), self._plan.backend)
        corpus.add(rows)
        return float(corpus.result())


def is_its_own_expectation(metric: Metric, size: int) -> bool:
    """Return whether a metric on `size` of some rows is expected to be what it is on all of them."""
    return metric.expectation == "rows_mean" or (metric.expectation == "pairs_mean" and size >= 2)


def at_k(
    metric: Metric,
    parameters: Mapping[str, Any],
    rows: Any,
    groups: NDArray[np.int64],
    values: NDArray[np.float64],
    k: int,
    *,
    keys: NDArray[np.uint64],
    draws: int = SUBSETS,
    seed: int = 0,
    backend: str = "auto",
) -> tuple[NDArray[np.float64], bool]:
    """Return the expectation of a metric on k of the samples of every group, and whether it is exact.

    Parameters
    ----------
    metric, parameters, rows, groups, backend
        What is computed, on what, where.
    values : numpy.ndarray
        ``float64[g]``, the metric on all samples of each group.
    k : int
        How many samples.
    keys : numpy.ndarray
        ``uint64[g]``, what tells the draws of one group from those of another.
    draws, seed : int
        How many subsets of a group are drawn where it has more, and the seed.

    Returns
    -------
    numpy.ndarray
        ``float64[g]``: the mean over those subsets on which the metric is defined; NaN where there is none, and for a
        group of fewer than k samples.
    bool
        Whether that is the mean over every subset of every group.

    Notes
    -----
    Exact where the metric says how (its ``expectation``) and where a group has no more than `draws` subsets: all are
    taken. Else subsets are drawn as follows. A random permutation of the samples is laid out in a circle and cut into
    windows of k, each beginning where the one before ends. Each is as likely to be any subset as any other, so the
    mean is unbiased; and a round of K / gcd(K, k) windows has every sample equally often, which takes from the
    variance the part that single samples are to blame for (a balanced incomplete U-statistic). Where the samples of a
    prompt stand in no random order, as after a sampler that sorts them, no subset is preferred for it.

    The draws of a group depend on the seed, its key and its size alone. Groups do not share them: their luck would
    otherwise add up over groups instead of cancelling out. O(draws x k) rows a group, gathered some at a time in
    bounded memory.

    References
    ----------
    Hurlbert (1971), "The Nonconcept of Species Diversity: A Critique and Alternative Parameters", Ecology 52(4). Lee
    (1990), "U-Statistics: Theory and Practice", chapter 4, for incomplete and balanced ones.
    """
    sizes = np.diff(groups)
    enough = sizes >= k
    out = np.full(len(sizes), np.nan)
    if is_its_own_expectation(metric, k):
        out[enough] = values[enough]
        return out, True
    if callable(metric.expectation):
        out[enough] = metric.expectation(rows, groups, k, **parameters)[enough]
        return out, True
    row_bytes = _row_bytes(rows)
    ends = np.concatenate([[0], np.cumsum(row_bytes)])
    group_bytes = ends[groups[1:]] - ends[groups[:-1]]
    exact = True
    for size in np.unique(sizes[enough]).tolist():
        whole = comb(size, k) <= draws
        exact = exact and whole
        many = comb(size, k) if whole else draws
        of_size = np.flatnonzero(sizes == size)
        for some in _chunks(group_bytes[of_size] * many * k // size):
            index = of_size[some]
            subsets = _every(size, k) if whole else _draw(keys[index], size, k, draws, seed)
            picked = (groups[index][:, None, None] + subsets).reshape(-1, k)
            scores = np.empty(len(picked))
            # Only a group that is too large for a chunk is cut here, between its subsets.
            for part in _chunks(row_bytes[picked].sum(axis=1)):
                taken, bounds = _gathered(rows, picked[part])
                scores[part] = per_group(metric, parameters, backend, taken, bounds)
            out[index] = _mean_of_defined(scores.reshape(len(index), many))
    return out, exact


def _row_bytes(rows: Any) -> NDArray[np.int64]:
    """Return what a row takes when it is gathered, its index included."""
    if isinstance(rows, Ragged):
        return rows.lengths * rows.values.itemsize + 16
    return np.full(len(rows), rows.itemsize * rows.shape[1] + 8)


def _chunks(weights: NDArray[np.int64]) -> Iterator[slice]:
    """Yield slices, each of as many items as weigh no more than a chunk, and of one at least."""
    limit = _CHUNK_BYTES if memory() is None else min(_CHUNK_BYTES, max(1 << 16, (memory() or 0) // 16))
    ends = np.cumsum(weights)
    start = 0
    while start < len(ends):
        before = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + limit, side="right")))
        yield slice(start, stop)
        start = stop


def _every(size: int, k: int) -> NDArray[np.int64]:
    """Return all subsets of k of `size` rows, ``int64[1, subsets, k]``."""
    return np.array(list(combinations(range(size), k)), np.int64)[None]


def _draw(keys: NDArray[np.uint64], size: int, k: int, draws: int, seed: int) -> NDArray[np.int64]:
    """Return random subsets of k of `size` rows, ``int64[g, draws, k]``."""
    windows = min(draws, size // gcd(size, k))
    circles = -(-draws // windows)
    counters = np.arange(circles * size, dtype=np.uint64).reshape(circles, size)
    # Sorting random numbers permutes at random.
    order = np.argsort(_mixed(_mixed(keys ^ np.uint64(seed))[:, None, None] ^ counters), axis=-1)
    starts = np.arange(windows) * k
    within = (starts[:, None] + np.arange(k)) % size
    return order[:, :, within].reshape(len(keys), circles * windows, k)[:, :draws]


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64 random bits for each 64 bits: the output function of splitmix64 (Steele, Lea and Flood 2014)."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _gathered(rows: Any, subsets: NDArray[np.int64]) -> tuple[Any, NDArray[np.int64]]:
    """Return the rows of subsets, ``int64[m, k]``, and their offsets as m groups."""
    index = subsets.ravel()
    taken = rows.take(index) if isinstance(rows, Ragged) else rows[index]
    return taken, np.arange(0, len(index) + 1, subsets.shape[1])


def _mean_of_defined(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = ~np.isnan(scores)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = np.where(defined, scores, 0.0).sum(axis=1) / defined.sum(axis=1)
    return mean
