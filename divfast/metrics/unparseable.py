"""Share of programs that do not parse."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.means import MeanCorpus, group_means
from divfast.registry import metric
from divfast.views.trees import Programs


def fails(rows: Programs, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return 1 for every program that does not parse, 0 for the others, ``float64[n]``."""
    return (~rows.parsed).astype(np.float64)


class UnparseableCorpus(MeanCorpus):
    """Share of programs that do not parse among all of them."""

    def add(self, rows: Programs) -> None:
        """Take one block of programs."""
        self.take(fails(rows, np.array([0, len(rows)], np.int64)))


@metric(
    "unparseable",
    view="programs",
    unit="unparseable / all programs",
    higher="more programs that are no code",
    bounds=(0, 1),
    corpus=UnparseableCorpus,
    expectation="rows_mean",
    per_sample=fails,
)
def unparseable(rows: Programs, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Share of a group's programs that do not parse.

    Parameters
    ----------
    rows : Programs
        Syntax trees, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, 1]; NaN for a group without a sample.

    Notes
    -----
    What the parser refuses: for Python a syntax error of the running interpreter, a null byte, or nesting that is too
    deep for it; for other languages a tree in which tree-sitter had to skip or to invent something. Programs of more
    than 2^20 bytes, and of more than 2^15 where tree-sitter reads them, are not parsed and count as well. An empty text
    is a program of no statements. The other metrics over programs leave out what does not parse. O(1) a program; equal
    to the reference exactly.

    References
    ----------
    As parseability: Karouzos, Tan and Aletras (2026), "Where does output diversity collapse in post-training?",
    arXiv 2604.16027.

    Examples
    --------
    >>> import divfast
    >>> divfast.score([["x = 1", "x = = 1"]], ["unparseable"])["unparseable"].mean
    0.5
    """
    return group_means(fails(rows, groups), groups)
