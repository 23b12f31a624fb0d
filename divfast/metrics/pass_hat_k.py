"""Odds that k of k samples are right."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.kinds import positive_int
from divfast.quality.estimators import Answers, at_size, drawn_without, known_and_correct
from divfast.registry import metric


def expected_pass_hat_k(
    rows: Answers, groups: NDArray[np.int64], size: int, *, k: int
) -> NDArray[np.float64]:
    """Return what is expected on `size` of the samples of every group, ``float64[g]``."""
    return at_size(pass_hat_k(rows, groups, k=k), groups, size, k)


@metric(
    "pass_hat_k",
    view="answers",
    unit="always solved prompts",
    higher="more often right",
    bounds=(0, 1),
    expectation=expected_pass_hat_k,
    parameters={"k": positive_int},
)
def pass_hat_k(rows: Answers, groups: NDArray[np.int64], *, k: int = 1) -> NDArray[np.float64]:
    """Pass^k: the odds that k samples drawn from a group are all right.

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
    ``C(c, k) / C(n, k)``, n samples of which c are right, as a product of k factors, so that no large number is ever
    made. It is unbiased, as pass@k is, and falls with k where that rises: how far a model can be relied upon. Samples
    without a verdict are left out. O(n + k g) time; within rounding of the reference, which goes through whole numbers.

    References
    ----------
    Yao et al. (2024), "tau-bench: A Benchmark for Tool-Agent-User Interaction in Real-World Domains", arXiv 2406.12045.

    Examples
    --------
    >>> import numpy as np
    >>> from divfast.quality.estimators import Answers
    >>> pass_hat_k(Answers(np.array([1.0, 1.0, 1.0, 0.0])), np.array([0, 4]), k=2).tolist()  # 3/4 x 2/3
    [0.5]
    """
    known, correct = known_and_correct(rows, groups)
    return drawn_without(correct, known, k)
