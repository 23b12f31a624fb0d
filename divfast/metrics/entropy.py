"""Entropy of n-grams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.kinds import order, switch
from divfast.ngrams import FrequencyCorpus, Spectrum, ngram_spectrum
from divfast.registry import Statistics, metric
from divfast.samples import Ragged


def entropies(spectrum: Spectrum, normalized: bool) -> NDArray[np.float64]:
    """Return the Shannon entropy of every group in nats, ``float64[g]``."""
    weight = spectrum.count * spectrum.many
    total = spectrum.sums(weight)
    with np.errstate(invalid="ignore", divide="ignore"):
        # A sum of positive terms: ln(total) - sum / total would lose digits where one n-gram is nearly all there is.
        surprise = np.log(total)[spectrum.group] - np.log(spectrum.count)
        entropy: NDArray[np.float64] = spectrum.sums(weight * surprise) / total
        return entropy / np.log(spectrum.sums(spectrum.many)) if normalized else entropy


class EntropyCorpus(FrequencyCorpus):
    """Entropy of all rows together."""

    def __init__(self, *, n: int, normalized: bool) -> None:
        super().__init__(n)
        self.normalized = normalized

    def result(self) -> float:
        """Return the score of everything seen so far."""
        return float(entropies(self.spectrum(), self.normalized)[0])


def entropy_of(spectrum: Spectrum, *, n: int, normalized: bool) -> NDArray[np.float64]:
    """Return the entropy of every group."""
    return entropies(spectrum, normalized)


@metric(
    "entropy",
    view="tokens",
    unit="nats",
    higher="more diverse",
    bounds=(0, None),
    corpus=EntropyCorpus,
    parameters={"n": order, "normalized": switch},
    tokenizers={"default": "whitespace", "paper": "whitespace"},
    statistics=Statistics(ngram_spectrum, lambda *, n, **_: n, entropy_of, nested=False),
)
def entropy(
    rows: Ragged, groups: NDArray[np.int64], *, n: int = 1, normalized: bool = False
) -> NDArray[np.float64]:
    """Shannon entropy of the n-grams of a group, in nats.

    Parameters
    ----------
    rows : Ragged
        Tokens, ``uint64``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    n : int
        Order of the n-grams, 1 to 64; they never cross samples.
    normalized : bool
        Divide by the entropy of as many different n-grams occurring equally often; then a share, with no unit.

    Returns
    -------
    numpy.ndarray
        ``float64[g]``, 0 where there is one n-gram over and over; normalized, in (0, 1]. NaN for a group without an
        n-gram, and, normalized, for one with a single different one, which is as even as it is uneven.

    Notes
    -----
    ``-sum p ln p``, p the share of each different n-gram among all of the group's samples together; divided by ``ln
    2`` it is in bits. With few tokens it is too low and grows with the length of the text: compare groups of like
    size. O(n x tokens) time; over a corpus 21 to 43 bytes of memory for every different n-gram. Sums in float64,
    exact up to 64-bit fingerprints (see `ead`). Equal to the reference to 1e-12.

    References
    ----------
    Shannon (1948), "A Mathematical Theory of Communication", Bell System Technical Journal 27. As Ent-n: Zhang,
    Galley, Gao, Gan, Li, Brockett and Dolan (2018), "Generating Informative and Diverse Conversational Responses via
    Adversarial Information Maximization", arXiv 1809.05972.

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["a a", "b b"]], ["entropy", "entropy:normalized=true"])
    >>> round(report["entropy"].mean, 4), round(report["entropy:normalized=true"].mean, 4)  # ln 2, and all of it
    (0.6931, 1.0)
    """
    return entropies(ngram_spectrum(rows, groups, n), normalized)
