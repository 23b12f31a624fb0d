"""``cruxeval``: the sample is the same Python literal as the reference."""

from __future__ import annotations

import ast
import re
from typing import Any

from divfast.quality.verifiers import Judge, Question, Settings, Verdict, Verifier, gold_answers, same_for_all

_CALL = re.compile(r"\s*f\s*\((.*)\)\s*", re.DOTALL)
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


VERIFIER = Verifier(
    "cruxeval",
    "The sample is the same Python literal as the reference; another input with the right output counts as wrong.",
    1,
    judge,
    columns=lambda settings: ("references", "gold"),
    # Python warns that its parser of literals can run out of stack.
    isolated=lambda settings: True,
)
