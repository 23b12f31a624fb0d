"""Distinct-n."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.ngrams import NgramCorpus, ngram_counts
from divfast.registry import Preset, metric, positive_int
from divfast.samples import Ragged


def ratio(unique: NDArray[np.int64], total: NDArray[np.int64], preset: Preset) -> NDArray[np.float64]:
    """Return unique / total; where there is nothing NaN, with the paper preset 0."""
    with np.errstate(invalid="ignore"):
        result: NDArray[np.float64] = unique / total
    return np.nan_to_num(result, nan=0.0) if preset == "paper" else result


class DistinctCorpus(NgramCorpus):
    """Distinct-n of all rows together."""

    def __init__(self, *, n: int, preset: Preset = "default") -> None:
        super().__init__([n])
        self.preset = preset

    def result(self) -> float:
        """Return the score of everything seen so far."""
        return float(ratio(self.sets.unique(), self.sets.total(), self.preset)[0])


@metric(
    "distinct",
    view="tokens",
    unit="distinct / all n-grams",
    higher="more diverse",
    bounds=(0, 1),
    corpus=DistinctCorpus,
    parameters={"n": positive_int},
    tokenizers={"default": "whitespace", "paper": "whitespace"},
)
def distinct(
    rows: Ragged, groups: NDArray[np.int64], *, n: int = 1, preset: Preset = "default"
) -> NDArray[np.float64]:
    """Different n-grams of a group over all its n-grams (distinct-n).

    Parameters
    ----------
    rows : Ragged
        Tokens, ``uint64``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    n : int
        Order of the n-grams; they never cross samples.
    preset : str
        ``paper`` gives 0 for a group without an n-gram.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in (0, 1]; NaN for a group without an n-gram.

    Notes
    -----
    Falls with the length of the text by construction; compare it between groups of like size, or use `ead`.
    O(n x tokens) time; exact up to 64-bit fingerprints (see `ead`).

    References
    ----------
    Li, Galley, Brockett, Gao and Dolan (2016), "A Diversity-Promoting Objective Function for Neural Conversation
    Models", arXiv 1510.03055.

    Examples
    --------
    >>> import divfast
    >>> divfast.score([["a b", "a c"]], ["distinct:n=1"])["distinct:n=1"].mean  # a b c among a b a c
    0.75
    """
    unique, total = ngram_counts(rows, groups, n)
    return ratio(unique[:, n - 1], total[:, n - 1], preset)
