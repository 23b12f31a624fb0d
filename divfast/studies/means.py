"""Means by model and task that somebody else has computed, in place of dumps."""

from __future__ import annotations

import csv
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from divfast.errors import DataError, nearest, os_reason
from divfast.studies.columns import AVERAGE
from divfast.studies.grids import Grid
from divfast.studies.plan import Study, Task

# By metric, task and model.
Means = dict[str, dict[str, dict[str, float]]]
_ALL, _CORRECT = "_all", "_correct"
# Columns of these names tell how good samples are, not how diverse.
_QUALITY = ("accuracy", "majority", "mv_gain", "pass")


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
    columns ``task`` and ``model`` and one a metric. Of the latter a name takes the metric of that name, or calls the
    only one there is so; columns of quality (`is_quality`) come with it. An empty cell, or ``nan``, is undefined.
    """
    out: Means = {}
    for name, file in files.items():
        path = folder / file
        for metric, by_task in _read(path, name).items():
            for task, by_model in by_task.items():
                known = out.setdefault(metric, {}).setdefault(task, {})
                for model, value in by_model.items():
                    if model in known:
                        raise DataError(
                            f"has {metric} of {model} on {task} a second time; another file of means has it too.",
                            where=str(path),
                            remedy="Give it in one of the two.",
                        )
                    known[model] = value
    return out


def is_quality(name: str) -> bool:
    """Return whether a column is a measure of quality by its name: accuracy, majority vote, pass@k.

    Examples
    --------
    >>> [is_quality(name) for name in ("accuracy_percent", "pass_16", "vendi")]
    [True, True, False]
    """
    return name.startswith(_QUALITY)


def _read(path: Path, name: str) -> Means:
    """Return what one file holds."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            rows = list(csv.reader(opened))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        told = os_reason(error) if isinstance(error, OSError) else "it is not UTF-8"
        told = f"it is no CSV ({error})" if isinstance(error, csv.Error) else told
        raise DataError(f"cannot be read: {told}.", where=str(path), remedy="Check the path.") from None
    header = [cell.strip() for cell in rows[0]] if rows else []
    _check_header(path, header)
    wide = "task" not in header
    out: Means = {}
    for number, row in enumerate(rows[1:], 2):
        if not any(cell.strip() for cell in row):
            continue
        where = f"{path}:{number}"
        if len(row) != len(header):
            raise DataError(
                f"has {len(row)} cells where the first line has {len(header)}.",
                where=where,
                remedy="Give every line as many.",
            )
        cells = dict(zip(header, (cell.strip() for cell in row), strict=True))
        model, task = cells.pop("model"), cells.pop("task", "")
        if not model or not (wide or task):
            raise DataError(f"names no {'task' if model else 'model'}.", where=where, remedy="Name it.")
        for column, text in cells.items():
            metric = (name or path.stem) if wide else column.removesuffix(_ALL)
            of = out.setdefault(metric, {}).setdefault(column if wide else task, {})
            if model in of:
                on = "" if wide else f" on {task}"
                raise DataError(f"has {model}{on} a second time.", where=where, remedy="Keep one of the two.")
            of[model] = _number(text, where)
    for tasks in out.values():
        if AVERAGE in tasks:
            raise DataError(
                f"has a task called {AVERAGE}, which stands for the average over tasks.",
                where=str(path),
                remedy="Leave it out: it is computed.",
            )
    return _named(path, out, name) if name and not wide else out


def _check_header(path: Path, header: Sequence[str]) -> None:
    remedy = "Begin it with model,TASK,TASK,... or with task,model,METRIC,..."
    if "model" not in header or len(set(header) - {"task"}) < 2:
        there = ", ".join(header) or "nothing"
        what = "has no column model, but" if "model" not in header else "has no numbers beside"
        raise DataError(f"{what} {there}.", where=str(path), remedy=remedy)
    names = Counter(header if "task" not in header else [name.removesuffix(_ALL) for name in header])
    for name, many in names.items():
        if many > 1 or not name:
            told = f"has {many} columns {name!r}." if name else "has a column without a name."
            raise DataError(told, where=f"{path}:1", remedy="Give every column a name of its own.")


def _named(path: Path, found: Means, name: str) -> Means:
    """Return the metric of a name, or the only one there is under that name, with what tells of quality."""
    metrics = [one for one in found if not (one.endswith(_CORRECT) or is_quality(one))]
    if name not in metrics and len(metrics) != 1:
        raise DataError(
            f"holds no metric {name!r}, but {' and '.join(metrics) or 'none'}.",
            where=str(path),
            remedy=f"Name one of them, or the file alone: --means {path.name}.",
        )
    taken = name if name in metrics else metrics[0]
    names = {taken: name, taken + _CORRECT: name + _CORRECT}
    return {names.get(one, one): of for one, of in found.items() if one in names or is_quality(one)}


def _number(text: str, where: str) -> float:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise DataError(
            f"has {text!r} where a number should be.", where=where, remedy="Leave unknown ones empty."
        )
    return value


def narrowed(study: Study, found: Means, *, intersect: bool, remarks: list[str]) -> Study:
    """Return a study of what its means hold.

    Parameters
    ----------
    study : Study
        The file. Where it names no tasks they are those of the means.
    found : Means
        From `read_means`.
    intersect : bool
        Where tasks or models of the study are in no file, go on with the others: without these tasks, and without the
        lineages that such models are in.
    remarks : list of str
        Is told what was left out.

    Raises
    ------
    DataError
        Where something of the study is missing, and `intersect` does not say to go on, or nothing would be left.
    """
    known = list(dict.fromkeys(task for tasks in found.values() for task in tasks))
    tasks = study.tasks or {name: Task(name) for name in known}
    missing = [name for name in tasks if name not in known]
    if missing:
        _check_missing(study, "tasks", missing, tasks, known, intersect=intersect)
        remarks.append(
            f"Without {len(missing)} of the {len(tasks)} tasks, of which there are no means: {_list(missing)}."
        )
    held = list(dict.fromkeys(model for by_task in found.values() for of in by_task.values() for model in of))
    absent = [name for name in study.models if name not in held]
    lineages = study.lineages
    if absent:
        _check_missing(study, "models", absent, study.models, held, intersect=intersect)
        lineages = {
            name: stages
            for name, stages in lineages.items()
            if not any(model in absent for stage in stages for model in stage.models)
        }
        gone = [name for name in study.lineages if name not in lineages]
        told = f", and so without the lineages {_list(gone)}" if gone else ""
        many = f"{len(absent)} of the {len(study.models)} models"
        remarks.append(f"Without {many}, of which there are no means: {_list(absent)}{told}.")
    return replace(
        study,
        tasks={name: task for name, task in tasks.items() if name not in missing},
        models={name: one for name, one in study.models.items() if name not in absent},
        lineages=lineages,
    )


def _check_missing(
    study: Study,
    of: str,
    missing: Sequence[str],
    named: Mapping[str, object],
    known: Sequence[str],
    *,
    intersect: bool,
) -> None:
    if len(missing) == len(named):
        raise DataError(
            f"the means hold none of the {of} of the study ({_list(missing)}), but {_list(known)}.",
            where=str(study.path),
            remedy="Check the names in both files.",
        )
    if not intersect:
        # Where it is a slip of the pen.
        like = nearest(missing[0], [name for name in known if name not in named])
        slip = f"{like} Or go" if len(missing) == 1 and like.startswith("Did you mean") else "Go"
        raise DataError(
            f"the {of} differ: the study has {len(named)}, of which the means hold {len(named) - len(missing)}; "
            f"there is no {_list(missing)}.",
            where=str(study.path),
            remedy=f"{slip} on with those that are in both: --intersect.",
        )


def _list(names: Sequence[str]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}" if len(names) > 1 else "".join(names)


def grids_of_means(study: Study, found: Means, *, intersect: bool, remarks: list[str]) -> list[Grid]:
    """Return grids of one prompt, the mean.

    Parameters
    ----------
    study : Study
        From `narrowed`.
    found, intersect, remarks
        As there: a model that has no value on a task where others have one is refused, or its value undefined.
    """
    models = tuple(study.models)
    diverse = [name for name in found if not (name.endswith(_CORRECT) or is_quality(name))]
    for name in found:
        if name.endswith(_CORRECT) and name.removesuffix(_CORRECT) not in diverse:
            remarks.append(
                f"{name} is left out: there is no {name.removesuffix(_CORRECT)}{_ALL} to compare it with."
            )
    if not diverse:
        raise DataError(
            f"the means hold no metric of diversity, but {_list(list(found))}.",
            where=str(study.path),
            remedy="Give one too, in a column or file of its own.",
        )
    out, lacking = [], []
    for task in study.tasks:
        here = {name: found[name][task] for name in found if task in found[name]}
        lacking += [(name, task, model) for name, of in here.items() for model in models if model not in of]
        columns = {name: np.array([[of.get(model, np.nan)] for model in models]) for name, of in here.items()}
        named = tuple(name for name in diverse if name in columns)
        right = {name: columns[name + _CORRECT] for name in named if name + _CORRECT in columns}
        values = {name: of for name, of in columns.items() if name in named or is_quality(name)}
        out.append(Grid(task, {}, models, named, values, right, {}, {}))
    if lacking:
        name, task, model = lacking[0]
        told = f"the means of {name} on {task} hold no model {model!r}"
        if not intersect:
            raise DataError(
                f"{told}{f', and {len(lacking) - 1} more lack' if len(lacking) > 1 else ''}.",
                where=str(study.path),
                remedy=f"{nearest(model, found[name][task])} Or take it for undefined: --intersect.",
            )
        remarks.append(f"{len(lacking)} means are missing and undefined; {told}.")
    return out
