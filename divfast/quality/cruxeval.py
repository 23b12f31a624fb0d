"""``cruxeval``: the sample is the same Python literal as the reference, or makes the assertion true that is run."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

from divfast.quality import executing
from divfast.quality.executing import Program
from divfast.quality.verifiers import (
    Judge,
    Judging,
    Question,
    Settings,
    Verdict,
    Verifier,
    gold_answers,
    json_field,
    same_for_all,
)

_CALL = re.compile(r"\s*f\s*\((.*)\)\s*", re.DOTALL)
_ASSERTION = re.compile(r"(.*^)assert (.*)==\s*", re.DOTALL | re.MULTILINE)
_FAILURES = (ValueError, SyntaxError, TypeError, MemoryError, RecursionError)


def answer(text: str) -> str:
    """Return what a sample gives as the answer: the arguments of a call of f, else all of it.

    Examples
    --------
    >>> answer("f([1, 2])"), answer(" 'a' ")
    ('[1, 2]', "'a'")
    """
    match = _CALL.fullmatch(text)
    return match[1].strip() if match else text.strip()


def literal(text: str) -> Any:
    """Return the value of a Python literal; something that equals nothing where it is none.

    Several arguments are a tuple. As in Python, 1, 1.0 and True are equal.

    Examples
    --------
    >>> literal("[1, 'a']") == literal('[ 1.0,"a"]'), literal("f(1)") == literal("f(1)")
    (True, False)
    """
    try:
        return ast.literal_eval(text)
    except _FAILURES:
        return object()


def judge(question: Question, settings: Settings) -> Judge | Verdict:
    """Compare literals, and texts where either is none."""
    golds = gold_answers(question)
    if isinstance(golds, Verdict):
        return golds
    expected = answer(golds[0])
    wanted = literal(expected)

    def verdict(text: str) -> Verdict:
        found = answer(text)
        right = found == expected or literal(found) == wanted
        if settings.json_field is not None and isinstance(wanted, str):
            # A JSON string may be the string that is meant, blanks at its ends included, or its literal without quotes.
            right = right or text == wanted or literal(f"'{text}'") == wanted
        return Verdict(right, found or None, expected)

    return same_for_all(verdict, question, settings)


def prepare(question: Question, settings: Settings) -> Sequence[Program | Verdict] | Verdict:
    """Return what is run for every sample: the assertion in ``tests``, which ends where the sample goes on.

    A sample is an expression. Where the input is asked for it calls f; where the output is, f is not there to be asked.
    """
    given = question.columns.get("tests")
    if given is None:
        return Verdict(None, error="no tests")
    match = _ASSERTION.fullmatch(given) if isinstance(given, str) else None
    if match is None:
        return Verdict(None, error="tests end with no assertion")
    functions, expected = match[1], match[2].strip()
    asks_output = _asks_output(question, expected)
    before = "" if asks_output else functions

    def program(text: str) -> Program | Verdict:
        found = json_field(text, settings.json_field) if settings.json_field is not None else None
        text = text if found is None else found
        if not text.strip():
            return Verdict(False, None, expected)
        call = text if asks_output or _CALL.match(text) else f"f({text})"
        parts = (
            ("expression", call.strip()),
            ("tests", before),
            ("program", f"assert {expected} == (\n{call}\n)"),
        )
        return Program(parts, answer(text), expected)

    return [program(text) for text in question.outputs]


def _asks_output(question: Question, expected: str) -> bool:
    """Whether the output is asked for: the prompt shows where the answer goes, else the reference is the output."""
    prompt = question.prompt or ""
    if "f(??)" in prompt:
        return False
    if re.search(r"==\s*(?:\?\?)?\s*\Z", prompt):
        return True
    golds = gold_answers(question)
    return not isinstance(golds, Verdict) and (
        golds[0].strip() == expected or literal(golds[0]) == literal(expected)
    )


def judging(settings: Settings) -> AbstractContextManager[Judging] | None:
    """Run assertions in sandboxes, where that is allowed."""
    return executing.executing(prepare, settings) if settings.allow_code_execution else None


def check(settings: Settings) -> None:
    """Raise where programs may be run and cannot."""
    if settings.allow_code_execution:
        executing.check_permission("cruxeval", settings)


VERIFIER = Verifier(
    "cruxeval",
    "The sample is the same Python literal as the reference; with --allow-code-execution the assertion is run, so any "
    "input with the right output is right.",
    1,
    judge,
    columns=lambda settings: ("tests",) if settings.allow_code_execution else ("references", "gold"),
    beside=("references", "gold"),
    # Python warns that its parser of literals can run out of stack.
    isolated=lambda settings: True,
    check=check,
    judging=judging,
    limit=lambda settings: executing.SECONDS if settings.allow_code_execution else Settings.limit,
    recipe=lambda settings: (
        {"by": "execution", **executing.recipe(settings)} if settings.allow_code_execution else {}
    ),
    facts=lambda settings: executing.facts(settings) if settings.allow_code_execution else {},
)
