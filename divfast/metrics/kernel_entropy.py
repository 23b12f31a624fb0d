"""Kernel language entropy: semantic entropy with similarities in place of classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from divfast.equivalence import CONTEXTS, context_kind
from divfast.judged import BESIDE_ITSELF, ENTAILMENT, NEUTRAL, Judged, JudgedRows, judge_groups
from divfast.kinds import positive_real
from divfast.registry import Statistics, metric


def _entropy(one: Judged, t: float) -> float:
    if not len(one.of) or not one.known:
        return float("nan")
    agreement = one.chances[..., ENTAILMENT].astype(np.float64) + 0.5 * one.chances[..., NEUTRAL]
    weights = (agreement + agreement.T)[np.ix_(one.of, one.of)]
    np.fill_diagonal(weights, 0.0)
    if not np.isfinite(weights).all():
        return float("nan")
    laplacian = np.diag(weights.sum(axis=1)) - weights
    # Eigenvalues of the kernel, before they are divided by its trace. The largest is 1, that of the constant vector.
    shares = np.exp(-t * np.linalg.eigvalsh(laplacian))
    shares /= shares.sum()
    shares = shares[shares > 0]
    return float(-(shares * np.log(shares)).sum())


def entropy_of(judged: Sequence[Judged], *, t: float, **_: str) -> NDArray[np.float64]:
    """Return the kernel language entropy of every group."""
    return np.array([_entropy(one, t) for one in judged], np.float64) + 0.0


@metric(
    "kernel_entropy",
    view="judgments",
    unit="nats",
    higher="more diverse",
    bounds=(0, None),
    aliases=("kle",),
    parameters={"t": positive_real, "context": context_kind},
    statistics=Statistics(
        judge_groups, lambda *, context, **_: CONTEXTS[context] | BESIDE_ITSELF, entropy_of, nested=False
    ),
)
def kernel_entropy(
    rows: JudgedRows, groups: NDArray[np.int64], *, t: float = 0.3, context: str = "none"
) -> NDArray[np.float64]:
    """Von Neumann entropy of a heat kernel over the graph of samples that entail one another.

    Parameters
    ----------
    rows : JudgedRows
        Texts with a judge.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    t : float
        How far heat spreads: with more of it, samples that are alike count less apart.
    context : str
        ``none`` judges the samples alone; ``prompt`` puts the prompt and a blank before each.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in nats, from 0 to log K; NaN for a group without samples, or where the judge has no answer, or,
        with ``context=prompt``, there is no prompt.

    Notes
    -----
    Between two samples the weight is w(i, j) + w(j, i), where w = P(entailment) + P(neutral) / 2. With their matrix W,
    the degrees D and the Laplacian L = D - W, the kernel is ``exp(-t L)``, rho the kernel over its trace, and the value
    ``-tr(rho log rho)``. No classes are made, so the order of the samples does not matter; in samples of which none has
    anything to do with another all eigenvalues are alike and the value is log K.

    The paper's code also divides kernel entries by the roots of their diagonal, which is the same for all samples only
    where the graph is regular, and lm-polygraph scales the value by log K; neither is done here.

    Each pair of different samples of a group is judged once in each direction, equal ones once; O(K^3) for the
    eigenvalues, in float64. Equal to the reference to 1e-9.

    References
    ----------
    Nikitin et al. (2024), "Kernel Language Entropy: Fine-grained Uncertainty Quantification for LLMs from Semantic
    Similarities", arXiv 2405.20003.

    Examples
    --------
    >>> from divfast.testing import build
    >>> rows, groups = build("judgments", [["a", "b"]])
    >>> kernel_entropy(rows, groups).round(4).tolist()  # W = 2 x 0.125, eigenvalues of L 0 and 0.5
    [0.6903]
    """
    return entropy_of(judge_groups(rows, groups, CONTEXTS[context] | BESIDE_ITSELF), t=t)
