"""Which metrics say the same, and whether what they say is only length."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np

from divfast.stats import Floats, expanded_percentile
from divfast.studies.columns import AVERAGE, RETAINED
from divfast.studies.grids import Grid
from divfast.studies.measuring import LENGTH
from divfast.studies.plan import Stage
from divfast.studies.resampling import defined, drawn_means, means
from divfast.studies.values import Drawn, ranks_of

# Models of which a correlation is worth the name.
_FEWEST_MODELS = 4


def among_prompts(drawn: Drawn, seed: int) -> Iterator[dict[str, Any]]:
    """Yield Spearman's correlation of every two columns over prompts, within each model, averaged over models.

    Notes
    -----
    Over the prompts on which both are defined. The mean over models of the correlation over prompts, so that it is not
    that of some models having more of both. In the interval prompts are drawn, the same for all models, and keep their
    ranks.
    """
    for grid in drawn.grids:
        names = [name for name in drawn.columns if name in grid.values]
        if grid.prompts < 3 or len(names) < 2:
            continue
        pairs: dict[tuple[str, str], list[Floats]] = {}
        rows: dict[bytes, Floats] = {}
        for i in range(len(grid.models)):
            for a, b in combinations(names, 2):
                x, y = _standard_ranks(np.stack([grid.values[name][i] for name in (a, b)]))
                moments = np.stack([x, y, x * x, y * y, x * y])
                if not np.isnan(_correlation(means(moments)[:, None])[0]):
                    pairs.setdefault((a, b), []).append(moments)
                    # Where all columns are defined, the ranks of one are the same in all its pairs.
                    rows.update((row.tobytes(), row) for row in moments)
        if not pairs:
            continue
        replicates = drawn_means(np.stack(list(rows.values())), grid.task, seed)
        of = {key: i for i, key in enumerate(rows)}
        for (a, b), parts in pairs.items():
            found = [_correlation(replicates[[of[row.tobytes()] for row in moments]]) for moments in parts]
            fewest = min(int(defined(moments).min()) for moments in parts)
            low, high = expanded_percentile(np.mean(found, axis=0), fewest)
            yield _row(grid.factors, grid.task, "prompts", a, b) | {
                "spearman": float(np.mean([_correlation(means(moments)[:, None])[0] for moments in parts])),
                "low": low,
                "high": high,
                "kendall": float("nan"),
                "models": len(parts),
                "prompts": grid.prompts,
            }


def _row(factors: Mapping[str, str], task: str, over: str, a: str, b: str) -> dict[str, Any]:
    return {**factors, "task": task, "over": over, "metric_a": a, "metric_b": b}


def _standard_ranks(values: Floats) -> Floats:
    """Return ranks of each row, equal values the mean of theirs, standardised; NaN where any row is undefined."""
    known = ~np.isnan(values).any(axis=0)
    out = np.full_like(values, np.nan)
    for row, of in zip(out, values, strict=True):
        _, inverse, counts = np.unique(of[known], return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        ranks = (ends - (counts - 1) / 2.0)[inverse]
        spread = ranks.std() if len(ranks) else 0.0
        row[known] = (ranks - ranks.mean()) / spread if spread > 0 else np.nan
    return out


def _correlation(moments: Floats) -> Floats:
    """Return the correlation of means of x, y, xx, yy and xy, ``float64[5, r]``."""
    x, y, xx, yy, xy = moments
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = (xy - x * y) / np.sqrt(np.maximum(xx - x * x, 0.0) * np.maximum(yy - y * y, 0.0))
    found[~np.isfinite(found)] = np.nan
    return found


def among_models(drawn: Drawn) -> Iterator[dict[str, Any]]:
    """Yield how alike every two columns rank the models: Spearman's rho and Kendall's tau-b, by task and on average.

    Notes
    -----
    Of the mean over prompts of every model. The interval of rho is over draws of prompts, for these models: it does not
    speak of others. Draws only ever add to how models that are close trade ranks, so it lies low, at times below rho.
    """
    if len(drawn.models) < _FEWEST_MODELS:
        return
    for task in [*(grid.task for grid in drawn.grids), AVERAGE]:
        names = [name for name in drawn.columns if (task, name) in drawn.means]
        names = [name for name in names if not np.isnan(drawn.means[task, name]).any()]
        ranks = {name: ranks_of(drawn.replicates[task, name]) for name in names}
        for a, b in combinations(names, 2):
            one, other = drawn.means[task, a], drawn.means[task, b]
            fewest = min(int(drawn.defined[task, name].min()) for name in (a, b))
            low, high = expanded_percentile(_pearson(ranks[a], ranks[b]), fewest)
            yield _row(drawn.grids[0].factors, task, "models", a, b) | {
                "spearman": float(_pearson(ranks_of(one)[:, None], ranks_of(other)[:, None])[0]),
                "low": low,
                "high": high,
                "kendall": kendall(one, other),
                "models": len(one),
                "prompts": None,
            }


def _pearson(x: Floats, y: Floats) -> Floats:
    """Return the correlation along the first axis."""
    return _correlation(np.stack([part.mean(axis=0) for part in (x, y, x * x, y * y, x * y)]))


def kendall(x: Floats, y: Floats) -> float:
    """Return Kendall's tau-b; NaN where one of the two is all the same.

    References
    ----------
    Kendall (1945), "The Treatment of Ties in Ranking Problems", Biometrika 33(3).

    Examples
    --------
    >>> round(kendall(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0])), 4)
    0.3333
    """
    a, b = np.sign(x[:, None] - x), np.sign(y[:, None] - y)
    size = np.sqrt(np.abs(a).sum() * np.abs(b).sum())
    return float((a * b).sum() / size) if size > 0 else float("nan")


def beside_length(grid: Grid, lineages: Mapping[str, Sequence[Stage]], seed: int) -> Iterator[dict[str, Any]]:
    """Yield what is left of the change of every metric between stages at equal length.

    Notes
    -----
    The difference of two stages by prompt is regressed on that of their mean lengths; the intercept is the change
    expected for prompts whose length does not change, with a bootstrap interval over prompts. ``distance`` is how far
    that is from the prompts there are: the mean change of length over its standard deviation. Where it is 2 or more,
    nearly all prompts grew longer, or shorter, and the intercept is a guess beyond the data.
    """
    for lineage, stages in lineages.items():
        steps = [*pairwise(stages), (stages[0], stages[-1])]
        for i, (before, after) in enumerate(steps[: -1 if len(stages) == 2 else None]):
            length = _difference(grid, LENGTH, before, after)
            moments, found = [], []
            for metric in grid.metrics:
                change = _difference(grid, metric, before, after)
                known = ~np.isnan(change) & ~np.isnan(length)
                x, y = (np.where(known, part, np.nan) for part in (length, change))
                moments.append(np.stack([x, y, x * x, x * y]))
                found.append((metric, int(known.sum())))
            if not moments:
                continue
            observed = means(np.concatenate(moments)).reshape(len(moments), 4, 1)
            drawn = drawn_means(np.concatenate(moments), grid.task, seed).reshape(len(moments), 4, -1)
            for (metric, prompts), at, replicates in zip(found, observed, drawn, strict=True):
                slope, intercept = _line(at)
                low, high = expanded_percentile(_line(replicates)[1], prompts)
                spread = float(np.sqrt(max(0.0, at[2, 0] - at[0, 0] ** 2)))
                name = after.name if i < len(stages) - 1 else RETAINED
                yield {
                    **grid.factors,
                    "lineage": lineage,
                    "task": grid.task,
                    "metric": metric,
                    "step": name,
                } | {
                    "change": float(at[1, 0]),
                    "length_change": float(at[0, 0]),
                    "slope": float(slope[0]),
                    "at_equal_length": float(intercept[0]),
                    "low": low,
                    "high": high,
                    "distance": abs(float(at[0, 0])) / spread if spread > 0 else float("nan"),
                    "prompts": prompts,
                }


def _difference(grid: Grid, name: str, before: Stage, after: Stage) -> Floats:
    at = [
        np.mean([grid.values[name][grid.row(model)] for model in stage.models], axis=0)
        for stage in (before, after)
    ]
    found: Floats = at[1] - at[0]
    return found


def _line(moments: Floats) -> tuple[Floats, Floats]:
    """Return slope and intercept of means of x, y, xx and xy, ``float64[4, r]``."""
    x, y, xx, xy = moments
    spread = xx - x * x
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = np.where(spread > 1e-12 * np.maximum(xx, 1e-300), (xy - x * y) / spread, np.nan)
    return slope, y - slope * x
