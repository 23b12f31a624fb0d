"""Classes of samples that mean the same, by the rules of published code, from what a judge says of their pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from divfast.judged import BEHIND_PROMPT, CONTRADICTION, ENTAILMENT, NEUTRAL, TEXTS, Judged
from divfast.kinds import choice

Relation = NDArray[np.bool_]
Classes = NDArray[np.int64]

# Whether texts are judged alone or behind their prompt.
CONTEXTS = {"none": TEXTS, "prompt": BEHIND_PROMPT}
context_kind = choice(*CONTEXTS)


def _bidirectional(labels: NDArray[np.int64]) -> Relation:
    entails = labels == ENTAILMENT
    both: Relation = entails & entails.T
    return both


def _either(labels: NDArray[np.int64]) -> Relation:
    entails = labels == ENTAILMENT
    one: Relation = entails | entails.T
    return one


def _compatible(labels: NDArray[np.int64]) -> Relation:
    contradicts, neutral = labels == CONTRADICTION, labels == NEUTRAL
    open_: Relation = ~(contradicts | contradicts.T) & ~(neutral & neutral.T)
    return open_


def _first_member(same: Relation) -> Classes:
    """Each sample joins the first class whose first member it equals, else begins one."""
    classes = np.zeros(len(same), np.int64)
    first: list[int] = []
    for i, row in enumerate(same.tolist()):
        at = next((number for number, member in enumerate(first) if row[member]), len(first))
        if at == len(first):
            first.append(i)
        classes[i] = at
    return classes


def _later_takes_over(same: Relation) -> Classes:
    """Each sample without a class begins one and takes every later sample that it equals, from other classes too."""
    classes = np.full(len(same), -1, np.int64)
    number = 0
    for i in range(len(same)):
        if classes[i] < 0:
            classes[i] = number
            classes[i + 1 :][same[i, i + 1 :]] = number
            number += 1
    return classes


RULES: Mapping[str, tuple[Callable[[NDArray[np.int64]], Relation], Callable[[Relation], Classes]]] = {
    "first": (_bidirectional, _first_member),
    "strict": (_bidirectional, _later_takes_over),
    "nonstrict": (_compatible, _later_takes_over),
    "either": (_either, _first_member),
}
rule_kind = choice(*RULES)


def has_answer(group: Judged) -> bool:
    """Return whether the judge said something of every pair of different texts."""
    answered: Relation = np.asarray(~np.isnan(group.chances).any(axis=2))
    return group.known and bool((answered | np.eye(len(answered), dtype=np.bool_)).all())


def classes_of(group: Judged, rule: str) -> Classes:
    """Return the class of every sample of a group, ``int64[K]``, by a key of `RULES`.

    Equal samples mean the same whatever the judge says; of equal probabilities the first counts, in the order
    entailment, neutral, contradiction.
    """
    relation, gather = RULES[rule]
    same = relation(group.chances.argmax(axis=2))
    np.fill_diagonal(same, True)
    return gather(same[group.of][:, group.of])
