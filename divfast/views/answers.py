"""Answers: whether each sample is right, which answer it gives, and how high it was scored."""

from __future__ import annotations

import operator
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from divfast.errors import DataError
from divfast.quality.estimators import Answers
from divfast.samples import Ragged, Samples
from divfast.views.cache import content_keys

# The name under which every sample is its own answer.
WHOLE = "outputs"
_WORDS = {"true": 1.0, "false": 0.0, "1": 1.0, "0": 0.0, "1.0": 1.0, "0.0": 0.0}


class AnswersView:
    """Rows made of columns that the dump carries, such as `divfast.quality.verified.verify` writes.

    Parameters
    ----------
    correct, answers, scores : str
        Names of the columns: a verdict, the text of an answer (``outputs``: the whole sample is the answer), and a
        number for each sample.
    """

    def __init__(self, correct: str, answers: str, scores: str) -> None:
        self.correct, self.answers, self.scores = correct, answers, scores
        self._prints = [0, 0, 0]

    @property
    def columns(self) -> Sequence[str]:
        """What is read of a dump."""
        return (self.correct, *(() if self.answers == WHOLE else (self.answers,)), self.scores)

    @property
    def signature(self) -> str:
        """``labels:correct@1a2b3c4d``, the columns that have unusual names, and a print of what was in them."""
        named = [self.correct]
        named += [f"answers={self.answers}"] if self.answers != "extracted" else []
        named += [f"scores={self.scores}"] if self.scores != "scores" else []
        return f"labels:{','.join(named)}@{zlib.crc32(np.array(self._prints, np.uint32).tobytes()):08x}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Nothing to tell."""
        return {}

    def build(self, samples: Samples) -> Answers:
        """Return one row for every sample; raise `DataError` where the verdicts are missing."""
        correct = verdicts(samples, self.correct)
        answer = score = None
        column = samples.per_sample.get(self.answers)
        if column is None and self.answers == WHOLE:
            column = samples.text.to_arrow()
        if column is not None:
            texts = column.cast(pa.large_string())
            known = texts.is_valid().to_numpy(zero_copy_only=False)
            # 63 bits of a digest of the text: equal answers are equal numbers, in whatever block they stand.
            keys = content_keys(Ragged.from_arrow(texts))[:, 0] >> np.uint64(1)
            answer = np.where(known, keys.astype(np.int64), -1)
        if (column := samples.per_sample.get(self.scores)) is not None:
            score = _numbers(column, self.scores)
        # A print of each column, not one of all: then blocks of any size give the same.
        for i, values in enumerate((correct, answer, score)):
            if values is not None:
                self._prints[i] = zlib.crc32(np.ascontiguousarray(values).tobytes(), self._prints[i])
        return Answers(correct, answer, score, named=(self.answers, self.scores))


def verdicts(samples: Samples, name: str) -> NDArray[np.float64]:
    """Return a column of verdicts as 1, 0 and, where there is none, NaN.

    Raises
    ------
    DataError
        Where there is no such column, or it holds something else.
    """
    remedy = "Make one with divfast verify, or name the column of verdicts with --correct-field or --where."
    column = _found(samples, name, remedy)
    if pa.types.is_boolean(column.type) or pa.types.is_floating(column.type) or pa.types.is_null(column.type):
        values: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    else:
        values = np.array(
            # In a column of more than one type, texts are read as JSON.
            [
                np.nan if text is None else _WORDS.get(text.lower().strip('"'), 2.0)
                for text in column.to_pylist()
            ]
        )
    bad = np.flatnonzero(~np.isnan(values) & (values != 0) & (values != 1))
    if len(bad):
        raise DataError(
            f'"{name}" holds {column[int(bad[0])].as_py()!r}, which is neither true nor false.',
            remedy="Name a column of true and false, or 1 and 0.",
        )
    return values


def _found(samples: Samples, name: str, remedy: str) -> pa.Array:
    column = samples.per_sample.get(name)
    if column is None:
        there = ", ".join(samples.per_sample) or "none"
        raise DataError(f'no sample has a "{name}" (known columns of samples here: {there}).', remedy=remedy)
    return column


def _numbers(column: pa.Array, name: str) -> NDArray[np.float64]:
    try:
        values: NDArray[np.float64] = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowInvalid:
        raise DataError(f'"{name}" must hold one number for each sample.') from None
    return values


_CONDITION = re.compile(r"(.*\S)\s*(>=|<=|>|<)\s*(-?\d+(?:\.\d+)?)")
_COMPARED = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def condition_column(condition: str) -> str:
    """Return the column that a condition on samples is about: itself, or what stands before a comparison.

    Examples
    --------
    >>> condition_column("correct"), condition_column("scores>=7")
    ('correct', 'scores')
    """
    match = _CONDITION.fullmatch(condition)
    return match[1] if match else condition


def holds(samples: Samples, condition: str) -> NDArray[np.bool_]:
    """Return for which samples a column is true, or its number compares so; a sample without a value is not among them.

    Raises
    ------
    DataError
        Where there is no such column, or it holds something else.
    """
    match = _CONDITION.fullmatch(condition)
    if match is None:
        right: NDArray[np.bool_] = verdicts(samples, condition) == 1
        return right
    name, comparison, limit = match.groups()
    column = _found(samples, name, "Make scores with divfast judge, or name the column of numbers.")
    kept: NDArray[np.bool_] = _COMPARED[comparison](_numbers(column, name), float(limit))
    return kept
