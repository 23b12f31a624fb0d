"""What quality does to the diversity of a study: losses taken apart, and accuracy beside what voting gains."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from divfast.decomposition import take_apart
from divfast.studies.attribution import AVERAGE
from divfast.studies.grids import Grid
from divfast.studies.plan import Stage
from divfast.studies.resampling import Floats, between, drawn_means, means, seed_of

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


def decompositions(grid: Grid, models: Mapping[tuple[str, str], str], seed: int) -> Iterator[dict[str, Any]]:
    """Yield the rows of the table of decomposition for one task with verdicts.

    Notes
    -----
    As `divfast.decomposition.take_apart`; of means, where there is no interval of the loss, the share is undefined
    where the loss is less than a twentieth of the base.
    """
    for (base, model), lineages in models.items():
        for metric in grid.right:
            of = (grid.values[metric], grid.right[metric])
            values = [column[grid.row(name)] for column in of for name in (base, model)]
            for over in ("own", "paired") if grid.prompts > 1 else ("own",):
                found = take_apart(
                    metric, over, values, (grid.prompts,) * 2, {}, seed=seed_of(grid.task, seed)
                )
                row: dict[str, Any] = {**grid.factors, "lineage": lineages, "base": base, "model": model}
                row |= {"task": grid.task, "metric": metric, "over": over}
                row |= {name: getattr(found, name) for name in _SIDES}
                for name in _PARTS:
                    low, high = found.intervals[name]
                    row |= {name: getattr(found, name), f"{name}_low": low, f"{name}_high": high}
                if grid.prompts == 1 and abs(found.loss) >= NEAR_ZERO * abs(found.base_all):
                    row["share"] = found.residual / found.loss
                row |= {"computable_base": found.computable[0], "computable_model": found.computable[1]}
                yield row | {"prompts": grid.prompts}


def averaged(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return decompositions averaged over those tasks on which loss and residual are defined, without intervals."""
    key = ("lineage", "base", "model", "metric", "over")
    factors = [
        name for name in (rows[0] if rows else {}) if name not in (*key, "task") and _is_factor(rows, name)
    ]
    of: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for row in rows:
        if not np.isnan(row["loss"]) and not np.isnan(row["residual"]):
            of.setdefault(tuple(row[name] for name in (*factors, *key)), []).append(row)
    out = []
    for names, found in of.items():
        if len({row["task"] for row in rows}) < 2:
            continue
        mean: dict[str, Any] = dict.fromkeys(found[0])
        mean |= dict(zip((*factors, *key), names, strict=True)) | {"task": AVERAGE}
        mean |= {name: float(np.mean([one[name] for one in found])) for name in (*_SIDES, *_PARTS[:3])}
        near = abs(mean["loss"]) < NEAR_ZERO * abs(mean["base_all"])
        mean["share"] = float("nan") if near else mean["residual"] / mean["loss"]
        mean |= {
            name: sum(one[name] for one in found)
            for name in ("computable_base", "computable_model", "prompts")
        }
        out.append(mean)
    return out


def _is_factor(rows: Sequence[Mapping[str, Any]], name: str) -> bool:
    """Return whether a column is of a factor: they stand before the lineage."""
    return list(rows[0]).index(name) < list(rows[0]).index("lineage")


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
    likelihood, the first is no random one, and only ``gain_over_mean`` tells what voting adds.
    """
    drawn: dict[tuple[str, str], list[Floats]] = {}
    at: dict[tuple[str, str], list[float]] = {}
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
        for i, model in enumerate(grid.models):
            row = rows[model, grid.task] = {**grid.factors, "model": model, "task": grid.task}
            for j, name in enumerate(columns):
                low, high = between(replicates[j, i])
                row |= {name: float(found[j, i]), f"{name}_low": low, f"{name}_high": high}
                drawn.setdefault((model, name), []).append(replicates[j, i])
                at.setdefault((model, name), []).append(float(found[j, i]))
            row["prompts"] = grid.prompts
    if len(grids) > 1:
        for (model, name), parts in drawn.items():
            row = rows.setdefault((model, AVERAGE), {**grids[0].factors, "model": model, "task": AVERAGE})
            low, high = between(np.mean(parts, axis=0))
            row |= {name: float(np.mean(at[model, name])), f"{name}_low": low, f"{name}_high": high}
            row["prompts"] = sum(grid.prompts for grid in grids)
    yield from rows.values()
