"""What is compared: two dumps of the same prompts, or one with its references."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from divfast import _core
from divfast.dumps import block_limits
from divfast.errors import DataError
from divfast.judging.scores import facts_of
from divfast.judging.shown import (
    CHECKLIST,
    COLUMNS,
    REFERENCE,
    checklist_of,
    lacking_references,
    must_have_prompt,
    reference_text,
    references_of,
    request_of,
)
from divfast.judging.templates import Template
from divfast.quality.rewriting import questions_of
from divfast.quality.verifiers import Question
from divfast.readers import find_dumps, read
from divfast.samples import Ragged


@dataclass
class Side:
    """The samples of one of the two.

    Attributes
    ----------
    name : str
        Path of the dump.
    questions : dict
        Prompts and their samples, by id.
    print : str
        Eight hexadecimal digits that stand for the samples.
    facts : list of Mapping
        What was met in reading it.
    """

    name: str
    questions: dict[str, Question]
    print: str
    facts: list[Mapping[str, Any]] = field(default_factory=list)
    are_references: bool = False


def read_side(path: str | Path, gold: str | None, memory: int | None, reading: Mapping[str, Any]) -> Side:
    """Return a dump, read whole.

    Raises
    ------
    DataError
        Where it cannot be read, or has several prompts of one id.
    """
    limits = {**block_limits(memory), **reading}
    columns = ["model", "task", *COLUMNS, *(() if gold is None else (gold,))]
    blocks = read(find_dumps([path]), columns=columns, as_json=True, **limits)
    questions: dict[str, Question] = {}
    print_ = 0
    for block in blocks:
        print_ = _core.fingerprint(block.text.values, block.text.offsets, block.groups, print_)
        for question in questions_of(block):
            if question.id in questions:
                raise DataError(
                    f"has several prompts of the input_id {question.id!r}, which cannot be paired.",
                    where=blocks.name,
                    remedy="Give every prompt an id of its own, or judge one model and task at a time.",
                )
            questions[question.id] = question
    return Side(blocks.name, questions, f"{print_ >> 32:08x}", [facts_of(blocks)])


def references_as_side(of: Side, gold: str | None) -> Side:
    """Return the references of a dump as if they were another's samples.

    Raises
    ------
    DataError
        Where it has none.
    """
    questions = {
        id: replace(question, outputs=found)
        for id, question in of.questions.items()
        if (found := references_of(question, gold))
    }
    if not questions:
        raise lacking_references(of.name, gold, "a second dump to compare with")
    texts = Ragged.from_strings([text for one in questions.values() for text in one.outputs])
    groups = np.cumsum([0, *(len(one.outputs) for one in questions.values())], dtype=np.int64)
    print_ = _core.fingerprint(texts.values, texts.offsets, groups, 0)
    return Side(of.name, questions, f"{print_ >> 32:08x}", are_references=True)


class Match:
    """The prompts that both sides have, and what a judge is shown of them.

    Parameters
    ----------
    a, b : Side
        The two.
    template : Template
        The question.
    gold : str or None
        The column with the references.
    """

    def __init__(self, a: Side, b: Side, template: Template, gold: str | None) -> None:
        self.a, self.b = a.questions, b.questions
        self.ids = [id for id in self.a if id in self.b]
        self._where, self._template, self._gold = a.name, template, gold
        self.different = 0
        for id in self.ids:
            prompts = [one for one in (self.a[id].prompt, self.b[id].prompt) if one is not None]
            self.different += len(set(prompts)) > 1
        if not self.ids:
            raise DataError(
                f"no input_id is in both {a.name} and {b.name}.",
                remedy="Judge dumps of the same prompts; --id-field names the field that holds the id.",
            )
        self.without_reference = sum(not self.is_asked(id) for id in self.ids)
        if self.without_reference == len(self.ids):
            raise lacking_references(a.name, gold, "ask without {reference} in the template")

    def is_asked(self, id: str) -> bool:
        """Return whether a prompt has what the question needs."""
        return REFERENCE not in self._template.fields or self._reference(id) is not None

    def fields(self, id: str) -> dict[str, str]:
        """Return what the judge is shown beside the answers: what A says, or B where A says nothing."""
        one, other = self.a[id], self.b[id]
        request = request_of(one)
        request = request_of(other) if request is None else request
        if request is None:
            raise must_have_prompt(one, self._where)
        return {
            "prompt": request,
            CHECKLIST: checklist_of(one) or checklist_of(other) or "",
            REFERENCE: self._reference(id) or "",
        }

    def _reference(self, id: str) -> str | None:
        return reference_text(references_of(self.a[id], self._gold) or references_of(self.b[id], self._gold))
