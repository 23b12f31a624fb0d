"""What a study lacks, drawn: every model on every task, one dump after the other."""

from __future__ import annotations

import glob
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from divfast.errors import DataError, DivfastError, MetricError, ModelError, nearest, os_reason
from divfast.generation.generating import Generation, Progress, generate
from divfast.generation.opening import Engines
from divfast.generation.sampling import Sampling
from divfast.generation.task import SUFFIXES, find_task

_SAMPLING = frozenset(field.name for field in fields(Sampling))
# What a study may say of generation that is no parameter of the sampler.
_SETTINGS = ("k", "limit", "engine", "logprobs")
_ESCAPED = re.compile(r"\[([*?[])\]")

Failure = Callable[[str, DivfastError], None]


def generate_study(
    path: str | Path,
    *,
    model: str | None = None,
    task: str | None = None,
    data: str | None = None,
    sampling: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    failed: Failure | None = None,
    **settings: Any,
) -> Iterator[tuple[str, Generation]]:
    """Draw what the dumps of a study lack, and yield the name of each dump with what was done.

    Parameters
    ----------
    path : str or Path
        The study file; see `divfast.studies.plan.read_study`.
    model, task : str, optional
        Only this model of the study, only this task.
    data : str, optional
        Where data sets are, with ``{task}`` for the name of the task; by default on the hub.
    sampling, **settings
        As in `generate`; what is given here goes before what the study says.
    progress : callable, optional
        As in `generate`.
    failed : callable, optional
        Called with the name of a dump and why it was not drawn; the others are drawn then. Without it the first one
        that fails ends the run.

    Raises
    ------
    DivfastError
        Before anything is drawn, where the study does not say what to load or where to write, or names a task that
        there is not; or as `generate`.

    Notes
    -----
    What a model says of generation goes before what a task says, that before what the study says. A factor of the
    study that is named like a parameter of the sampler sets it. A model that was loaded stays for its next task; one
    that cannot be loaded is not tried again.
    """
    from divfast.studies.plan import read_study

    study = read_study(path)
    models = _chosen("model", model, study.models)
    tasks = _chosen("task", task, study.tasks)
    given = {name: value for name, value in settings.items() if value is not None}
    for which in tasks:
        find_task(_task(study, which))
    planned = [
        _Planned(name, which, _output(study, name, which, levels), _said(study, name, which, levels))
        for name in models
        for which in tasks
        for levels in study.settings()
    ]
    lacking: dict[str, ModelError] = {}
    with Engines() as engines:
        for one in planned:
            over = {key: value for key, value in (sampling or {}).items() if value is not None}
            one.said["sampling"] |= over
            try:
                if one.model in lacking:
                    raise lacking[one.model]
                _make_folder(one.output.parent)
                done = generate(
                    output=one.output,
                    task=_task(study, one.task),
                    data=data.replace("{task}", one.task) if data else None,
                    engines=engines,
                    progress=progress,
                    **{**one.said, **given},
                )
            except DivfastError as error:
                if failed is None:
                    raise
                if isinstance(error, ModelError):
                    lacking[one.model] = error
                failed(str(one.output), error)
                continue
            yield str(one.output), done


@dataclass(frozen=True)
class _Planned:
    """A dump that the study is to have, and what it says of it."""

    model: str
    task: str
    output: Path
    said: dict[str, Any]


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot be made: {os_reason(error)}.", where=str(folder)) from None


def _chosen(kind: str, name: str | None, known: Mapping[str, Any]) -> list[str]:
    if name is None:
        return list(known)
    if name not in known:
        raise MetricError(f"the study has no {kind} {name!r}.", remedy=nearest(name, known))
    return [name]


def _said(study: Any, model: str, task: str, levels: Mapping[str, str]) -> dict[str, Any]:
    """Return the keywords of `generate` that the study says."""
    loaded = study.models[model]
    if not loaded.get("model"):
        raise DataError(
            f"does not say what to load for the model {model!r}.",
            where=str(study.path),
            remedy=f"Write models: {model}: {{model: NAME}}.",
        )
    said = {**study.generation, **study.tasks[task].generation, **loaded.get("generation", {})}
    sampling = {name: said[name] for name in _SAMPLING if name in said}
    sampling |= {name: _level(study, name, level) for name, level in levels.items()}
    folder = study.folder / str(loaded["model"])
    found: dict[str, Any] = {name: said[name] for name in _SETTINGS if name in said}
    found |= {**said.get("options", {}), **loaded.get("options", {})}
    if isinstance(lora := found.get("lora"), str) and (study.folder / lora).is_dir():
        found["lora"] = str(study.folder / lora)
    return {
        "k": 1,
        **found,
        "model": str(folder) if folder.is_dir() else str(loaded["model"]),
        "label": model,
        "engine": loaded.get("engine") or said.get("engine") or "auto",
        "revision": loaded.get("revision"),
        "chat": _chat(study, model, loaded.get("prompt")),
        "template": _template(study, loaded.get("template")),
        "system": loaded.get("system"),
        "think": loaded.get("think", True),
        "sampling": sampling,
    }


def _task(study: Any, name: str) -> str:
    """Return the name of a task, or the path of a task file, which stands beside the study as models do."""
    path = study.folder / name
    return str(path) if path.suffix in SUFFIXES and path.is_file() else name


def _level(study: Any, name: str, level: str) -> Any:
    if name not in _SAMPLING - {"stop"}:
        raise DataError(
            f"has a factor {name!r}, which is no parameter of a sampler.",
            where=str(study.path),
            remedy="Draw its levels one by one, with -o.",
        )
    try:
        return int(level) if name in ("top_k", "max_tokens", "seed") else float(level)
    except ValueError:
        raise DataError(f"has a level {level!r} of {name}, not a number.", where=str(study.path)) from None


def _chat(study: Any, model: str, prompt: Any) -> bool | None:
    if prompt not in (None, "chat", "raw"):
        raise DataError(
            f"says prompt: {prompt} of the model {model!r}.", where=str(study.path), remedy="Say chat or raw."
        )
    return None if prompt is None else bool(prompt == "chat")


def _template(study: Any, name: Any) -> str | None:
    if name is None:
        return None
    path = study.folder / str(name)
    try:
        return str(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"cannot be read: {os_reason(error)}.", where=str(path)) from None


def _output(study: Any, model: str, task: str, levels: Mapping[str, str]) -> Path:
    if not study.dumps or glob.has_magic(study.dumps):
        raise DataError(
            "names no file for each dump.",
            where=str(study.path),
            remedy="Write dumps: FOLDER/{model}/{task}.jsonl, without * and ?.",
        )
    return Path(_ESCAPED.sub(r"\1", str(study.dump(model, task, **levels))))
