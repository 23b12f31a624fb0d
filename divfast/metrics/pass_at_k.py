"""Odds that one of k samples is right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.kinds import positive_int
from divfast.quality.estimators import Answers, at_size, drawn_without, known_and_correct
from divfast.registry import metric


def expected_pass_at_k(rows: Answers, groups: NDArray[np.int64], size: int, *, k: int) -> NDArray[np.float64]:
    """Return what is expected on `size` of the samples of every group, ``float64[g]``."""
    return at_size(pass_at_k(rows, groups, k=k), groups, size, k)


@metric(
    "pass_at_k",
    view="answers",
    unit="solved prompts",
    higher="more often right",
    bounds=(0, 1),
    expectation=expected_pass_at_k,
    parameters={"k": positive_int},
)
def pass_at_k(rows: Answers, groups: NDArray[np.int64], *, k: int = 1) -> NDArray[np.float64]:
    """Pass@k: the odds that of k samples drawn from a group at least one is right.

    Parameters
    ----------
    rows : Answers
        Verdicts, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    k : int
        How many samples are drawn, without replacement.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, 1]; NaN for a group of fewer than k samples with a verdict.

    Notes
    -----
    ``1 - C(n - c, k) / C(n, k)``, n samples of which c are right, as a product of k factors, so that no large number is
    ever made. It is unbiased: its mean over draws of n samples is what k samples of the model would give, at
    any n. Samples
    without a verdict are left out. O(n + k g) time; within rounding of the reference, which goes through whole numbers.

    References
    ----------
    Chen et al. (2021), "Evaluating Large Language Models Trained on Code", arXiv 2107.03374.

    Examples
    --------
    >>> import numpy as np
    >>> from divfast.quality.estimators import Answers
    >>> pass_at_k(Answers(np.array([1.0, 0.0, 0.0, 0.0])), np.array([0, 4]), k=2).tolist()  # 1 - 3/4 x 2/3
    [0.5]
    """
    known, correct = known_and_correct(rows, groups)
    return 1.0 - drawn_without(known - correct, known, k)
