"""Pairwise chrF."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.kinds import Kind, natural, order, positive_int, positive_real
from divfast.pairs import SAMPLE, PairCorpus
from divfast.registry import metric
from divfast.samples import Ragged


class ChrfCorpus(PairCorpus):
    """Pairwise chrF of the rows drawn from a corpus."""

    def means(self, rows: Ragged, groups: NDArray[np.int64], **parameters: Any) -> NDArray[np.float64]:
        """Return the mean over the pairs of every group."""
        return chrf(rows, groups, **parameters)


def _word_order(text: str) -> int:
    return 0 if text == "0" else order.parse(text)


@metric(
    "chrf",
    view="text",
    unit="chrF, 0 to 100",
    higher="less diverse",
    bounds=(0, 100),
    corpus=ChrfCorpus,
    expectation="pairs_mean",
    parameters={
        "char_order": order,
        "word_order": Kind(_word_order),
        "beta": positive_real,
        "sample": positive_int,
        "seed": natural,
    },
)
def chrf(
    rows: Ragged,
    groups: NDArray[np.int64],
    *,
    char_order: int = 6,
    word_order: int = 0,
    beta: float = 2.0,
    sample: int = SAMPLE,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Mean chrF of every sample of a group against every other one (homogeneity of characters).

    Parameters
    ----------
    rows : Ragged
        Texts, UTF-8, ``uint8``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    char_order : int
        Character n-grams of 1 to this many, white space left out.
    word_order : int
        Word n-grams of 1 to this many; 0 for chrF, 2 for chrF++.
    beta : float
        How many times as much recall weighs as precision.
    sample : int
        Rows that the scopes ``first`` and ``pooled`` draw from a larger corpus; all their pairs are compared. A group
        of one prompt is never sampled.
    seed : int
        Of that draw.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, 100]; NaN for a group of fewer than two samples.

    Notes
    -----
    For every order the precision of one sample against another is the share of its n-grams that the other has, each
    counted at most as often as there; recall is the same the other way round. Both are averaged over the orders of
    which both samples have n-grams, and ``100 (1 + beta^2) P R / (beta^2 P + R)`` is averaged over both directions. 0
    where nothing is shared, also where a sample is empty, as in sacrebleu.

    Words of chrF++ are runs between white space with one mark of ASCII punctuation cut off their end, or else their
    start.

    O(orders x characters + pairs x shared n-grams / 16) time, sixteen samples at a time; equal samples are compared
    once. Memory is that of the largest group, some 50 bytes for every different n-gram that may be shared. Character
    n-grams are exact, words 64-bit fingerprints. Equal to the reference to 1e-9, and to sentence scores of sacrebleu
    2.6 with its defaults (no smoothing). nltk's differs: it smooths, and averages the F-scores of the orders.

    A mean over pairs does not depend on the number of samples: its expectation over random subsets of two samples or
    more is the value itself.

    References
    ----------
    Popovic (2015), "chrF: character n-gram F-score for automatic MT evaluation"; Popovic (2017), "chrF++: words
    helping character n-grams".

    Examples
    --------
    >>> import divfast
    >>> spec = "chrf:char_order=1,beta=1"
    >>> round(divfast.score([["a b", "abcc"]], [spec])[spec].mean, 4)  # P = 2/2, R = 2/4: 100 * 2 * 1/2 / (1 + 1/2)
    66.6667
    """
    return _core.chrf_means(
        rows.values, rows.offsets, groups, char_order, word_order, beta, threads=engine.threads()
    )
