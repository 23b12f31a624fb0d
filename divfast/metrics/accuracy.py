"""Share of right samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.quality.estimators import Answers, known_and_correct
from divfast.registry import metric


class AccuracyCorpus:
    """Accuracy of all rows together: two counts."""

    def __init__(self) -> None:
        self.known = self.correct = 0

    def add(self, rows: Answers) -> None:
        """Take one block of rows."""
        known, correct = known_and_correct(rows, np.array([0, len(rows)]))
        self.known += int(known[0])
        self.correct += int(correct[0])

    def merge(self, other: AccuracyCorpus) -> None:
        """Take what another accumulator has seen."""
        self.known += other.known
        self.correct += other.correct

    def result(self) -> float:
        """Return the score of everything seen so far."""
        return self.correct / self.known if self.known else float("nan")


@metric(
    "accuracy",
    view="answers",
    unit="right / all samples",
    higher="more often right",
    bounds=(0, 1),
    corpus=AccuracyCorpus,
    expectation="rows_mean",
    parameters={},
)
def accuracy(rows: Answers, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean accuracy: the share of a group's samples that are right.

    Parameters
    ----------
    rows : Answers
        Verdicts, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, 1]; NaN for a group without a verdict.

    Notes
    -----
    Samples without a verdict are left out. It is pass@1, and with the scope ``first`` it is accuracy@1 over the corpus;
    `accuracy_at_1` has that per prompt. O(n) time, two numbers of memory over a corpus; exact, equal to the reference.

    References
    ----------
    pass@1 of Chen et al. (2021), "Evaluating Large Language Models Trained on Code", arXiv 2107.03374.

    Examples
    --------
    >>> import numpy as np
    >>> from divfast.quality.estimators import Answers
    >>> accuracy(Answers(np.array([1.0, 0.0, 1.0, np.nan])), np.array([0, 2, 4])).tolist()
    [0.5, 1.0]
    """
    known, correct = known_and_correct(rows, groups)
    with np.errstate(invalid="ignore"):
        result: NDArray[np.float64] = correct / known
    return result
