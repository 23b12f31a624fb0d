"""How many different things the samples say."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from divfast.equivalence import CONTEXTS, classes_of, context_kind, has_answer, rule_kind
from divfast.judged import Judged, JudgedRows, judge_groups
from divfast.registry import Statistics, metric


def clusters_of(judged: Sequence[Judged], *, rule: str, **_: str) -> NDArray[np.float64]:
    """Return the number of classes of every group."""
    return np.array(
        [len(set(classes_of(one, rule))) if len(one.of) and has_answer(one) else np.nan for one in judged],
        np.float64,
    )


@metric(
    "nli_clusters",
    view="judgments",
    unit="classes of the same meaning",
    higher="more diverse",
    bounds=(1, None),
    parameters={"rule": rule_kind, "context": context_kind},
    statistics=Statistics(judge_groups, lambda *, context, **_: CONTEXTS[context], clusters_of, nested=False),
    sequential=("default",),
)
def nli_clusters(
    rows: JudgedRows, groups: NDArray[np.int64], *, rule: str = "first", context: str = "none"
) -> NDArray[np.float64]:
    """Number of classes of samples that entail one another.

    Parameters
    ----------
    rows : JudgedRows
        Texts with a judge.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    rule : str
        When two samples mean the same, and how classes are made of that, as below.
    context : str
        ``none`` judges the samples alone; ``prompt`` puts the prompt and a blank before each.

    Returns
    -------
    numpy.ndarray
        ``float64[g]``, from 1 to K; NaN for a group without samples, or where the judge has no answer (float16
        overflows in some models), or, with ``context=prompt``, where there is no prompt.

    Notes
    -----
    What a pair is counts by its most probable label. The rules are those of published code, and none is transitive, so
    the order of the samples matters:

    - ``first``: two samples mean the same where each entails the other; a sample joins the first class whose first
      member means the same, else begins a class. As in lm-polygraph and by the algorithm of Farquhar et al.
    - ``strict``: the same relation; a sample without a class begins one and takes every later sample that means the
      same, also out of a class that has it already. As semantic_uncertainty with ``strict_entailment``.
    - ``nonstrict``: so too, but two samples mean the same unless one contradicts the other or both directions are
      neutral. As semantic_uncertainty by default.
    - ``either``: as ``first``, but one direction is enough. uqlm has this relation, and may put a sample into several
      classes; here it is in one.

    Equal samples mean the same whatever the judge says. Whole samples are judged; what does not fit into the judge is
    cut. Each pair of different samples of a group is judged once in each direction, O(K^2), and the rest is O(K x
    classes). Equal to the reference. This is distinct_k of NoveltyBench with k = K and with an NLI judge for its
    classifier; ``--at-k`` gives it for fewer samples.

    References
    ----------
    Kuhn, Gal and Farquhar (2023), "Semantic Uncertainty: Linguistic Invariances for Uncertainty Estimation in Natural
    Language Generation", arXiv 2302.09664. Farquhar et al. (2024), "Detecting hallucinations in large language models
    using semantic entropy", Nature 630. Zhang et al. (2025), "NoveltyBench: Evaluating Language Models for Humanlike
    Diversity", arXiv 2504.05228.

    Examples
    --------
    >>> from divfast.testing import build
    >>> rows, groups = build("judgments", [["a b", "b a", "a", "c"]])
    >>> nli_clusters(rows, groups).tolist()  # of the same words: a b, b a
    [3.0]
    >>> nli_clusters(rows, groups, rule="either").tolist()  # the words of a are among those of a b
    [2.0]
    """
    return clusters_of(judge_groups(rows, groups, CONTEXTS[context]), rule=rule)
