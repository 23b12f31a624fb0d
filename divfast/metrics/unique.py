"""Share of different samples."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.kinds import choice
from divfast.ngrams import NgramCorpus
from divfast.registry import metric
from divfast.samples import Ragged


def fingerprints(rows: Ragged, normalize: str) -> NDArray[np.uint64]:
    """Return one number a text, the same for texts that are the same once normalised."""
    return _core.text_fingerprints(rows.values, rows.offsets, normalize, threads=engine.threads())


class UniqueCorpus(NgramCorpus):
    """Share of different samples of all rows together: a set of one word a sample."""

    def __init__(self, *, normalize: str) -> None:
        super().__init__([1], shares=False)
        self.normalize = normalize

    def add(self, rows: Ragged) -> None:
        """Take one block of texts."""
        super().add(Ragged(fingerprints(rows, self.normalize), np.array([0, len(rows)], np.int64)))

    def result(self) -> float:
        """Return the score of everything seen so far."""
        different, total = (int(count[0]) for count in self.counts())
        return different / total if total else np.nan


def expected_unique(
    rows: Ragged, groups: NDArray[np.int64], k: int, *, normalize: str
) -> NDArray[np.float64]:
    """Return what is expected of k of the samples of every group, ``float64[g]``; NaN where it has fewer.

    Of m equal samples among K, none is drawn with odds C(K - m, k) / C(K, k) (Hurlbert 1971).
    """
    sizes = np.diff(groups)
    inside = fingerprints(rows.slice(int(groups[0]), int(groups[-1])), normalize)
    samples = np.stack([np.repeat(np.arange(len(sizes)), sizes).astype(np.uint64), inside])
    (group, _), equal = np.unique(samples, axis=1, return_counts=True)
    of = sizes[group.astype(np.int64)]
    absent = np.ones(len(equal))
    with np.errstate(invalid="ignore", divide="ignore"):
        for drawn in range(k):
            absent *= np.maximum(of - equal - drawn, 0) / (of - drawn)
        different = np.bincount(group.astype(np.int64), 1.0 - absent, len(sizes))
    return np.where(sizes >= k, different / k, np.nan)


@metric(
    "unique",
    view="text",
    unit="different / all samples",
    higher="more diverse",
    bounds=(0, 1),
    corpus=UniqueCorpus,
    expectation=expected_unique,
    parameters={"normalize": choice("none", "space", "lower")},
)
def unique(rows: Ragged, groups: NDArray[np.int64], *, normalize: str = "space") -> NDArray[np.float64]:
    """Share of a group's samples that are different from one another, word for word.

    Parameters
    ----------
    rows : Ragged
        Texts, ``uint8``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    normalize : str
        What is made alike first. ``none``: nothing, bytes are compared; ``space``: white space at the ends is cut and
        every other run of it is one blank; ``lower``: that, and letters in lower case, one character at a time.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [1/K, 1]; NaN for a group without a sample.

    Notes
    -----
    Different samples over all samples; empty ones are samples too, equal to one another. White space is what Python's
    ``str.split()`` takes for it. Bytes that are not UTF-8 are compared as they are, with ``lower`` as U+FFFD. O(bytes)
    time; over a corpus 11 to 21 bytes of memory for every different sample. Exact up to 64-bit fingerprints of texts
    (see `ead`); equal to the reference exactly.

    References
    ----------
    Its expectation on fewer samples: Hurlbert (1971), "The Nonconcept of Species Diversity", Ecology 52(4). As the
    uniqueness of generated molecules: Brown, Fiscato, Segler and Vaucher (2019), "GuacaMol: Benchmarking Models
    for de Novo Molecular Design", arXiv 1811.09621.

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["Yes", "Yes ", "yes", "No"]], ["unique", "unique:normalize=lower"])
    >>> report["unique"].mean, report["unique:normalize=lower"].mean  # Yes yes No; yes no
    (0.75, 0.5)
    """
    of_row = fingerprints(rows, normalize)
    # A group is a row of one-word samples.
    different, total = _core.ngram_counts(
        of_row, groups, np.arange(len(groups)), max_order=1, threads=engine.threads()
    )
    with np.errstate(invalid="ignore"):
        result: NDArray[np.float64] = different[:, 0] / total[:, 0]
    return result
