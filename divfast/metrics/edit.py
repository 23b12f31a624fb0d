"""Normalised edit distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.kinds import choice, natural, positive_int
from divfast.pairs import SAMPLE, PairCorpus
from divfast.registry import metric
from divfast.samples import Ragged


class EditCorpus(PairCorpus):
    """Edit distance of the pairs of rows drawn from a corpus."""

    def means(self, rows: Ragged, groups: NDArray[np.int64], **parameters: Any) -> NDArray[np.float64]:
        """Return the mean over the pairs of every group."""
        return edit(rows, groups, **parameters)


@metric(
    "edit",
    view="text",
    unit="edits / length of the longer sample",
    higher="more diverse",
    bounds=(0, 1),
    corpus=EditCorpus,
    expectation="pairs_mean",
    parameters={"unit": choice("chars", "words"), "sample": positive_int, "seed": natural},
)
def edit(
    rows: Ragged, groups: NDArray[np.int64], *, unit: str = "chars", sample: int = SAMPLE, seed: int = 0
) -> NDArray[np.float64]:
    """Mean normalised Levenshtein distance of every two samples of a group.

    Parameters
    ----------
    rows : Ragged
        Texts, UTF-8, ``uint8``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    unit : str
        What is inserted, deleted or replaced: ``chars``, code points with white space among them, or ``words``, runs
        between white space as they are written.
    sample : int
        Rows that the scopes ``first`` and ``pooled`` draw from a larger corpus; all their pairs are compared. A group
        of one prompt is never sampled.
    seed : int
        Of that draw.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, 1]; NaN for a group of fewer than two samples.

    Notes
    -----
    The least number of insertions, deletions and replacements, each of cost 1, over the length of the longer sample;
    0 for two empty samples. A byte that is not UTF-8 is one character; a character of several code points, such as an
    emoji with joiners, is several.

    O(pairs x m x n / 512) time: bit vectors of 64 symbols, eight samples at a time; equal samples are compared once.
    Samples of 65,536 symbols or more are compared two by two without their common start and end, along a band of
    diagonals that is widened until it holds the distance d: O(d n / 64). Two texts of a million characters take a
    fraction of a second where they are alike and a minute or two where they are not; Ctrl-C ends it. Memory is that
    of the largest group. Exact, words up to 64-bit fingerprints. Equal to the reference and to rapidfuzz
    ``Levenshtein.normalized_distance``.

    A mean over pairs does not depend on the number of samples: its expectation over random subsets of two samples or
    more is the value itself.

    References
    ----------
    Levenshtein (1966), "Binary codes capable of correcting deletions, insertions, and reversals". Bit vectors: Myers
    (1999), "A fast bit-vector algorithm for approximate string matching based on dynamic programming"; Hyyro (2003),
    "A bit-vector algorithm for computing Levenshtein and Damerau edit distances". Band: Ukkonen (1985), "Algorithms
    for approximate string matching".

    Examples
    --------
    >>> import divfast
    >>> divfast.score([["cart", "carpet"]], ["edit"])["edit"].mean  # insert p and e: 2 / 6
    0.3333333333333333
    >>> divfast.score([["a b", "a c"]], ["edit:unit=words"])["edit:unit=words"].mean
    0.5
    """
    threads = engine.threads()
    if unit == "chars":
        return _core.edit_means_of_characters(rows.values, rows.offsets, groups, threads=threads)
    words = _core.tokenize(rows.values, rows.offsets, "whitespace", threads=threads)
    return _core.edit_means_of_tokens(*words, groups, threads=threads)
