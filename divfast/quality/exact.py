"""``exact``: the sample is the answer."""

from __future__ import annotations

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


def judge(question: Question, settings: Settings) -> Judge | Verdict:
    """Compare the folded texts of sample and gold."""
    golds = gold_answers(question)
    if isinstance(golds, Verdict):
        return golds
    wanted = {folded(gold) for gold in golds}

    def verdict(text: str) -> Verdict:
        found = folded(text)
        return Verdict(found in wanted, found or None, golds[0])

    return same_for_all(verdict, question, settings)


VERIFIER = Verifier(
    "exact", "The whole sample equals gold or a reference, but for case and white space.", 1, judge
)
