"""Whether the most frequent answer is right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.kinds import choice
from divfast.quality.estimators import Answers, vote
from divfast.registry import metric

TIES = choice("mean", "wrong")
UNPARSEABLE = choice("abstain", "vote")


@metric(
    "majority",
    view="answers",
    unit="right majorities",
    higher="more often right",
    bounds=(0, 1),
    aliases=("maj",),
    parameters={"ties": TIES, "unparseable": UNPARSEABLE},
    paper={"ties": "wrong", "unparseable": "vote"},
)
def majority(
    rows: Answers, groups: NDArray[np.int64], *, ties: str = "mean", unparseable: str = "abstain"
) -> NDArray[np.float64]:
    """Majority vote: whether the answer that most of a group's samples give is right.

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
        ``float64[g]`` in [0, 1]; NaN for a group without a verdict, or where no winning answer has one.

    Notes
    -----
    Over all K samples of a prompt: majority@K; ``--at-k`` has it for fewer. Answers are equal where their texts in the
    column of answers are: a verifier writes equal numbers alike. An answer's verdict is that of its samples, the mean
    where they differ. A group with verdicts but no readable answer is wrong. The paper's code is
    ``ties=wrong,unparseable=vote``, which is what the paper preset takes. O(n log n) time; equal to the reference.

    References
    ----------
    Wang et al. (2023), "Self-Consistency Improves Chain of Thought Reasoning in Language Models", arXiv 2203.11171.

    Examples
    --------
    >>> import numpy as np
    >>> from divfast.quality.estimators import Answers
    >>> rows = Answers(np.array([1.0, 1.0, 0.0, 0.0, 0.0]), np.array([7, 7, 4, 4, -1]))
    >>> groups = np.array([0, 5])
    >>> majority(rows, groups).tolist(), majority(rows, groups, ties="wrong").tolist()
    ([0.5], [0.0])
    """
    return vote(rows, groups, ties=ties, unparseable=unparseable)
