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
from divfast.viewed import row_bytes, take_rows
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
        self._calls = [
            (spec.metric, plan.parameters(spec), key) for spec, key in zip(plan.specs, keys, strict=True)
        ]
        self._values: dict[int, list[list[NDArray[np.float64]]]] = {k: [] for k in plan.at_k}
        self._drawn: set[tuple[int, int]] = set()

    def add(self, block: Samples, rows: Mapping[str, Any], values: Sequence[NDArray[np.float64]]) -> None:
        """Take one block: the rows of every view, and the metrics on all samples of each prompt."""
        if not self._values:
            return
        plan = self._plan
        ids = content_keys(Ragged.from_arrow(block.ids))[:, 0]
        for k, blocks in self._values.items():
            scores, drawn = at_k(
                self._calls,
                rows,
                block.groups,
                values,
                k,
                ids=ids,
                draws=plan.subsets,
                seed=plan.seed,
                backend=plan.backend,
            )
            blocks.append(scores)
            self._drawn.update((i, k) for i in drawn)

    def of(self, i: int) -> list[Rarefied]:
        """Return the i-th metric at every k."""
        return [
            Rarefied(
                {"k": k},
                np.concatenate([np.zeros(0), *(block[i] for block in blocks)]),
                str(self._plan.subsets) if (i, k) in self._drawn else "exact",
            )
            for k, blocks in self._values.items()
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
            if spec.metric.corpus is not None and not is_its_own_expectation(spec.metric, n)
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
    calls: Sequence[tuple[Metric, Mapping[str, Any], str]],
    rows: Mapping[str, Any],
    groups: NDArray[np.int64],
    values: Sequence[NDArray[np.float64]],
    k: int,
    *,
    ids: NDArray[np.uint64],
    draws: int = SUBSETS,
    seed: int = 0,
    backend: str = "auto",
) -> tuple[list[NDArray[np.float64]], set[int]]:
    """Return the expectations of metrics on k of the samples of every group, and which of them were drawn.

    Parameters
    ----------
    calls
        Metrics, each with its parameters and the key of its rows.
    rows
        By key, as the metrics take them.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    values
        ``float64[g]`` for each metric: its value on all samples of each group.
    k : int
        How many samples.
    ids : numpy.ndarray
        ``uint64[g]``, what tells the draws of one group from those of another.
    draws, seed : int
        How many subsets of a group are drawn where it has more, and the seed.
    backend : str
        Where the metrics run.

    Returns
    -------
    list of numpy.ndarray
        ``float64[g]`` for each metric: the mean over those subsets on which it is defined; NaN where there is none,
        and for a group of fewer than k samples.
    set of int
        Which metrics are, for some group, the mean over drawn subsets and not over all.

    Notes
    -----
    Exact where the metric says how (its ``expectation``; a mean over pairs, of which some are undefined, weighs the
    others alike, as on subsets of two) and where a group has no more than `draws` subsets: all are
    taken. Else subsets are drawn as follows. A random permutation of the samples is laid out in a circle and cut into
    windows of k, each beginning where the one before ends. Each is as likely to be any subset as any other, so the
    mean is unbiased; and a round of K / gcd(K, k) windows has every sample equally often, which takes from the
    variance the part that single samples are to blame for (a balanced incomplete U-statistic). Where the samples of a
    prompt stand in no random order, as after a sampler that sorts them, no subset is preferred for it.

    The draws of a group depend on the seed, its id and its size alone. Groups do not share them: their luck would
    otherwise add up over groups instead of cancelling out. Metrics do. O(draws x k) rows a group, gathered some at a
    time in bounded memory.

    References
    ----------
    Hurlbert (1971), "The Nonconcept of Species Diversity: A Critique and Alternative Parameters", Ecology 52(4). Lee
    (1990), "U-Statistics: Theory and Practice", chapter 4, for incomplete and balanced ones.
    """
    sizes = np.diff(groups)
    enough = sizes >= k
    out = [np.full(len(sizes), np.nan) for _ in calls]
    averaged = []
    for i, (metric, parameters, key) in enumerate(calls):
        if is_its_own_expectation(metric, k):
            out[i][enough] = values[i][enough]
        elif callable(metric.expectation):
            out[i][enough] = metric.expectation(rows[key], groups, k, **parameters)[enough]
        else:
            averaged.append(i)
    if not averaged:
        return out, set()
    needed = {calls[i][2] for i in averaged}
    weights = sum((row_bytes(rows[key]) for key in needed), np.full(len(rows[min(needed)]), 8))
    ends = np.concatenate([[0], np.cumsum(weights)])
    group_bytes = ends[groups[1:]] - ends[groups[:-1]]
    drawn = False
    for size in np.unique(sizes[enough]).tolist():
        whole = comb(size, k) <= draws
        drawn = drawn or not whole
        many = comb(size, k) if whole else draws
        of_size = np.flatnonzero(sizes == size)
        for some in _chunks(group_bytes[of_size] * many * k // size):
            index = of_size[some]
            subsets = _every(size, k) if whole else _draw(ids[index], size, k, draws, seed)
            picked = (groups[index][:, None, None] + subsets).reshape(-1, k)
            scores = np.empty((len(averaged), len(picked)))
            # Only a group that is too large for a chunk is cut here, between its subsets.
            for part in _chunks(weights[picked].sum(axis=1)):
                taken = {key: take_rows(rows[key], picked[part].ravel()) for key in needed}
                bounds = np.arange(0, picked[part].size + 1, k)
                found = per_group([calls[i] for i in averaged], backend, taken, bounds)
                for column, values_of_part in zip(scores, found, strict=True):
                    column[part] = values_of_part
            for column, i in zip(scores, averaged, strict=True):
                out[i][index] = _mean_of_defined(column.reshape(len(index), many))
    return out, set(averaged) if drawn else set()


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


def _draw(ids: NDArray[np.uint64], size: int, k: int, draws: int, seed: int) -> NDArray[np.int64]:
    """Return random subsets of k of `size` rows, ``int64[g, draws, k]``."""
    windows = min(draws, size // gcd(size, k))
    circles = -(-draws // windows)
    counters = np.arange(circles * size, dtype=np.uint64).reshape(circles, size)
    # Sorting random numbers permutes at random.
    order = np.argsort(_mixed(_mixed(ids ^ np.uint64(seed))[:, None, None] ^ counters), axis=-1)
    starts = np.arange(windows) * k
    within = (starts[:, None] + np.arange(k)) % size
    return order[:, :, within].reshape(len(ids), circles * windows, k)[:, :draws]


def _mixed(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return 64 random bits for each 64 bits: the output function of splitmix64 (Steele, Lea and Flood 2014)."""
    bits = bits + np.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


def _mean_of_defined(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    defined = ~np.isnan(scores)
    with np.errstate(invalid="ignore"):
        mean: NDArray[np.float64] = np.where(defined, scores, 0.0).sum(axis=1) / defined.sum(axis=1)
    return mean
