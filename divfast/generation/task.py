"""Tasks: which prompts of which data set, how they are put, and how answers are judged; one file of YAML each."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

from divfast.errors import DataError, MetricError, nearest, os_reason
from divfast.generation.conditions import Condition
from divfast.generation.data import columns_of, read_hub, read_local
from divfast.generation.prompts import Message, Prompt
from divfast.generation.task_file import read_keys
from divfast.generation.template import Record, Template, Unfit, filled

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Task:
    r"""Prompts of a data set, and what is known of their answers.

    Attributes
    ----------
    name : str
        That of its file.
    summary : str
        One line.
    dataset, config, split, revision : str or None
        Where it is on the Hugging Face Hub.
    n : int or None
        How many of its records are asked, None for all.
    seed : int or None
        Of the shuffle before the first `n` are taken: ``random.Random(seed).shuffle``. None leaves their order.
    filter : tuple of Condition
        All that a record must meet, before any shuffle.
    id : Template or None
        Of the prompts; None numbers what the filter leaves, from 0.
    format : tuple of Template
        The prompt; of several the first whose fields are all filled.
    chat_format : tuple of Template
        The same for models that are asked through a chat template. Empty: no other than `format`.
    answer : Template or None
        What follows the prompt in an example.
    examples : tuple of Mapping
        Records that are shown with their answers before each prompt (few-shot).
    columns : Mapping
        Templates of what a dump holds beside the samples: ``gold``, ``references``, ``tests``, ``entry_point``, ...
    verify : Mapping
        Keywords of `divfast.verify`, with `verifier` among them; empty where no rule can tell.
    judge : Mapping
        How a model judges: `how`, `against`, `prompt`, `model`; empty where none does.
    stop : tuple of str
        Where samples of a raw prompt end. A chat model ends by itself.
    max_tokens : int
        The longest sample, reasoning included.
    source : str
        The file, comments included.
    """

    name: str
    summary: str
    dataset: str
    format: tuple[Template, ...]
    config: str | None = None
    split: str = "test"
    revision: str | None = None
    n: int | None = None
    seed: int | None = None
    filter: tuple[Condition, ...] = ()
    id: Template | None = None
    chat_format: tuple[Template, ...] = ()
    answer: Template | None = None
    examples: tuple[Record, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)
    verify: Mapping[str, Any] = field(default_factory=dict)
    judge: Mapping[str, Any] = field(default_factory=dict)
    stop: tuple[str, ...] = ()
    max_tokens: int = 32768
    source: str = ""

    @property
    def verifier(self) -> str | None:
        """The name of its verifier; None where no rule can tell what is right."""
        return self.verify.get("verifier")

    def to_dict(self) -> dict[str, Any]:
        """Return what its file says, with its name."""
        import yaml

        return {"name": self.name, **yaml.safe_load(self.source)}

    @property
    def reads(self) -> list[str]:
        """The columns of the data set that it reads."""
        templates = [*(condition.template for condition in self.filter), *self.format, *self.chat_format]
        templates += [self.id] if self.id else []
        templates += _templates(self.columns)
        return list(dict.fromkeys(name for template in templates for name in template.columns))


def all_tasks() -> dict[str, Task]:
    """Return the tasks that come with divfast, by name.

    Examples
    --------
    >>> all_tasks()["gsm8k"].verifier
    'gsm8k'
    """
    return {name: find_task(name) for name in _names()}


def find_task(name: str | Path) -> Task:
    """Return a task by its name, or by the path of a file of one's own.

    Raises
    ------
    MetricError
        Where there is no task of that name.
    DataError
        Where the file cannot be read, or is no task.

    Examples
    --------
    >>> find_task("gsm8k").dataset
    'openai/gsm8k'
    """
    if str(name) in _names():
        text = _folder().joinpath(f"{name}.yaml").read_text("utf-8")
        return Task(str(name), source=text, **read_keys(text, f"task {name}"))
    path = Path(name)
    if path.suffix not in SUFFIXES:
        close = nearest(str(name), _names())
        raise MetricError(f"unknown task {str(name)!r}.", remedy=f"{close} Or name a .yaml file of your own.")
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise DataError(f"cannot be read: {os_reason(error)}.", where=str(path)) from None
    except UnicodeDecodeError:
        raise DataError("is not UTF-8 text.", where=str(path)) from None
    keys = read_keys(text, str(path))
    if "prompt" in keys.get("judge", {}):
        keys["judge"] = {**keys["judge"], "prompt": _judge_prompt(keys["judge"], path)}
    task = Task(path.stem, source=text, **keys)
    if task.verifier is not None:
        _check_verifier(task.verifier, str(path))
    return task


def _judge_prompt(judge: Mapping[str, Any], path: Path) -> str:
    """Return what the judge is asked: a text of the package by its name, or the path of one beside the task."""
    from divfast.judging.templates import OF_TASKS, find_template

    name = str(judge["prompt"])
    if OF_TASKS.get(name) == judge["how"]:
        return name
    beside = path.parent / name
    if not beside.is_file():
        names = [one for one, how in OF_TASKS.items() if how == judge["how"]]
        raise DataError(
            f"judge: there is no prompt {name!r} for how: {judge['how']}.",
            where=str(path),
            remedy=f"Name one of {', '.join(names)}, or a file beside it.",
        )
    find_template(judge["how"], beside)
    return str(beside)


def _check_verifier(name: str, where: str) -> None:
    from divfast.quality.verifiers import find_verifier

    try:
        find_verifier(name)
    except MetricError as error:
        raise DataError(f"verify: {error.what}", where=where, remedy=error.remedy) from None


def _folder() -> Any:
    return files("divfast").joinpath("generation", "tasks")


def _names() -> list[str]:
    return sorted(
        file.name.removesuffix(".yaml") for file in _folder().iterdir() if file.name.endswith(".yaml")
    )


def load_prompts(
    task: Task | str | Path,
    data: str | Path | None = None,
    limit: int | None = None,
    *,
    fields: Mapping[str, str] | None = None,
    chat: bool = False,
) -> list[Prompt]:
    """Return the prompts of a task in the order in which the paper asks them.

    Parameters
    ----------
    task : Task, str or Path
        As for `find_task`.
    data : str or Path, optional
        A file (JSON Lines, JSON, Parquet, CSV; compressed or not) or a folder of them with the columns of the data
        set, instead of the Hugging Face Hub. Of a folder, the files whose path names the config and the split, where
        there are such.
    limit : int, optional
        Take only the first so many.
    fields : Mapping[str, str], optional
        Other names that columns have in `data`: ``{"text": "prompt"}`` reads ``prompt`` where the task says ``text``.
    chat : bool
        Whether they are for a chat template: then `Task.chat_format` counts, and examples are earlier turns.

    Raises
    ------
    DataError
        Where columns are missing, a value is not of the kind that the task takes, or nothing can be read.
    BackendError
        Where the hub is needed and ``datasets`` is not installed.

    Notes
    -----
    Filter, then shuffle, then the first `Task.n`: the same records in the same order as lighteval, which the paper
    used, takes of the same data set. A file that holds another selection gives another sample.
    """
    task = task if isinstance(task, Task) else find_task(task)
    records: Sequence[Record]
    if data is None:
        records, where = read_hub(task.dataset, task.config, task.split, task.revision), task.dataset
    else:
        records, where = read_local(Path(data), task.config, task.split), str(data)
    names = dict(fields or {})
    _check_columns(task, records, names, where)
    kept: Sequence[int] = range(len(records))
    if task.filter:
        kept = [i for i in kept if _takes(task, _renamed(records[i], names), f"{where}, record {i + 1}")]
    if not kept:
        raise DataError(f"holds no record that the task {task.name} takes.", where=where)
    numbers = list(range(len(kept)))
    if task.seed is not None:
        random.Random(task.seed).shuffle(numbers)
    numbers = numbers[: task.n][:limit]
    prompts = [
        _prompt(task, _renamed(records[kept[i]], names), str(i), chat, f"{where}, record {kept[i] + 1}")
        for i in numbers
    ]
    of: dict[str, int] = {}
    for prompt, i in zip(prompts, numbers, strict=True):
        if prompt.id in of:
            raise DataError(
                f"records {of[prompt.id] + 1} and {kept[i] + 1} have the same id {prompt.id!r}.",
                where=where,
                remedy="Name a column for the id that tells records apart, or leave it out to number them.",
            )
        of[prompt.id] = kept[i]
    return prompts


def _check_columns(task: Task, records: Sequence[Record], names: Mapping[str, str], where: str) -> None:
    there = columns_of(records)
    if unknown := [name for name in names if name not in task.reads]:
        raise DataError(
            f"the task {task.name} reads no column {unknown[0]!r}.", remedy=nearest(unknown[0], task.reads)
        )
    missing = [
        name for name in dict.fromkeys(names.get(name, name) for name in task.reads) if name not in there
    ]
    if missing:
        raise DataError(
            f"has no column {', '.join(missing)}, which the task {task.name} reads; it has {', '.join(there)}.",
            where=where,
            remedy="If a column has another name there, say --field NAME=NAME_THERE.",
        )


def _renamed(record: Record, names: Mapping[str, str]) -> Record:
    return (
        {**record, **{name: record[there] for name, there in names.items() if there in record}}
        if names
        else record
    )


def _takes(task: Task, record: Record, where: str) -> bool:
    try:
        return all(condition.holds(record) for condition in task.filter)
    except Unfit as unfit:
        raise DataError(str(unfit), where=where) from None


def _prompt(task: Task, record: Record, number: str, chat: bool, where: str) -> Prompt:
    forms = (task.chat_format if chat else ()) or task.format
    try:
        asked = filled(forms, record)
        columns = {name: _value(template, record) for name, template in task.columns.items()}
        id = number if task.id is None else task.id.text(record)
        shown = [(filled(forms, one), task.answer.text(one)) for one in task.examples] if task.answer else []
    except Unfit as unfit:
        raise DataError(str(unfit), where=where) from None
    if chat and shown:
        turns: list[Message] = []
        for question, answer in shown:
            turns += [{"role": "user", "content": question}, {"role": "assistant", "content": answer.strip()}]
        return Prompt(id, asked, [*turns, {"role": "user", "content": asked}], columns)
    return Prompt(id, "\n\n".join([*(question + answer for question, answer in shown), asked]), None, columns)


def _templates(value: Any) -> list[Template]:
    if isinstance(value, Mapping):
        return [template for one in value.values() for template in _templates(one)]
    return [value] if isinstance(value, Template) else []


def _value(template: Any, record: Record) -> Any:
    if isinstance(template, Mapping):
        return {name: _value(one, record) for name, one in template.items()}
    return template.value(record)
