"""Where along a lineage a metric changes: the share of every stage, and what the last one retains."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from divfast.stats import Floats, expanded_percentile, paired_differences
from divfast.studies.grids import Grid
from divfast.studies.plan import Stage
from divfast.studies.resampling import corrected, defined, drawn_means, means, p_values

RETAINED = "retained"
AVERAGE = "average"


@dataclass
class Step:
    """One share of one lineage in one metric on one task, not yet tested.

    Attributes
    ----------
    share : float
        In percent of the base.
    drawn : float64[replicates]
        The same for drawn prompts; empty where there are no prompts.
    difference : float64[p]
        By prompt, later stage minus earlier; NaN where one is undefined.
    """

    lineage: str
    metric: str
    name: str
    models: tuple[tuple[str, ...], tuple[str, ...]]
    base: float
    before: float
    after: float
    share: float
    drawn: Floats
    difference: Floats
    undefined: int

    @property
    def prompts(self) -> int:
        """On how many it is looked at."""
        return len(self.difference) - self.undefined


def shares(stages: Floats) -> Floats:
    """Return what every stage adds, and what the last one retains, in percent of the base.

    Parameters
    ----------
    stages : float64[s, r]
        The metric at every stage.

    Returns
    -------
    float64[s, r]
        ``100 (D_i - D_(i-1)) / D_base`` for every stage after the base, then ``100 D_last / D_base``; NaN where the
        base is 0.

    Examples
    --------
    >>> shares(np.array([[0.4], [0.1], [0.2]])).ravel().tolist()
    [-75.0, 25.0, 50.0]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Floats = 100.0 * np.concatenate([np.diff(stages, axis=0), stages[-1:]]) / stages[:1]
    found[~np.isfinite(found)] = np.nan
    return found


def steps(grid: Grid, lineages: Mapping[str, Sequence[Stage]], seed: int) -> list[Step]:
    """Return all steps of all lineages in all metrics of a task.

    Parameters
    ----------
    grid : Grid
        The values.
    lineages : Mapping[str, sequence of Stage]
        Their stages in order.
    seed : int
        Of the bootstrap.

    Notes
    -----
    The value of a stage is the mean over its models of their means over prompts. A lineage is looked at over those
    prompts on which all its models have a value, so that what its stages add sums up. The bootstrap draws prompts, the
    same for all models, and takes the whole share anew each time, its base included: that the base is in all of them,
    and goes up and down with the other models from prompt to prompt, is in the interval.
    """
    wanted = [(name, stages, metric) for name, stages in lineages.items() for metric in grid.metrics]
    rows: list[Floats] = []
    for _, stages, metric in wanted:
        values = np.stack(
            [grid.values[metric][grid.row(model)] for stage in stages for model in stage.models]
        )
        rows.append(np.where(np.isnan(values).any(axis=0), np.nan, values))
    if not rows:
        return []
    every = np.concatenate(rows)
    observed, drawn = means(every), drawn_means(every, grid.task, seed)
    out: list[Step] = []
    start = 0
    for (lineage, stages, metric), values in zip(wanted, rows, strict=True):
        here = slice(start, start + len(values))
        start += len(values)
        at_stage = _by_stage(observed[here, None], stages)
        of_stage = _by_stage(drawn[here], stages)
        low, high = expanded_percentile(of_stage[0], int(defined(values).min()))
        # A base that may as well be 0 is nothing to take shares of.
        replicates = np.full_like(of_stage, np.nan) if low <= 0 <= high else shares(of_stage)
        out += _steps(lineage, metric, stages, at_stage, replicates, _by_stage(values, stages))
    return out


def _by_stage(rows: Floats, stages: Sequence[Stage]) -> Floats:
    """Return the mean of the rows of the models of every stage."""
    ends = np.cumsum([0, *(len(stage.models) for stage in stages)])
    return np.stack([rows[start:stop].mean(axis=0) for start, stop in pairwise(ends)])


def _steps(
    lineage: str,
    metric: str,
    stages: Sequence[Stage],
    at_stage: Floats,
    replicates: Floats,
    by_prompt: Floats,
) -> Iterator[Step]:
    found = shares(at_stage)[:, 0]
    if by_prompt.shape[1] > 1 and np.isnan(replicates).all():
        found[:] = np.nan
    last = len(stages) - 1
    undefined = int(np.isnan(by_prompt[0]).sum())
    for i in range(len(stages)):
        before, after = (i, i + 1) if i < last else (0, last)
        yield Step(
            lineage=lineage,
            metric=metric,
            name=stages[after].name if i < last else RETAINED,
            models=(stages[before].models, stages[after].models),
            base=float(at_stage[0, 0]),
            before=float(at_stage[before, 0]),
            after=float(at_stage[after, 0]),
            share=float(found[i]),
            drawn=replicates[i],
            difference=paired_differences(by_prompt[before], by_prompt[after]),
            undefined=undefined,
        )


def attribute(
    by_task: Mapping[str, Sequence[Step]], factors: Mapping[str, str], seed: int
) -> list[dict[str, Any]]:
    """Return the rows of the table of attribution: every step on every task, and averaged over tasks.

    Parameters
    ----------
    by_task : Mapping[str, sequence of Step]
        Steps of every task.
    factors : Mapping[str, str]
        The setting that they are of.
    seed : int
        Of the sign flips.

    Notes
    -----
    The average is that of the shares of the tasks on which there is one, each task counting alike; its bootstrap draws
    prompts within each task on its own, so tasks that share prompts are taken for independent. The tests are paired
    sign-flip tests by prompt of "the two stages are alike", for the average of the differences of all tasks as they
    enter into it, each over the base of its task, which is held. Holm's correction is over all steps, tasks and
    lineages of a metric, and over the averages among themselves; steps between the same models are one test, also where
    several lineages have them.
    """
    tests = max(Counter(step.metric for found in by_task.values() for step in found).values(), default=1)
    rows: list[dict[str, Any]] = []
    names: list[object] = []
    for task, found in by_task.items():
        p = p_values([step.difference for step in found], task, seed, tests) if found else []
        for step, one in zip(found, p, strict=True):
            low, high = expanded_percentile(step.drawn, step.prompts)
            rows.append(
                _row(factors, step, task)
                | {"base": step.base, "before": step.before, "after": step.after}
                | {
                    "change": step.after - step.before,
                    "share": step.share,
                    "low": low,
                    "high": high,
                    "p": one,
                    "p_holm": None,
                }
                | {"prompts": step.prompts, "undefined": step.undefined, "tasks": 1}
            )
            names.append((task, hash(step.difference.tobytes())))
    averages = list(_averages(by_task, factors, seed, tests))
    for row, name in averages:
        rows.append(row)
        names.append(name)
    family = [(row["metric"], row["task"] == AVERAGE) for row in rows]
    for row, holm in zip(rows, corrected([row["p"] for row in rows], family, names), strict=True):
        row["p_holm"] = holm
    return rows


def _row(factors: Mapping[str, str], step: Step, task: str) -> dict[str, Any]:
    return {**factors, "lineage": step.lineage, "task": task, "metric": step.metric, "step": step.name} | {
        "from": " + ".join(step.models[0]),
        "to": " + ".join(step.models[1]),
    }


def _averages(
    by_task: Mapping[str, Sequence[Step]], factors: Mapping[str, str], seed: int, tests: int
) -> Iterator[tuple[dict[str, Any], object]]:
    """Yield the row of every step averaged over tasks, and the name of its test."""
    of: dict[tuple[str, str, str], list[Step]] = {}
    for found in by_task.values():
        for step in found:
            if not np.isnan(step.share):
                of.setdefault((step.lineage, step.metric, step.name), []).append(step)
    several = {key: found for key, found in of.items() if len(by_task) > 1}
    weighted = []
    for found in several.values():
        parts = []
        for step in found:
            known = step.difference[~np.isnan(step.difference)]
            parts.append(100.0 * known / (len(found) * max(1, len(known)) * step.base))
        weighted.append(np.concatenate(parts))
    longest = max(map(len, weighted), default=0)
    padded = [np.pad(column, (0, longest - len(column)), constant_values=np.nan) for column in weighted]
    p = p_values(padded, AVERAGE, seed, tests) if padded else []
    for found, one, column in zip(several.values(), p, weighted, strict=True):
        share = float(np.mean([step.share for step in found]))
        drawn = np.mean([step.drawn for step in found], axis=0)
        low, high = expanded_percentile(drawn, min(step.prompts for step in found))
        yield (
            _row(factors, found[0], AVERAGE)
            | {"base": None, "before": None, "after": None, "change": None}
            | {"share": share, "low": low, "high": high, "p": one, "p_holm": None}
            | {"prompts": sum(step.prompts for step in found)}
            | {"undefined": sum(step.undefined for step in found), "tasks": len(found)},
            hash(column.tobytes()),
        )
