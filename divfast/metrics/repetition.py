"""Repetition within and between samples, as a product of distinct-n."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.kinds import orders
from divfast.ngrams import Counts, NgramCorpus, count_ngrams
from divfast.registry import Preset, Statistics, metric
from divfast.samples import Ragged


def product_of_ratios(unique: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the product of unique / total over the last axis; NaN where one of them is 0 / 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray((unique / total).prod(axis=-1))


def counts_of_samples(rows: Ragged, max_order: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return different and all n-grams of every sample by itself, its last token left out."""
    start, stop = rows.offsets[:-1], rows.offsets[1:]
    kept = np.ones(len(rows.values), np.bool_)
    kept[stop[stop > start] - 1] = False
    shortened = np.maximum(rows.lengths - 1, 0)
    inside = slice(rows.offsets[0], rows.offsets[-1])
    short = Ragged(
        rows.values[inside][kept[inside]], np.concatenate([[0], np.cumsum(shortened)]).astype(np.int64)
    )
    return _core.ngram_counts(
        short.values, short.offsets, np.arange(len(short) + 1), max_order, threads=engine.threads()
    )


class RepetitionCorpus(NgramCorpus):
    """Repetition of all rows together."""

    def __init__(self, *, n: tuple[int, ...], preset: Preset = "default") -> None:
        super().__init__(n, shares=preset != "paper")
        self.n = n
        self.preset = preset
        # Of the paper preset: unique and total summed over samples.
        self.sums = np.zeros((2, len(n)), np.int64)

    def add(self, rows: Ragged) -> None:
        """Take one block of tokens."""
        if self.preset == "paper":
            counted = counts_of_samples(rows, self.n[-1])
            self.sums += [counts[:, self.n[0] - 1 :].sum(axis=0) for counts in counted]
        else:
            super().add(rows)

    def merge(self, other: RepetitionCorpus) -> None:
        """Take what another accumulator has seen."""
        self.sums = self.sums + other.sums
        super().merge(other)

    def result(self) -> float:
        """Return the score of everything seen so far."""
        unique, total = self.sums if self.preset == "paper" else self.counts()
        return float(product_of_ratios(unique, total))


def repetition_of(counts: Counts, *, n: tuple[int, ...], preset: Preset = "default") -> NDArray[np.float64]:
    """Return the repetition of every group."""
    chosen = slice(n[0] - 1, n[-1])
    return product_of_ratios(counts.unique[:, chosen], counts.total[:, chosen])


def _order(*, n: tuple[int, ...], preset: Preset) -> int | None:
    return n[-1] if preset == "default" else None


@metric(
    "repetition",
    view="tokens",
    unit="product of distinct / all n-grams",
    higher="less repetition, more diverse",
    bounds=(0, 1),
    corpus=RepetitionCorpus,
    parameters={"n": orders},
    tokenizers={"default": "whitespace", "paper": "whitespace"},
    statistics=Statistics(count_ngrams, _order, repetition_of),
)
def repetition(
    rows: Ragged, groups: NDArray[np.int64], *, n: tuple[int, ...] = (2, 3, 4), preset: Preset = "default"
) -> NDArray[np.float64]:
    """Share of n-grams that are no repetition, multiplied over n = 2..4; higher means less repetition.

    Parameters
    ----------
    rows : Ragged
        Tokens, ``uint64``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    n : tuple of int
        Orders, multiplied; ``n=2-4`` on the command line.
    preset : str
        ``paper`` counts different n-grams in each sample by itself, so that samples may repeat one another, and sums
        over samples before it divides; it leaves out the last n-gram of every sample. So does the published code.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in (0, 1]; NaN for a group that lacks n-grams of one of the orders.

    Notes
    -----
    ``product over n of U_n / T_n``, U_n different among the T_n n-grams of all samples of the group together. The
    paper calls ``rep-n = 1 - U_n / T_n`` repetition and this product, ``(1 - rep-2) (1 - rep-3) (1 - rep-4)``,
    diversity: 1 where nothing is said twice. Published values are of the paper preset, a mean over one continuation
    a prompt; its code rounds each rep-n to four digits, which is not done here, and divides by zero where this is
    NaN. O(orders x tokens) time, exact up to 64-bit fingerprints (see `ead`); over a corpus 11 to 21 bytes of memory
    for every different n-gram, with the paper preset none. Equal to the reference to 1e-12.

    References
    ----------
    Su, Lan, Wang, Yogatama, Kong and Collier (2022), "A Contrastive Framework for Neural Text Generation", arXiv
    2202.06417. Rep-n: Welleck, Kulikov, Roller, Dinan, Cho and Weston (2019), "Neural Text Generation with Unlikelihood
    Training", arXiv 1908.04319.

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["a b c a b c a b"]], ["repetition"])
    >>> round(report["repetition"].mean, 4)  # 3 of 7 bigrams, 3 of 6 trigrams, 3 of 5 of four
    0.1286
    """
    first = n[0] - 1
    if preset == "paper":
        inside = rows.slice(int(groups[0]), int(groups[-1]))
        group = np.repeat(np.arange(len(groups) - 1), np.diff(groups))
        unique, total = (
            np.stack([np.bincount(group, column, len(groups) - 1) for column in counts[:, first:].T], axis=-1)
            for counts in counts_of_samples(inside, n[-1])
        )
        return product_of_ratios(unique, total)
    return repetition_of(count_ngrams(rows, groups, n[-1]), n=n)
