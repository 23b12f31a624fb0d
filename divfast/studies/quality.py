"""What quality does to the diversity of a study: losses taken apart, and accuracy beside what voting gains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from divfast.decomposition import take_apart
from divfast.stats import NOTHING, Floats, expanded_percentile
from divfast.studies.attribution import AVERAGE
from divfast.studies.grids import Grid
from divfast.studies.plan import Stage
from divfast.studies.resampling import defined, drawn_means, means, seed_of

_SIDES = ("base_all", "model_all", "base_correct", "model_correct")
_PARTS = ("loss", "residual", "quality_control", "share")
# Without an interval of the loss that says whether it may be 0: below this part of the base it is too near.
NEAR_ZERO = 0.05


def pairs(lineages: Mapping[str, Sequence[Stage]], remarks: list[str]) -> dict[tuple[str, str], str]:
    """Return every pair of a lineage's base and a later model, each once, with the lineages that it is in."""
    found: dict[tuple[str, str], list[str]] = {}
    for name, stages in lineages.items():
        if len(stages[0].models) > 1:
            remarks.append(f"{name}: no decomposition, since its base is several models.")
            continue
        (base,) = stages[0].models
        for model in dict.fromkeys(model for stage in stages[1:] for model in stage.models):
            if model != base:
                found.setdefault((base, model), []).append(name)
    return {pair: " and ".join(names) for pair, names in found.items()}


def decompositions(
    grids: Sequence[Grid], models: Mapping[tuple[str, str], str], seed: int
) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table of decomposition: by task, then averaged over tasks.

    Parameters
    ----------
    grids : sequence of Grid
        Those of the tasks with verdicts, in one setting.
    models : Mapping
        From `pairs`.
    seed : int
        Of the bootstrap.

    Notes
    -----
    As `divfast.decomposition.take_apart`. An average is over those tasks on which loss and residual are defined; its
    intervals are of draws of prompts within each task, and its share is that of the averages. Of means, where there is
    no interval of the loss, a share is undefined where the loss is less than a twentieth of the base.
    """
    for (base, model), lineages in models.items():
        for metric in dict.fromkeys(name for grid in grids for name in grid.right):
            for over in ("own", "paired"):
                found = []
                for grid in grids:
                    if metric in grid.right and (over == "own" or grid.prompts > 1):
                        of = (grid.values[metric], grid.right[metric])
                        values = np.stack([column[grid.row(name)] for column in of for name in (base, model)])
                        found.append(_Taken(grid, metric, over, values, seed))
                named = {"lineage": lineages, "base": base, "model": model}
                for one in found:
                    head = {
                        **one.grid.factors,
                        **named,
                        "task": one.grid.task,
                        "metric": metric,
                        "over": over,
                    }
                    yield head | one.row
                several = [one for one in found if not np.isnan([one.row["loss"], one.row["residual"]]).any()]
                if len(found) > 1 and several:
                    head = {
                        **several[0].grid.factors,
                        **named,
                        "task": AVERAGE,
                        "metric": metric,
                        "over": over,
                    }
                    yield head | _averaged(several)


class _Taken:
    """One decomposition on one task: its row, and its four means for drawn prompts."""

    def __init__(self, grid: Grid, metric: str, over: str, values: Floats, seed: int) -> None:
        self.grid = grid
        sizes = (grid.prompts, grid.prompts)
        found = take_apart(metric, over, list(values), sizes, {}, seed=seed_of(grid.task, seed))
        self.row: dict[str, Any] = {name: getattr(found, name) for name in _SIDES}
        for name in _PARTS:
            low, high = found.intervals[name]
            self.row |= {name: getattr(found, name), f"{name}_low": low, f"{name}_high": high}
        if grid.prompts == 1:
            self.row["share"] = _share_of_means(self.row)
        self.row |= {"computable_base": found.computable[0], "computable_model": found.computable[1]}
        self.row |= {"prompts": grid.prompts, "tasks": 1}
        if over == "paired":
            values = values[:, ~np.isnan(values).any(axis=0)]
        self.drawn = drawn_means(values, grid.task, seed)
        self.defined = int(defined(values).min())


def _averaged(found: Sequence[_Taken]) -> dict[str, Any]:
    """Return the row of an average over tasks."""
    row: dict[str, Any] = {name: float(np.mean([one.row[name] for one in found])) for name in _SIDES}
    row |= {name: float(np.mean([one.row[name] for one in found])) for name in _PARTS[:3]}
    base_all, model_all, base_right, model_right = np.mean([one.drawn for one in found], axis=0)
    loss, residual = base_all - model_all, base_right - model_right
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = dict(zip(_PARTS, (loss, residual, loss - residual, residual / loss), strict=True))
    row["share"] = row["residual"] / row["loss"] if row["loss"] else float("nan")
    fewest = min(one.defined for one in found)
    ends = {name: expanded_percentile(drawn[name], fewest) for name in _PARTS}
    low, high = ends["loss"]
    if np.isnan(low):
        row["share"] = _share_of_means(row)
    elif low <= 0 <= high:
        row["share"], ends["share"] = float("nan"), NOTHING
    out: dict[str, Any] = {name: row[name] for name in _SIDES}
    for name in _PARTS:
        out |= {name: row[name], f"{name}_low": ends[name][0], f"{name}_high": ends[name][1]}
    counts = ("computable_base", "computable_model", "prompts", "tasks")
    return out | {name: sum(one.row[name] for one in found) for name in counts}


def _share_of_means(row: Mapping[str, Any]) -> float:
    near = abs(row["loss"]) < NEAR_ZERO * abs(row["base_all"])
    return float("nan") if near or not row["loss"] else row["residual"] / row["loss"]


def accuracies(grids: Sequence[Grid], seed: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table of quality: accuracy, majority vote and what it gains, by model and task.

    Parameters
    ----------
    grids : sequence of Grid
        Those of the tasks with verdicts, in one setting.
    seed : int
        Of the bootstrap.

    Notes
    -----
    ``accuracy`` is the mean over all samples, ``accuracy_at_1`` that of the first of every prompt, ``mv_gain`` the
    majority vote less the latter and ``gain_over_mean`` less the former: where samples stand in an order, such as by
    likelihood, the first is no random one, and only ``gain_over_mean`` tells what voting adds. Each is over the prompts
    on which it is defined; ``undefined`` says on how many not all are, for want of a verdict.
    """
    drawn: dict[tuple[str, str], list[Floats]] = {}
    at: dict[tuple[str, str], list[float]] = {}
    fewest: dict[tuple[str, str], int] = {}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for grid in grids:
        columns = {name: grid.values[name] for name in grid.quality}
        if "majority" in columns:
            columns["gain_over_mean"] = columns["majority"] - columns["accuracy"]
        if not columns:
            continue
        stacked = np.concatenate(list(columns.values()))
        replicates = drawn_means(stacked, grid.task, seed).reshape(len(columns), len(grid.models), -1)
        found = means(stacked).reshape(len(columns), len(grid.models))
        counts = defined(stacked).reshape(len(columns), len(grid.models))
        for i, model in enumerate(grid.models):
            row = rows[model, grid.task] = {**grid.factors, "model": model, "task": grid.task}
            for j, name in enumerate(columns):
                low, high = expanded_percentile(replicates[j, i], int(counts[j, i]))
                fewest[model, name] = min(fewest.get((model, name), grid.prompts), int(counts[j, i]))
                row |= {name: float(found[j, i]), f"{name}_low": low, f"{name}_high": high}
                drawn.setdefault((model, name), []).append(replicates[j, i])
                at.setdefault((model, name), []).append(float(found[j, i]))
            row |= {"prompts": grid.prompts, "undefined": grid.prompts - int(counts[:, i].min())}
    if len(grids) > 1:
        for (model, name), parts in drawn.items():
            row = rows.setdefault((model, AVERAGE), {**grids[0].factors, "model": model, "task": AVERAGE})
            low, high = expanded_percentile(np.mean(parts, axis=0), fewest[model, name])
            row |= {name: float(np.mean(at[model, name])), f"{name}_low": low, f"{name}_high": high}
            of = [rows[model, grid.task] for grid in grids if (model, grid.task) in rows]
            row |= {key: sum(one[key] for one in of) for key in ("prompts", "undefined")}
    yield from rows.values()
