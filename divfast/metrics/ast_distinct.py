"""Different subtrees of programs over all of them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.kinds import positive_int, switch
from divfast.metrics.ast import IDENTIFIERS
from divfast.metrics.distinct import ratio
from divfast.ngrams import NgramCorpus, count_ngrams
from divfast.registry import metric
from divfast.views.trees import Programs, subtrees_of


class AstDistinctCorpus(NgramCorpus):
    """Different over all subtrees of all programs together: a set with a word for every subtree."""

    def __init__(self, *, height: int, exact: bool, identifiers: str) -> None:
        super().__init__([1], shares=False)
        self.height = height
        self.exact = exact
        self.identifiers = identifiers

    def add(self, rows: Programs) -> None:  # type: ignore[override]
        """Take one block of programs."""
        groups = np.array([0, len(rows)], np.int64)
        super().add(
            subtrees_of(rows, groups, height=self.height, exact=self.exact, identifiers=self.identifiers)[0]
        )

    def result(self) -> float:
        """Return the score of everything seen so far."""
        return float(ratio(*self.counts(), "default")[0])


@metric(
    "ast_distinct",
    view="programs",
    unit="distinct / all subtrees",
    higher="more diverse",
    bounds=(0, 1),
    corpus=AstDistinctCorpus,
    parameters={"height": positive_int, "exact": switch, "identifiers": IDENTIFIERS},
    paper={"exact": True},
)
def ast_distinct(
    rows: Programs,
    groups: NDArray[np.int64],
    *,
    height: int = 4,
    exact: bool = False,
    identifiers: str = "keep",
) -> NDArray[np.float64]:
    """Different syntax subtrees of a group's programs over all their subtrees.

    Parameters
    ----------
    rows : Programs
        Syntax trees, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    height : int
        Most height of a subtree, as in `ast`.
    exact : bool
        Whether only subtrees of that very height count; the preset ``paper`` means it unless told otherwise.
    identifiers : str
        ``keep``; with ``normalise`` all names are the same name.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in (0, 1]; NaN for a group without a subtree.

    Notes
    -----
    Distinct-1 with subtrees as words. It falls with the number and the length of the programs by construction:
    compare it at equal K, and see `ast`. O(nodes) time; over a corpus 11 to 21 bytes of memory for every different
    subtree. Exact up to 64-bit fingerprints. Equal to the reference exactly, and with ``exact=true`` to the published
    code of arXiv 2604.16027.

    References
    ----------
    Karouzos, Tan and Aletras (2026), "Where does output diversity collapse in post-training?", arXiv 2604.16027.
    Subtrees: Shypula et al. (2025), arXiv 2504.12522.

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["x = 1", "x = 2"]], ["ast_distinct:height=1"])
    >>> report["ast_distinct:height=1"].mean  # Store() twice, Constant(1), Constant(2)
    0.75
    """
    found, groups = subtrees_of(rows, groups, height=height, exact=exact, identifiers=identifiers)
    counts = count_ngrams(found, groups, 1)
    return ratio(counts.unique[:, 0], counts.total[:, 0], "default")
