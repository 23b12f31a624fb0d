"""ROUGE-L homogeneity."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.kinds import natural, positive_int
from divfast.pairs import SAMPLE, PairCorpus
from divfast.registry import metric
from divfast.samples import Ragged


class RougeLCorpus(PairCorpus):
    """ROUGE-L of the pairs of rows drawn from a corpus."""

    def means(self, rows: Ragged, groups: NDArray[np.int64], **parameters: Any) -> NDArray[np.float64]:
        """Return the mean over the pairs of every group."""
        return rouge_l(rows, groups, **parameters)


@metric(
    "rouge_l",
    view="tokens",
    unit="F1 of the longest common subsequence",
    higher="less diverse",
    bounds=(0, 1),
    corpus=RougeLCorpus,
    expectation="pairs_mean",
    parameters={"sample": positive_int, "seed": natural},
    tokenizers={"default": "words", "paper": "rouge"},
)
def rouge_l(
    rows: Ragged, groups: NDArray[np.int64], *, sample: int = SAMPLE, seed: int = 0
) -> NDArray[np.float64]:
    """Mean ROUGE-L F1 of every two samples of a group (homogeneity).

    Parameters
    ----------
    rows : Ragged
        Tokens, ``uint64``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
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
    With L the length of the longest common subsequence of two samples of m and n words, ``F1 = 2 L / (m + n)``, and 0
    where one of them has no word, as in rouge_score, also where both have none. It is symmetric, so the mean over
    ordered pairs is that over pairs.

    Words are runs of letters, marks and digits of any script in lower case; the paper preset takes those of
    rouge_score, ``[a-z0-9]+``, without its stemmer, so a text in another script is empty there and scores 0. On ASCII
    text the two agree.

    O(pairs x m x n / 500) time: bit vectors of 63 words, eight samples at a time; equal samples are compared once.
    Memory is that of the largest group. Exact up to 64-bit fingerprints of words. Equal to the reference to 1e-9, and
    to rouge_score 0.1.2.

    A mean over pairs does not depend on the number of samples: its expectation over random subsets of two samples or
    more is the value itself.

    References
    ----------
    Lin (2004), "ROUGE: A Package for Automatic Evaluation of Summaries". As homogeneity: Padmakumar and He (2023),
    "Does Writing with Language Models Reduce Content Diversity?", arXiv 2309.05196. Bit vectors: Hyyro (2004),
    "Bit-Parallel LCS-length Computation Revisited".

    Examples
    --------
    >>> import divfast
    >>> divfast.score([["the cat sat", "The cat ran off!"]], ["rouge_l"])["rouge_l"].mean  # 2 * 2 / (3 + 4)
    0.5714285714285714
    """
    return _core.lcs_means(rows.values, rows.offsets, groups, threads=engine.threads())
