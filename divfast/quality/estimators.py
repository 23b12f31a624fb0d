"""What estimators of quality are made of: rows of verdicts, answers and scores, and counts of them by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from divfast.errors import DataError

Offsets = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answers:
    """One row a sample.

    Attributes
    ----------
    correct : numpy.ndarray
        ``float64[n]``: 1 right, 0 wrong, NaN where there is no verdict.
    answer : numpy.ndarray, optional
        ``int64[n]``: equal answers are equal numbers, -1 is none that could be read.
    score : numpy.ndarray, optional
        ``float64[n]``, NaN where there is none.
    named : (str, str)
        Names of the columns of answers and of scores.
    """

    correct: Floats
    answer: NDArray[np.int64] | None = None
    score: Floats | None = None
    named: tuple[str, str] = ("extracted", "scores")

    def __len__(self) -> int:
        return len(self.correct)

    def take(self, index: Offsets) -> Self:
        """Return the rows that `index` names, in its order."""
        return type(self)(
            self.correct[index],
            None if self.answer is None else self.answer[index],
            None if self.score is None else self.score[index],
            self.named,
        )

    def joined(self, others: Sequence[Self]) -> Self:
        """Return these rows and those of the others, one after the other; what some lack is left out."""
        parts = [self, *others]
        answers = [part.answer for part in parts if part.answer is not None]
        scores = [part.score for part in parts if part.score is not None]
        return type(self)(
            np.concatenate([part.correct for part in parts]),
            np.concatenate(answers) if len(answers) == len(parts) else None,
            np.concatenate(scores) if len(scores) == len(parts) else None,
            self.named,
        )

    def tape(self) -> tuple[NDArray[np.uint8], Offsets]:
        """Return the bytes of every row."""
        columns = [self.correct.view(np.uint64)]
        columns += [] if self.answer is None else [self.answer.view(np.uint64)]
        columns += [] if self.score is None else [self.score.view(np.uint64)]
        rows = np.ascontiguousarray(np.stack(columns, axis=1))
        return rows.reshape(-1).view(np.uint8), np.arange(len(self) + 1) * (8 * len(columns))

    def plain(self) -> list[tuple[float, int, float]]:
        """Return (correct, answer, score) of every row."""
        none = np.full(len(self), np.nan)
        answer = np.full(len(self), -1) if self.answer is None else self.answer
        score = none if self.score is None else self.score
        return list(zip(self.correct.tolist(), answer.tolist(), score.tolist(), strict=True))

    def answers(self) -> NDArray[np.int64]:
        """Return the answers, or raise `DataError` where the dump has none."""
        if self.answer is None:
            raise _lacking(
                self.named[0], "Name the column with --answers-field, or make one with divfast verify."
            )
        return self.answer

    def scores(self) -> Floats:
        """Return the scores, or raise `DataError` where the dump has none."""
        if self.score is None:
            raise _lacking(self.named[1], "Name the column with --reward.")
        return self.score


def _lacking(name: str, remedy: str) -> DataError:
    return DataError(f'no sample has a "{name}".', remedy=remedy)


def known_and_correct(rows: Answers, groups: Offsets) -> tuple[Offsets, Offsets]:
    """Return how many samples of each group have a verdict, and how many of these are right, ``int64[g]``."""
    known = ~np.isnan(rows.correct)
    return sums(known, groups), sums(known & (rows.correct == 1), groups)


def sums(values: NDArray[Any], groups: Offsets) -> Offsets:
    """Return the sum of whole numbers or booleans by group, ``int64[g]``."""
    ends = np.concatenate([[0], np.cumsum(values.astype(np.int64))])
    result: Offsets = ends[groups[1:]] - ends[groups[:-1]]
    return result


def first_correct(rows: Answers, groups: Offsets) -> Floats:
    """Return the verdict on the first sample of each group, NaN where there is none."""
    out = np.full(len(groups) - 1, np.nan)
    some = groups[1:] > groups[:-1]
    out[some] = rows.correct[groups[:-1][some]]
    return out


def drawn_without(bad: Offsets, total: Offsets, k: int) -> Floats:
    """Return the odds that k drawn of `total` are all among `bad` of them, ``float64[g]``; NaN where total < k.

    ``C(bad, k) / C(total, k)`` as a product of k factors, none of which overflows.

    Examples
    --------
    >>> drawn_without(np.array([3, 1]), np.array([4, 4]), 2).tolist()   # 3/4 x 2/3; no two of one
    [0.5, 0.0]
    """
    out = np.where(total >= k, 1.0, np.nan)
    some = np.flatnonzero((total >= k) & (bad >= k))
    out[(total >= k) & (bad < k)] = 0.0
    for drawn in range(k if len(some) else 0):
        out[some] *= (bad[some] - drawn) / (total[some] - drawn)
    return out


def at_size(values: Floats, groups: Offsets, size: int, k: int) -> Floats:
    """Return what is expected of odds that k samples have, on `size` of the samples of every group, ``float64[g]``.

    Unbiased odds are the same on any number of samples, as long as there are k among them.
    """
    return np.where((np.diff(groups) >= size) & (size >= k), values, np.nan)


def vote(rows: Answers, groups: Offsets, *, ties: str, unparseable: str) -> Floats:
    """Return whether the most frequent answer of each group is right, ``float64[g]``; see `majority`."""
    answer, sizes = rows.answers(), np.diff(groups)
    known, _ = known_and_correct(rows, groups)
    out = np.where(known > 0, 0.0, np.nan)
    group = np.repeat(np.arange(len(sizes)), sizes)
    inside = slice(int(groups[0]), int(groups[-1]))
    answer, correct = answer[inside], rows.correct[inside]
    voting = np.ones(len(answer), bool) if unparseable == "vote" else answer >= 0
    order = np.lexsort((answer, group))
    order = order[voting[order]]
    if not len(order):
        return out
    group, answer, correct = group[order], answer[order], correct[order]
    # Runs of one answer within one group.
    starts = np.flatnonzero(np.append(True, (group[1:] != group[:-1]) | (answer[1:] != answer[:-1])))
    votes = np.diff(np.append(starts, len(group)))
    judged = np.add.reduceat((~np.isnan(correct)).astype(np.int64), starts)
    right = np.add.reduceat(np.nan_to_num(correct), starts)
    with np.errstate(invalid="ignore"):
        # An answer that cannot be read is no right one.
        value = np.where(answer[starts] < 0, 0.0, right / judged)
    of = group[starts]
    firsts = np.flatnonzero(np.append(True, of[1:] != of[:-1]))
    top = np.repeat(np.maximum.reduceat(votes, firsts), np.diff(np.append(firsts, len(of)))) == votes
    tied = np.add.reduceat(top.astype(np.int64), firsts)
    best = np.add.reduceat(np.where(top, value, 0.0), firsts) / tied
    if ties == "wrong":
        best = np.where(tied > 1, 0.0, best)
    out[of[firsts]] = np.where(known[of[firsts]] > 0, best, np.nan)
    return out
