"""``regex``: what a pattern captures is the answer."""

from __future__ import annotations

import re

from divfast.errors import MetricError
from divfast.quality.verifiers import (
    Judge,
    Question,
    Settings,
    Verdict,
    Verifier,
    folded,
    gold_answers,
    same_for_all,
)


def check(settings: Settings) -> None:
    """Raise `MetricError` unless there is a pattern with one group."""
    if settings.pattern is None:
        raise MetricError("regex needs a pattern.", remedy=r"Give one with --pattern 'answer is (\w+)'.")
    try:
        groups = re.compile(settings.pattern).groups
    except (re.error, OverflowError, RecursionError) as error:
        raise MetricError(f"the pattern is no regular expression: {error}.") from None
    if groups != 1:
        raise MetricError(
            f"the pattern has {groups} groups.",
            remedy="It needs one, around the answer; write others as (?:...).",
        )


def judge(question: Question, settings: Settings) -> Judge | Verdict:
    """Compare what the last match captures with gold, both folded."""
    golds = gold_answers(question)
    if isinstance(golds, Verdict):
        return golds
    wanted = {folded(gold) for gold in golds}
    pattern = re.compile(settings.pattern or "()")

    def verdict(text: str) -> Verdict:
        found = None
        for match in pattern.finditer(text):
            found = match[1] if match[1] is not None else found
        answer = None if found is None else folded(found)
        return Verdict(answer in wanted, answer, golds[0])

    return same_for_all(verdict, question, settings)


VERIFIER = Verifier(
    "regex",
    "What the one group of --pattern captures, last match, equals gold but for case and white space.",
    1,
    judge,
    isolated=lambda settings: True,
    check=check,
)
