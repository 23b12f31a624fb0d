"""``labels``: the dump knows already."""

from __future__ import annotations

from typing import Any

from divfast.errors import DataError
from divfast.quality.verifiers import Question, Settings, Verdict, Verifier

_MEANING: dict[Any, bool] = {True: True, False: False, "true": True, "false": False}


def judge(question: Question, settings: Settings) -> Verdict | Any:
    """Take over the labels of a column."""
    labels = question.columns.get(settings.labels)
    if labels is None:
        return Verdict(None, error="no label")

    def verdict(i: int) -> Verdict:
        label = labels[i]
        if label is None:
            return Verdict(None, error="no label")
        try:
            # 1 and 1.0 are equal to True.
            return Verdict(_MEANING[label.lower() if isinstance(label, str) else label])
        except (KeyError, TypeError):
            raise DataError(
                f'"{settings.labels}" holds {str(label)[:40]!r}, which is neither true nor false.',
                where=f"prompt {question.id}",
                remedy="Name a column of true and false, or 1 and 0, with --labels.",
            ) from None

    return verdict


VERIFIER = Verifier(
    "labels",
    "Labels already in the dump: the column --labels holds true and false, or 1 and 0.",
    1,
    judge,
    columns=lambda settings: (),
    sample_columns=lambda settings: (settings.labels,),
    extracts=False,
)
