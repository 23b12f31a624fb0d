"""Self-repetition: n-grams that samples share."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.kinds import order
from divfast.means import group_means
from divfast.registry import Preset, metric
from divfast.samples import Ragged


class SelfRepetitionCorpus:
    """Self-repetition of all rows together.

    Keeps 8 bytes for every different n-gram of every row: which of them others share is known only at the end.
    """

    def __init__(self, *, n: int, preset: Preset = "default") -> None:
        self.preset = preset
        self.rows = _core.RowNgrams(n)

    def add(self, rows: Ragged) -> None:
        """Take one block of tokens."""
        self.rows.add(rows.values, rows.offsets, threads=engine.threads())

    def merge(self, other: SelfRepetitionCorpus) -> None:
        """Take what another accumulator has seen."""
        self.rows.merge(other.rows)

    def result(self) -> float:
        """Return the score of everything seen so far."""
        if self.preset == "default" and (len(self.rows) < 2 or self.rows.ngrams() == 0):
            return np.nan
        hits = self.rows.hits(threads=engine.threads())
        return float(np.log1p(hits).mean()) if len(hits) else np.nan


@metric(
    "self_repetition",
    view="tokens",
    unit="log of shared n-grams",
    higher="less diverse",
    bounds=(0, None),
    corpus=SelfRepetitionCorpus,
    parameters={"n": order},
    tokenizers={"default": "whitespace", "paper": "whitespace"},
)
def self_repetition(
    rows: Ragged, groups: NDArray[np.int64], *, n: int = 4, preset: Preset = "default"
) -> NDArray[np.float64]:
    """Log of how often the n-grams of a sample stand in other samples of its group, mean over samples.

    Parameters
    ----------
    rows : Ragged
        Tokens, ``uint64``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    n : int
        Order of the n-grams, 1 to 64.
    preset : str
        ``paper`` gives 0 to a group of one sample, or of samples that all are shorter than n.

    Returns
    -------
    numpy.ndarray
        ``float64[g]``, at least 0; NaN for a group with fewer than two samples, and for one without an n-gram.

    Notes
    -----
    For sample i, ``hits_i`` is the sum over its different n-grams of the number of other samples that hold it: a
    sample counts once for each n-gram, however often it holds it. The value is the mean over samples of ``ln(1 +
    hits_i)``. A sample shorter than n tokens has no n-gram that could be repeated and counts as ``ln 1 = 0``. Grows
    with the number of samples and their length. Per group O(n x tokens) time and 24 to 48 bytes of memory a token of
    the largest group. Over a corpus 8 bytes for every different n-gram of every sample, kept until the end, and a
    quarter as much again while the result is computed; time stays linear. Exact up to 64-bit fingerprints (see
    `ead`); equal to the reference to 1e-12, and, with the paper preset, to the package ``diversity``.

    References
    ----------
    Salkar, Trikalinos, Wallace and Nenkova (2022), "Self-Repetition in Abstractive Neural Summarizers", arXiv
    2210.08145. Shaib, Barrow, Sun, Siu, Wallace and Nenkova (2024), "Standardizing the Measurement of Text Diversity",
    arXiv 2403.00553.

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["a b c", "a b d"]], ["self_repetition:n=2"])
    >>> round(report["self_repetition:n=2"].mean, 4)  # each shares "a b" with the other: ln 2
    0.6931
    """
    hits = _core.shared_ngrams(rows.values, rows.offsets, groups, order=n, threads=engine.threads())
    values = np.full(len(rows), np.nan)
    values[groups[0] : groups[-1]] = np.log1p(hits)
    result = group_means(values, groups)
    if preset == "default":
        longest = np.concatenate([[0], np.cumsum(rows.lengths >= n)])
        result[(np.diff(groups) < 2) | (np.diff(longest[groups]) == 0)] = np.nan
    return result
