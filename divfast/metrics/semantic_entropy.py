"""Semantic entropy: uncertainty over what the samples say, not over how they say it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from divfast.equivalence import CONTEXTS, classes_of, context_kind, has_answer, rule_kind
from divfast.judged import Judged, JudgedRows, judge_groups
from divfast.kinds import choice, switch
from divfast.registry import Statistics, metric


def _entropy(one: Judged, rule: str, estimator: str, normalized: bool) -> float:
    if not len(one.of) or not has_answer(one):
        return float("nan")
    classes = classes_of(one, rule)
    if estimator == "discrete":
        return _of_shares(np.bincount(classes) / len(classes))
    with np.errstate(invalid="ignore", divide="ignore"):
        logprobs = one.logprobs / one.tokens if normalized else one.logprobs
    if not np.isfinite(logprobs).all():
        return float("nan")
    highest = logprobs.max()
    # Relative to the likeliest sample, so that nothing but a class next to impossible beside it underflows to 0.
    mass = np.bincount(classes, np.exp(logprobs - highest))
    if estimator == "sampled":
        return float(-(highest + np.log(mass[classes])).mean())
    return _of_shares(mass / mass.sum())


def _of_shares(shares: NDArray[np.float64]) -> float:
    present = shares[shares > 0]
    return float(-(present * np.log(present)).sum())


def entropy_of(
    judged: Sequence[Judged], *, rule: str, estimator: str, normalized: bool, **_: str
) -> NDArray[np.float64]:
    """Return the semantic entropy of every group."""
    # Adding zero makes 0 of -0.
    return np.array([_entropy(one, rule, estimator, normalized) for one in judged], np.float64) + 0.0


@metric(
    "semantic_entropy",
    view="judgments",
    unit="nats",
    higher="more diverse",
    parameters={
        "estimator": choice("discrete", "likelihood", "sampled"),
        "normalized": switch,
        "rule": rule_kind,
        "context": context_kind,
    },
    statistics=Statistics(judge_groups, lambda *, context, **_: CONTEXTS[context], entropy_of, nested=False),
    sequential=("default",),
)
def semantic_entropy(
    rows: JudgedRows,
    groups: NDArray[np.int64],
    *,
    estimator: str = "discrete",
    normalized: bool = False,
    rule: str = "first",
    context: str = "none",
) -> NDArray[np.float64]:
    """Entropy over classes of samples that entail one another.

    Parameters
    ----------
    rows : JudgedRows
        Texts with a judge; log-probabilities for the estimators that weigh by them.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    estimator : str
        What the probability p(c) of a class c is, as below: ``discrete``, ``likelihood`` or ``sampled``.
    normalized : bool
        Whether the log-probability of a sample is divided by the number of its tokens first, where the dump says it
        token by token.
    rule : str
        When two samples mean the same, and how classes are made of that: see `nli_clusters`.
    context : str
        ``none`` judges the samples alone; ``prompt`` puts the prompt and a blank before each.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in nats, from 0 to log K except for ``sampled``; NaN for a group without samples, or where the
        judge has no answer, a log-probability is wanted and not known, or, with ``context=prompt``, there is no prompt.

    Notes
    -----
    With K samples, of which n_c are in class c, and log-probabilities log p_i:

    - ``discrete``: p(c) = n_c / K, and the entropy is ``-sum_c p(c) log p(c)``.
    - ``likelihood``: log p(c) is the logsumexp of log p_i over the samples of the class, less that over all samples;
      then the same sum. As semantic_uncertainty, there called Rao-Blackwellised.
    - ``sampled``: log p(c) without that normalisation, and ``-(1/K) sum_i log p(c(i))``, the Monte Carlo mean of
      lm-polygraph. A sample that was drawn twice counts twice, so p(c) may exceed 1 and the value be negative.

    The column ``logprobs`` of the dump has one number a sample, or a list of one a token. ``normalized`` needs the
    lists; semantic_uncertainty normalises by default, lm-polygraph does not.

    Cost and agreement as `nli_clusters`, with which it shares the judgments. Sums in float64. The prompt is put before
    the samples in semantic_uncertainty by default and in lm-polygraph on request; a long prompt may leave no room in
    the judge for what follows.

    References
    ----------
    Kuhn, Gal and Farquhar (2023), "Semantic Uncertainty: Linguistic Invariances for Uncertainty Estimation in Natural
    Language Generation", arXiv 2302.09664. Farquhar et al. (2024), "Detecting hallucinations in large language models
    using semantic entropy", Nature 630.

    Examples
    --------
    >>> from divfast.testing import build
    >>> rows, groups = build("judgments", [["a b", "b a", "c", "d"]])
    >>> semantic_entropy(rows, groups).round(4).tolist()  # a half, and two quarters: 1.5 log 2
    [1.0397]
    """
    judged = judge_groups(rows, groups, CONTEXTS[context])
    return entropy_of(judged, rule=rule, estimator=estimator, normalized=normalized)
