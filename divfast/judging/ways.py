"""How the task of a dump has its samples judged: which question, against what, by which model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from divfast.errors import MetricError
from divfast.generation.task import SUFFIXES, all_tasks, find_task
from divfast.judging.templates import fields_of
from divfast.readers import find_dumps, read
from divfast.readers.fields import Malformed, dig
from divfast.readers.source import Source


@dataclass(frozen=True)
class Way:
    """How samples are judged where nothing else is said.

    Attributes
    ----------
    task : str or None
        The task that says so.
    how : str or None
        ``pair``, ``score``, ``checklist`` or ``reference``; None where no task says, ``auto`` for what the dump has.
    against : str or None
        Of pairs, what a sample is compared with: ``reference`` or ``base``.
    template : str or None
        The question: a name in `divfast.judging.templates.OF_TASKS`, or a file; None for that of `how`.
    model : str or None
        The judge that it was made for.
    unknown : str or None
        The task that a dump names and that there is not.
    """

    task: str | None = None
    how: str | None = None
    against: str | None = None
    template: str | None = None
    model: str | None = None
    unknown: str | None = None

    def settled(
        self, dumps: Sequence[str | Path], *, rubric: str | None, template: str | None, references: bool
    ) -> Way:
        """Return what is done in the end: what is said goes before what the task says.

        Parameters
        ----------
        dumps : sequence of str or Path
            One or two.
        rubric : str or None
            How one dump is scored.
        template : str or None
            A question of one's own.
        references : bool
            Whether one dump is compared with its references.

        Raises
        ------
        MetricError
            Where the way needs another dump.
        """
        if len(dumps) > 1:
            return self._as("pair", None, template)
        if references:
            return self._as("pair", "reference", template)
        if rubric is not None:
            return self._as(rubric, None, template)
        if template is not None and (self.how != "pair" or "response" in fields_of(template)):
            return self._as("auto", None, template)
        if self.how == "pair" and self.against != "reference":
            base = "the base model" if self.against == "base" else "another model"
            raise MetricError(
                f"samples of the task {self.task} are compared with those of {base}.",
                where=str(dumps[0]),
                remedy="Name that dump too, or ask for scores: --rubric score.",
            )
        return self._as(self.how or "auto", self.against, template)

    def _as(self, how: str, against: str | None, template: str | None) -> Way:
        own = self.template if self.how == how else None
        return replace(self, how=how, against=against, template=template or own)


def find_way(dumps: Sequence[str | Path], task: str | None = None) -> Way:
    """Return how a task has its samples judged, by default the task that the dumps name.

    Parameters
    ----------
    dumps : sequence of str or Path
        Of the same prompts; standard input is not looked at. Where they name different tasks, none counts.
    task : str, optional
        Name of a task, or a file, instead of what the dumps say.

    Raises
    ------
    MetricError
        Where there is no task of that name.
    DataError
        Where a dump or the file of a task cannot be read.
    """
    if task is None:
        named = list(dict.fromkeys(name for name in map(task_of, dumps) if name is not None))
        if len(named) != 1:
            return Way()
        task = named[0]
        if task not in all_tasks() and not Path(task).is_file():
            return Way(unknown=task)
    found = find_task(task)
    said = found.judge
    return Way(found.name, said.get("how"), said.get("against"), said.get("prompt"), said.get("model"))


def task_of(dump: str | Path) -> str | None:
    """Return the task that the first record of a dump names, or its file where that is there; None for none."""
    if str(dump) == "-" or not Path(dump).is_file():
        return None
    source = Source(dump)
    try:
        first = source.first_record or {}
        found, drawn = first.get("task"), dig(first.get("generation"), "prompts")
    except Malformed:
        return None
    if not isinstance(found, str) or not found:
        return None
    # divfast generate notes what it was given, which for a task of one's own is a path.
    path = Path(drawn) if isinstance(drawn, str) else None
    is_file = path is not None and path.suffix in SUFFIXES and path.stem == found and path.is_file()
    return str(path) if is_file and found not in all_tasks() else found


def check_one_task(dumps: Sequence[str | Path], **reading: Any) -> None:
    """Raise `MetricError` where a dump holds samples of several tasks, which one way would not fit."""
    for dump in dumps:
        blocks = read(find_dumps([dump]), columns=(), **reading)
        for _ in blocks:
            if blocks.meta.get("task", "") is None:
                raise MetricError(
                    "holds samples of several tasks, which are judged in different ways.",
                    where=blocks.name,
                    remedy="Judge one task at a time, or say --rubric score to score all in one way.",
                )
