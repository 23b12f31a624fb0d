"""What voting adds to the first sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.metrics.majority import TIES, UNPARSEABLE
from divfast.quality.estimators import Answers, first_correct, vote
from divfast.registry import metric


@metric(
    "mv_gain",
    view="answers",
    unit="majority - accuracy@1",
    higher="voting helps more",
    bounds=(-1, 1),
    parameters={"ties": TIES, "unparseable": UNPARSEABLE},
    paper={"ties": "wrong", "unparseable": "vote"},
    sequential=("default", "paper"),
)
def mv_gain(
    rows: Answers, groups: NDArray[np.int64], *, ties: str = "mean", unparseable: str = "abstain"
) -> NDArray[np.float64]:
    """Majority-vote gain: majority vote less accuracy@1, prompt by prompt.

    Parameters
    ----------
    rows : Answers
        Verdicts, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    ties : str
        When several answers are the most frequent: ``mean`` takes the mean of their verdicts, as if one were drawn;
        ``wrong`` takes them for no majority.
    unparseable : str
        What samples without an answer do: ``abstain``, or ``vote`` together for an answer that is wrong.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [-1, 1]; NaN where either is undefined.

    Notes
    -----
    The difference of `majority` and `accuracy_at_1` on the same prompts, so its interval is a paired one. Cost as of
    `majority`; equal to the reference.

    References
    ----------
    Karouzos, Tan and Aletras (2026), "Where does output diversity collapse in post-training?", arXiv 2604.16027.

    Examples
    --------
    >>> import numpy as np
    >>> from divfast.quality.estimators import Answers
    >>> mv_gain(Answers(np.array([0.0, 1.0, 1.0]), np.array([4, 7, 7])), np.array([0, 3])).tolist()
    [1.0]
    """
    return vote(rows, groups, ties=ties, unparseable=unparseable) - first_correct(rows, groups)
