"""Jaccard distance of words or n-grams."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.kinds import natural, order, positive_int, switch
from divfast.pairs import SAMPLE, PairCorpus
from divfast.registry import metric
from divfast.samples import Ragged


class JaccardCorpus(PairCorpus):
    """Jaccard distance of the pairs of rows drawn from a corpus."""

    def means(self, rows: Ragged, groups: NDArray[np.int64], **parameters: Any) -> NDArray[np.float64]:
        """Return the mean over the pairs of every group."""
        return jaccard(rows, groups, **parameters)


@metric(
    "jaccard",
    view="tokens",
    unit="1 - shared / all n-grams of two samples",
    higher="more diverse",
    bounds=(0, 1),
    corpus=JaccardCorpus,
    expectation="pairs_mean",
    parameters={"n": order, "multiset": switch, "sample": positive_int, "seed": natural},
    tokenizers={"default": "words", "paper": "words"},
)
def jaccard(
    rows: Ragged,
    groups: NDArray[np.int64],
    *,
    n: int = 1,
    multiset: bool = False,
    sample: int = SAMPLE,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Mean Jaccard distance of the words, or n-grams, of every two samples of a group.

    Parameters
    ----------
    rows : Ragged
        Tokens, ``uint64``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    n : int
        Order of the n-grams; 1 for words.
    multiset : bool
        Whether an n-gram counts as often as it occurs.
    sample : int
        Rows that the scopes ``first`` and ``pooled`` draw from a larger corpus; all their pairs are compared. A group
        of one prompt is never sampled.
    seed : int
        Of that draw.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, 1]; NaN for a group without two samples of which one has an n-gram.

    Notes
    -----
    ``1 - |A and B| / |A or B|`` with the sets A and B of the n-grams of two samples; of multisets the sum of the
    smaller counts over that of the larger ones. Where neither sample has an n-gram the distance is undefined, and the
    pair is left out of the mean; where one of them has none it is 1.

    O(tokens + pairs x shared n-grams / 16) time, sixteen samples at a time; equal samples are compared once. Memory is
    that of the largest group, some 50 bytes for every different n-gram that may be shared. Exact up to 64-bit
    fingerprints of words. Equal to the reference to 1e-9.

    A mean over pairs does not depend on the number of samples: its expectation over random subsets of two samples or
    more is the value itself, where no pair is left out.

    References
    ----------
    Jaccard (1912), "The distribution of the flora in the alpine zone".

    Examples
    --------
    >>> import divfast
    >>> divfast.score([["a b", "a c c"]], ["jaccard"])["jaccard"].mean  # a of a b c is shared
    0.6666666666666667
    >>> divfast.score([["a b", "a c c"]], ["jaccard:multiset=true"])["jaccard:multiset=true"].mean  # a of a b c c
    0.75
    """
    return _core.jaccard_means(rows.values, rows.offsets, groups, n, multiset, threads=engine.threads())
