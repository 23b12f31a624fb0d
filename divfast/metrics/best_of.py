"""Whether the sample with the highest score is right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.quality.estimators import Answers
from divfast.registry import metric


@metric(
    "best_of",
    view="answers",
    unit="right best samples",
    higher="more often right",
    bounds=(0, 1),
    parameters={},
)
def best_of(rows: Answers, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Best-of-K: whether the sample of a group that was scored highest is right.

    Parameters
    ----------
    rows : Answers
        Verdicts, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, 1]; NaN for a group without a sample that has a verdict and a score.

    Notes
    -----
    Over all K samples of a prompt; ``--at-k`` has it for fewer. Scores are those of a reward model, or
    log-probabilities. Of samples with the same highest score the mean counts, as if one were drawn. O(n) time; equal to
    the reference.

    References
    ----------
    Cobbe et al. (2021), "Training Verifiers to Solve Math Word Problems", arXiv 2110.14168.

    Examples
    --------
    >>> import numpy as np
    >>> from divfast.quality.estimators import Answers
    >>> rows = Answers(np.array([1.0, 0.0, 1.0]), score=np.array([0.2, 0.9, 0.9]))
    >>> best_of(rows, np.array([0, 2, 3])).tolist(), best_of(rows, np.array([0, 3])).tolist()
    ([0.0, 1.0], [0.5])
    """
    score, sizes = rows.scores(), np.diff(groups)
    inside = slice(int(groups[0]), int(groups[-1]))
    group = np.repeat(np.arange(len(sizes)), sizes)
    usable = ~np.isnan(score[inside]) & ~np.isnan(rows.correct[inside])
    group, score, correct = group[usable], score[inside][usable], rows.correct[inside][usable]
    highest = np.full(len(sizes), -np.inf)
    np.maximum.at(highest, group, score)
    best = score == highest[group]
    right = np.bincount(group[best], correct[best], len(sizes))
    with np.errstate(invalid="ignore"):
        result: NDArray[np.float64] = right / np.bincount(group[best], minlength=len(sizes))
    return result
