"""Means by model and task that somebody else has computed, in place of dumps."""

from __future__ import annotations

import csv
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from divfast.errors import DataError, nearest, os_reason
from divfast.studies.grids import Grid
from divfast.studies.plan import Study, Task

# By metric, task and model.
Means = dict[str, dict[str, dict[str, float]]]
_ALL, _CORRECT = "_all", "_correct"


def read_means(files: Mapping[str, str], folder: Path) -> Means:
    """Return what files of means hold.

    Parameters
    ----------
    files : Mapping[str, str]
        Names of metrics and files; an empty name for a file that names its metrics.
    folder : Path
        Where relative names begin.

    Returns
    -------
    dict
        By metric, task and model. A column ``X_all`` is the metric ``X``, a column ``X_correct`` stays what it is.

    Raises
    ------
    DataError
        Where a file cannot be read, or has neither shape.

    Notes
    -----
    CSV of one of two shapes: a column ``model`` and one a task (one metric, by default called as the file is), or
    columns ``task`` and ``model`` and one a metric. An empty cell is undefined.
    """
    out: Means = {}
    for name, file in files.items():
        path = folder / file
        try:
            with path.open(encoding="utf-8-sig", newline="") as opened:
                rows = list(csv.reader(opened))
        except (OSError, UnicodeDecodeError) as error:
            told = os_reason(error) if isinstance(error, OSError) else "it is not UTF-8"
            raise DataError(f"cannot be read: {told}.", where=str(path), remedy="Check the path.") from None
        header = [cell.strip() for cell in rows[0]] if rows else []
        if "model" not in header or len(header) < 2:
            raise DataError(
                f"has no column model, but {', '.join(header) or 'nothing'}.",
                where=str(path),
                remedy="Begin it with model,TASK,TASK,... or with task,model,METRIC,...",
            )
        wide = "task" not in header
        for number, row in enumerate(rows[1:], 2):
            if not any(cell.strip() for cell in row):
                continue
            if len(row) != len(header):
                raise DataError(
                    f"has {len(row)} cells where the first line has {len(header)}.",
                    where=f"{path}:{number}",
                    remedy="Give every line as many.",
                )
            cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
            model, task = cells.pop("model"), cells.pop("task", "")
            for column, text in cells.items():
                metric = (name or path.stem) if wide else column.removesuffix(_ALL)
                of = out.setdefault(metric, {}).setdefault(column if wide else task, {})
                if model in of:
                    raise DataError(
                        f"has {model} a second time.", where=f"{path}:{number}", remedy="Keep one of the two."
                    )
                of[model] = _number(text, f"{path}:{number}")
    return out


def _number(text: str, where: str) -> float:
    try:
        found = float(text) if text else math.nan
        if math.isinf(found):
            raise ValueError
        return found
    except ValueError:
        raise DataError(
            f"has {text!r} where a number should be.", where=where, remedy="Leave unknown ones empty."
        ) from None


def with_tasks(study: Study, found: Means) -> Study:
    """Return a study with the tasks of its means where it names none."""
    if study.tasks:
        return study
    names = dict.fromkeys(task for tasks in found.values() for task in tasks)
    return replace(study, tasks={name: Task(name) for name in names})


def grids_of_means(study: Study, found: Means) -> list[Grid]:
    """Return grids of one prompt, the mean.

    Raises
    ------
    DataError
        Where a model or task of the study is in no file.
    """
    models = tuple(study.models)
    metrics = [name for name in found if not name.endswith(_CORRECT)]
    out = []
    for task in study.tasks:
        here = {name: found[name][task] for name in found if task in found[name]}
        if not here:
            known = {name for tasks in found.values() for name in tasks}
            raise DataError(
                f"the means hold no task {task!r}.", where=str(study.path), remedy=nearest(task, known)
            )
        for name, of in here.items():
            for model in models:
                if model not in of:
                    raise DataError(
                        f"the means of {name} on {task} hold no model {model!r}.",
                        where=str(study.path),
                        remedy=nearest(model, of),
                    )
        columns = {name: np.array([[of[model]] for model in models]) for name, of in here.items()}
        named = tuple(name for name in metrics if name in columns)
        right = {name: columns[name + _CORRECT] for name in named if name + _CORRECT in columns}
        out.append(Grid(task, {}, models, named, {name: columns[name] for name in named}, right, {}, {}))
    return out
