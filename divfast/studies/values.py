"""Every metric of every model, on every task and averaged; how models rank by it; how levels of a factor differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.stats import Floats, Interval, expanded_percentile, mean_and_std, paired_differences
from divfast.studies.attribution import AVERAGE
from divfast.studies.grids import Grid
from divfast.studies.measuring import LENGTH
from divfast.studies.resampling import corrected, defined, drawn_means, means, p_values


class Drawn:
    """Means of every model in every column, as they are and for drawn prompts, of the tasks of one setting."""

    def __init__(self, grids: Sequence[Grid], seed: int) -> None:
        self.grids = grids
        self.models = grids[0].models
        self.columns = list(dict.fromkeys(name for grid in grids for name in (*grid.metrics, LENGTH)))
        self.means: dict[tuple[str, str], Floats] = {}
        self.replicates: dict[tuple[str, str], Floats] = {}
        self.defined: dict[tuple[str, str], NDArray[np.int64]] = {}
        for grid in grids:
            names = [name for name in self.columns if name in grid.values]
            if not names:
                continue
            stacked = np.concatenate([grid.values[name] for name in names])
            found = means(stacked).reshape(len(names), -1)
            drawn = drawn_means(stacked, grid.task, seed).reshape(*found.shape, -1)
            for i, name in enumerate(names):
                self.means[grid.task, name], self.replicates[grid.task, name] = found[i], drawn[i]
                self.defined[grid.task, name] = defined(grid.values[name])
        if len(grids) > 1:
            for name in self.columns:
                # Tasks on which any model lacks a value are in no model's average.
                tasks = [task for task in self.tasks_of(name) if not np.isnan(self.means[task, name]).any()]
                if tasks:
                    self.means[AVERAGE, name] = np.mean([self.means[task, name] for task in tasks], axis=0)
                    parts = [self.replicates[task, name] for task in tasks]
                    self.replicates[AVERAGE, name] = np.mean(parts, axis=0)
                    self.defined[AVERAGE, name] = np.min([self.defined[task, name] for task in tasks], axis=0)

    def interval(self, task: str, column: str, model: int) -> Interval:
        """Return the interval of the mean of a model, by its row."""
        return expanded_percentile(
            self.replicates[task, column][model], int(self.defined[task, column][model])
        )

    def tasks_of(self, column: str) -> list[str]:
        """Return the tasks on which a column was scored."""
        return [grid.task for grid in self.grids if (grid.task, column) in self.means]


def table_of_values(drawn: Drawn) -> Iterator[dict[str, Any]]:
    """Yield a row for every model, task and metric, then those averaged over tasks.

    Notes
    -----
    The interval of a mean over prompts is that of the bootstrap over prompts; the interval of an average over tasks is
    that of drawing prompts within each task. An average is over the tasks on which all models have a value.
    """
    factors = drawn.grids[0].factors
    for grid in drawn.grids:
        for name in [name for name in drawn.columns if (grid.task, name) in drawn.means]:
            for i, model in enumerate(grid.models):
                values = grid.values[name][i]
                low, high = drawn.interval(grid.task, name, i)
                undefined = int(np.isnan(values).sum())
                row: dict[str, Any] = {**factors, "model": model, "task": grid.task, "metric": name}
                yield row | {
                    "value": float(drawn.means[grid.task, name][i]),
                    "low": low,
                    "high": high,
                    "std": mean_and_std(values)[1],
                    "prompts": grid.prompts,
                    "undefined": undefined,
                    "tasks": 1,
                    "unit": grid.units.get(name, ""),
                    "signature": grid.signatures.get((model, name), ""),
                }
    for name in drawn.columns:
        if (AVERAGE, name) in drawn.means:
            for i, model in enumerate(drawn.models):
                low, high = drawn.interval(AVERAGE, name, i)
                tasks = [task for task in drawn.tasks_of(name) if not np.isnan(drawn.means[task, name]).any()]
                yield {**factors, "model": model, "task": AVERAGE, "metric": name} | {
                    "value": float(drawn.means[AVERAGE, name][i]),
                    "low": low,
                    "high": high,
                    "std": float("nan"),
                    "prompts": sum(grid.prompts for grid in drawn.grids if grid.task in tasks),
                    "undefined": None,
                    "tasks": len(tasks),
                    "unit": drawn.grids[0].units.get(name, ""),
                    "signature": "",
                }


def ranks_of(values: Floats) -> Floats:
    """Return ranks along the first axis, 1 for the greatest, equal values the mean of their ranks; NaN stays.

    Examples
    --------
    >>> ranks_of(np.array([0.2, 0.5, 0.2])).tolist()
    [2.5, 1.0, 2.5]
    """
    above = (values[None] > values[:, None]).sum(axis=1)
    equal = (values[None] == values[:, None]).sum(axis=1)
    ranks: Floats = 1.0 + above + (equal - 1) / 2.0
    ranks[np.isnan(values)] = np.nan
    return ranks


def table_of_ranks(drawn: Drawn) -> Iterator[dict[str, Any]]:
    """Yield the rank of every model by every metric, with what rank it has for 95% of the draws of prompts."""
    factors = drawn.grids[0].factors
    for (task, name), values in drawn.means.items():
        replicates = ranks_of(drawn.replicates[task, name])
        for i, (model, rank) in enumerate(zip(drawn.models, ranks_of(values), strict=True)):
            low, high = expanded_percentile(replicates[i], int(drawn.defined[task, name][i]))
            yield {**factors, "task": task, "metric": name, "model": model} | {
                "value": float(values[i]),
                "rank": float(rank),
                "low": low,
                "high": high,
            }


def table_of_factors(
    grids: Sequence[Grid], factors: Mapping[str, Mapping[str, str]], seed: int
) -> list[dict[str, Any]]:
    """Return the differences between two levels of a factor, all else alike, for every model, task and metric.

    Notes
    -----
    Paired by prompt, over the prompts on which both have a value: percentile bootstrap interval, sign-flip test, and
    Holm's correction over all models, tasks and settings of a factor and metric.
    """
    rows: list[dict[str, Any]] = []
    columns: dict[str, list[Floats]] = {}
    for factor, levels in factors.items():
        for a, b in combinations(levels, 2):
            for one in (grid for grid in grids if grid.factors[factor] == a):
                wanted = {**one.factors, factor: b}
                other = next(grid for grid in grids if grid.task == one.task and grid.factors == wanted)
                for name in [*one.metrics, LENGTH, *one.quality]:
                    differences = paired_differences(one.values[name], other.values[name])
                    known = ~np.isnan(differences)
                    drawn = drawn_means(differences, one.task, seed)
                    for i, model in enumerate(one.models):
                        low, high = expanded_percentile(drawn[i], int(known[i].sum()))
                        others = {key: level for key, level in one.factors.items() if key != factor}
                        row: dict[str, Any] = {
                            "factor": factor,
                            "a": a,
                            "b": b,
                            **dict.fromkeys(factors, ""),
                            **others,
                        }
                        row |= {"model": model, "task": one.task, "metric": name}
                        row |= {
                            "value_a": mean_and_std(one.values[name][i][known[i]])[0],
                            "value_b": mean_and_std(other.values[name][i][known[i]])[0],
                            "difference": mean_and_std(differences[i])[0],
                            "low": low,
                            "high": high,
                            "pairs": int(known[i].sum()),
                        }
                        rows.append(row)
                        columns.setdefault(one.task, []).append(differences[i])
    family: list[object] = [(row["factor"], row["metric"]) for row in rows]
    tests = max((family.count(name) for name in set(family)), default=1)
    found = {task: iter(p_values(of, task, seed, tests)) for task, of in columns.items()}
    p = [next(found[row["task"]]) for row in rows]
    for row, p_value, holm in zip(rows, p, corrected(p, family, list(range(len(p)))), strict=True):
        row |= {"p": p_value, "p_holm": holm}
        if len(factors) == 1:
            del row[row["factor"]]
    return rows
