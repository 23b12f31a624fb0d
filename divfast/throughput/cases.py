"""All cases by name."""

from __future__ import annotations

from divfast.errors import DivfastError, nearest
from divfast.throughput import (
    clusters,
    commands,
    duplicates,
    instructions,
    judging,
    lexical,
    overlapping,
    pairs,
    programs,
    quality,
    reading,
    resampling,
    selecting,
    self_bleu,
    semantic,
    texts,
    vectors,
    verifying,
)
from divfast.throughput.case import Case

CASES = (
    *lexical.CASES,
    *texts.CASES,
    *self_bleu.CASES,
    *pairs.CASES,
    *programs.CASES,
    *duplicates.CASES,
    *overlapping.CASES,
    *quality.CASES,
    *resampling.CASES,
    *verifying.CASES,
    *instructions.CASES,
    *semantic.CASES,
    *judging.CASES,
    *vectors.CASES,
    *selecting.CASES,
    *clusters.CASES,
    *reading.CASES,
    *commands.CASES,
)


def find_case(name: str) -> Case:
    """Return the case of this name, or raise `DivfastError`."""
    for case in CASES:
        if case.name == name:
            return case
    raise DivfastError(f"unknown case {name!r}.", remedy=nearest(name, [case.name for case in CASES]))
