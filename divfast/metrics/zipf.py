"""Zipf coefficient."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.kinds import order, positive_int
from divfast.ngrams import FrequencyCorpus, Spectrum, ngram_spectrum
from divfast.registry import Statistics, metric
from divfast.samples import Ragged


def exponents(spectrum: Spectrum, ranks: int) -> NDArray[np.float64]:
    """Return the exponent of every group, ``float64[g]``."""
    # n-grams of one count hold neighbouring ranks: sums over them are differences of sums over 1..rank.
    ends = np.cumsum(spectrum.many)
    starts = np.zeros(spectrum.groups, np.int64)
    different = spectrum.sums(spectrum.many).astype(np.int64)
    np.cumsum(different[:-1], out=starts[1:])
    last = np.minimum(ends - starts[spectrum.group], ranks)
    first = np.minimum(ends - spectrum.many - starts[spectrum.group], ranks)
    fitted = np.minimum(different, ranks)
    logs = np.log(np.arange(1, fitted.max(initial=0) + 1, dtype=np.float64))
    sums = np.concatenate([[0.0], np.cumsum(logs)])
    squares = np.concatenate([[0.0], np.cumsum(logs * logs)])
    # Counted from the top one, so that equal counts are zeros and their slope is exactly 0.
    top = np.zeros(spectrum.groups)
    np.maximum.at(top, spectrum.group, spectrum.count)
    y = np.log(spectrum.count / top[spectrum.group])
    sum_y = spectrum.sums(y * (last - first))
    sum_xy = spectrum.sums(y * (sums[last] - sums[first]))
    with np.errstate(invalid="ignore", divide="ignore"):
        slope = (fitted * sum_xy - sums[fitted] * sum_y) / (fitted * squares[fitted] - sums[fitted] ** 2)
    # One point lies on every line.
    return np.asarray(np.where(fitted > 1, 0.0 - slope, np.nan))


class ZipfCorpus(FrequencyCorpus):
    """Zipf coefficient of all rows together."""

    def __init__(self, *, n: int, ranks: int) -> None:
        super().__init__(n)
        self.ranks = ranks

    def result(self) -> float:
        """Return the score of everything seen so far."""
        return float(exponents(self.spectrum(), self.ranks)[0])


def zipf_of(spectrum: Spectrum, *, n: int, ranks: int) -> NDArray[np.float64]:
    """Return the Zipf coefficient of every group."""
    return exponents(spectrum, ranks)


@metric(
    "zipf",
    view="tokens",
    unit="exponent",
    higher="less diverse",
    bounds=(0, None),
    corpus=ZipfCorpus,
    parameters={"n": order, "ranks": positive_int},
    tokenizers={"default": "whitespace", "paper": "whitespace"},
    statistics=Statistics(ngram_spectrum, lambda *, n, **_: n, zipf_of, nested=False),
)
def zipf(rows: Ragged, groups: NDArray[np.int64], *, n: int = 1, ranks: int = 5000) -> NDArray[np.float64]:
    """Zipf coefficient of a group: how steeply the frequency of its n-grams falls with their rank.

    Parameters
    ----------
    rows : Ragged
        Tokens, ``uint64``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    n : int
        Order of the n-grams, 1 to 64; they never cross samples.
    ranks : int
        How many of the most frequent n-grams are fitted.

    Returns
    -------
    numpy.ndarray
        ``float64[g]``: s of ``frequency ~ rank^-s``, reported positive; 0 where all occur equally often. NaN for a
        group with fewer than two different n-grams.

    Notes
    -----
    Minus the slope of the least-squares line of log frequency over log rank, n-grams of all samples of the group
    together, the most frequent one at rank 1, equal ones at neighbouring ranks; the base of the logarithm falls out.
    Natural text is near 1, and a flatter fall means that words are used more evenly. A fit to few words says little.
    O(n x tokens) time, and 16 bytes of memory for every rank fitted; over a corpus 21 to 43 bytes for every different
    n-gram. Sums in float64. Equal to the reference to 1e-9.

    References
    ----------
    Zipf (1949), "Human Behavior and the Principle of Least Effort". As a measure of generated text, and for the 5,000
    ranks of its code: Holtzman, Buys, Du, Forbes and Choi (2020), "The Curious Case of Neural Text Degeneration", arXiv
    1904.09751.

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["a a a a", "b b"]], ["zipf"])
    >>> round(report["zipf"].mean, 4)  # from 4 at rank 1 to 2 at rank 2
    1.0
    """
    return exponents(ngram_spectrum(rows, groups, n), ranks)
