"""Classes of samples that mean the same, by the rules as they are told. Rows have a text, a prompt and a judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

Same = Callable[[Any, Any], bool]


def said(row: Any, context: str) -> str:
    """Return what is judged of a sample."""
    text: str = f"{row.prompt} {row.text}" if context == "prompt" else row.text
    return text


def relation(rule: str, context: str) -> Same:
    """Return whether two samples mean the same, by a rule."""

    def label(a: Any, b: Any) -> str:
        chances = list(a.judge(said(a, context), said(b, context)))
        return ("entailment", "neutral", "contradiction")[chances.index(max(chances))]

    def same(a: Any, b: Any) -> bool:
        if a.text == b.text:
            return True
        labels = (label(a, b), label(b, a))
        if rule == "either":
            return "entailment" in labels
        if rule == "nonstrict":
            return "contradiction" not in labels and labels != ("neutral", "neutral")
        return labels == ("entailment", "entailment")

    return same


def classes(rows: Sequence[Any], rule: str, context: str) -> list[int]:
    """Return the class of every sample."""
    same = relation(rule, context)
    found: list[int] = []
    if rule in ("first", "either"):
        first: list[Any] = []
        for row in rows:
            fits = [number for number, member in enumerate(first) if same(member, row)]
            if not fits:
                first.append(row)
            found.append(fits[0] if fits else len(first) - 1)
        return found
    found = [-1] * len(rows)
    for i, row in enumerate(rows):
        if found[i] == -1:
            number = max(found) + 1
            found[i] = number
            for j in range(i + 1, len(rows)):
                if same(row, rows[j]):
                    found[j] = number
    return found


def over_groups(
    rows: Sequence[Any], groups: Sequence[int], context: str, number: Callable[[Sequence[Any]], float]
) -> NDArray[np.float64]:
    """Return a number of every group that has samples, and a prompt where one is wanted."""
    out = []
    for start, stop in pairwise(groups):
        members = rows[start:stop]
        lacks = context == "prompt" and any(row.prompt is None for row in members)
        out.append(number(members) if members and not lacks else np.nan)
    return np.array(out, np.float64)


def nli_clusters(
    rows: Sequence[Any], groups: Sequence[int], *, rule: str = "first", context: str = "none"
) -> NDArray[np.float64]:
    """Return the number of classes per group, ``float64[g]``."""
    return over_groups(rows, groups, context, lambda members: len(set(classes(members, rule, context))))
