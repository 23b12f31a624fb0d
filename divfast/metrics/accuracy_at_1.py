"""Whether the first sample is right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.quality.estimators import Answers, first_correct
from divfast.registry import metric


@metric(
    "accuracy_at_1",
    view="answers",
    unit="right first samples",
    higher="more often right",
    bounds=(0, 1),
    parameters={},
    sequential=("default", "paper"),
)
def accuracy_at_1(rows: Answers, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Accuracy@1: whether the first sample of a group is right.

    Parameters
    ----------
    rows : Answers
        Verdicts, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.

    Returns
    -------
    numpy.ndarray
        ``float64[g]``, 0 or 1; NaN where the first sample has no verdict, or there is none.

    Notes
    -----
    It depends on the order of the samples. Some samplers sort them by likelihood, and then the first is the best and
    not one at random; `accuracy` has the same expectation where they are exchangeable, and a narrower interval. O(g)
    time; equal to the reference exactly.

    References
    ----------
    Karouzos, Tan and Aletras (2026), "Where does output diversity collapse in post-training?", arXiv 2604.16027.

    Examples
    --------
    >>> import numpy as np
    >>> from divfast.quality.estimators import Answers
    >>> accuracy_at_1(Answers(np.array([1.0, 0.0, 0.0])), np.array([0, 2, 3, 3])).tolist()
    [1.0, 0.0, nan]
    """
    return first_correct(rows, groups)
