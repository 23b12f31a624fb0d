"""Jaccard distance of the subtrees of programs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.kinds import choice, natural, positive_int, switch
from divfast.metrics.jaccard import jaccard
from divfast.pairs import SAMPLE, PairCorpus
from divfast.registry import metric
from divfast.views.trees import Programs, subtrees_of

IDENTIFIERS = choice("keep", "normalise")


class AstCorpus(PairCorpus):
    """Distance of the pairs of programs drawn from a corpus."""

    def means(self, rows: Programs, groups: NDArray[np.int64], **parameters: Any) -> NDArray[np.float64]:
        """Return the mean over the pairs of every group."""
        return ast(rows, groups, **parameters)


@metric(
    "ast",
    view="programs",
    unit="1 - shared / all subtrees of two programs",
    higher="more diverse",
    bounds=(0, 1),
    corpus=AstCorpus,
    expectation="pairs_mean",
    parameters={
        "height": positive_int,
        "exact": switch,
        "identifiers": IDENTIFIERS,
        "sample": positive_int,
        "seed": natural,
    },
    paper={"exact": True},
)
def ast(
    rows: Programs,
    groups: NDArray[np.int64],
    *,
    height: int = 4,
    exact: bool = False,
    identifiers: str = "keep",
    sample: int = SAMPLE,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Mean Jaccard distance of the multisets of syntax subtrees of every two programs of a group.

    Parameters
    ----------
    rows : Programs
        Syntax trees, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    height : int
        Most height of a subtree; a node without children has 1.
    exact : bool
        Whether only subtrees of that very height count, which the preset ``paper`` means unless told otherwise.
    identifiers : str
        ``keep``; with ``normalise`` all names of variables, functions, attributes and modules are the same name.
    sample : int
        Rows that the scopes ``first`` and ``pooled`` draw from a larger corpus; all their pairs are compared. A group
        of one prompt is never sampled.
    seed : int
        Of that draw.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, 1]; NaN for a group without two programs that parse and have such a subtree.

    Notes
    -----
    ``1 - |S and T| / |S or T|`` with the multisets S and T of the subtrees of two programs: the sum of the smaller
    counts over that of the larger ones. A subtree is a node and all below it. For Python two are the same where
    ``ast.dump`` writes the same of them, so names, values, the types of values and contexts tell them apart, and
    layout and comments do not. In the other languages nodes are the named ones of the tree-sitter grammar but for
    comments; operators and keywords belong to the node around them, brackets and separators to none. Programs
    that do not parse, and those without such a subtree, are left out; `unparseable` is the share of the former.

    One pass over the nodes of each different program, then as `jaccard`. Exact up to 64-bit fingerprints of subtrees.
    Equal to the reference to 1e-9, and to the published code of arXiv 2604.16027 with ``exact=true``, which the paper
    describes as height at most 4; that code also leaves out trees deeper than 500.

    A mean over pairs does not depend on the number of samples: its expectation over random subsets of two samples or
    more is the value itself, where no pair is left out.

    References
    ----------
    Shypula, Li, Zhang, Padmakumar, Yin and Bastani (2025), "Evaluating the Diversity and Quality of LLM Generated
    Content", arXiv 2504.12522.

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["x = 1", "x = 2"]], ["ast:height=1", "ast:identifiers=normalise"])
    >>> report["ast:height=1"].mean  # Store() of Store(), Constant(1), Constant(2)
    0.6666666666666667
    >>> divfast.score([["x = 1", "y = 1"]], ["ast:identifiers=normalise"])["ast:identifiers=normalise"].mean
    0.0
    """
    return jaccard(
        *subtrees_of(rows, groups, height=height, exact=exact, identifiers=identifiers), multiset=True
    )
