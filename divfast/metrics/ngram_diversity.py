"""n-gram diversity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.kinds import orders
from divfast.ngrams import Counts, NgramCorpus, count_ngrams
from divfast.registry import Preset, Statistics, metric
from divfast.samples import Ragged


def sum_of_ratios(unique: NDArray[np.int64], total: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the sum of unique / total over the last axis; NaN where one of them is 0 / 0."""
    with np.errstate(invalid="ignore"):
        return np.asarray((unique / total).sum(axis=-1))


class NgramDiversityCorpus(NgramCorpus):
    """n-gram diversity of all rows together."""

    def __init__(self, *, n: tuple[int, ...], preset: Preset = "default") -> None:
        super().__init__(n, shares=preset != "paper")
        self.joined = JoinedNgrams(n) if preset == "paper" else None

    def add(self, rows: Ragged) -> None:
        """Take one block of tokens."""
        if self.joined is None:
            super().add(rows)
        else:
            self.joined.add(rows)

    def merge(self, other: NgramDiversityCorpus) -> None:
        """Take what another accumulator has seen; in the paper preset it comes behind what was seen here."""
        if self.joined is None or other.joined is None:
            super().merge(other)
        else:
            self.joined.merge(other.joined)

    def result(self) -> float:
        """Return the score of everything seen so far."""
        counts = self.counts() if self.joined is None else self.joined.counts()
        return float(sum_of_ratios(*counts))


class JoinedNgrams:
    """The different n-grams of one text that arrives in pieces; they cross from one piece to the next.

    Each order has a set of its own, since each looks back over another number of tokens.
    """

    def __init__(self, orders: tuple[int, ...]) -> None:
        self.sets = [_core.NgramSets([order]) for order in orders]
        self.reach = orders[-1] - 1
        self.head = self.tail = np.zeros(0, np.uint64)

    def add(self, rows: Ragged) -> None:
        """Take the next piece."""
        tokens = rows.values[rows.offsets[0] : rows.offsets[-1]]
        self._cross(np.concatenate([self.tail, tokens]), len(self.tail))
        self._grow(tokens, tokens)

    def merge(self, other: JoinedNgrams) -> None:
        """Take the pieces that another one has seen as the next ones."""
        for mine, theirs in zip(self.sets, other.sets, strict=True):
            mine.merge(theirs, threads=engine.threads())
        seam = np.concatenate([self.tail, other.head])
        self._cross(seam, len(self.tail), ahead=True)
        self._grow(other.head, other.tail)

    def counts(self) -> Counts:
        """Return the n-grams seen so far, each ``int64[orders]``."""
        return Counts(
            np.concatenate([one.unique() for one in self.sets]),
            np.concatenate([one.total() for one in self.sets]),
        )

    def _cross(self, tokens: NDArray[np.uint64], seam: int, ahead: bool = False) -> None:
        for sets in self.sets:
            before = sets.orders[0] - 1
            stop = min(len(tokens), seam + before) if ahead else len(tokens)
            bounds = np.array([max(0, seam - before), stop], np.int64)
            sets.add(tokens, bounds, threads=engine.threads())

    def _grow(self, head: NDArray[np.uint64], tail: NDArray[np.uint64]) -> None:
        self.head = np.concatenate([self.head, head[: self.reach]])[: self.reach]
        # A whole piece shorter than the reach leaves tokens from before in reach.
        kept = np.concatenate([self.tail, tail[max(0, len(tail) - self.reach) :]])
        self.tail = kept[max(0, len(kept) - self.reach) :]


def ngram_diversity_of(
    counts: Counts, *, n: tuple[int, ...], preset: Preset = "default"
) -> NDArray[np.float64]:
    """Return the n-gram diversity of every group."""
    chosen = slice(n[0] - 1, n[-1])
    return sum_of_ratios(counts.unique[:, chosen], counts.total[:, chosen])


def _order(*, n: tuple[int, ...], preset: Preset) -> int | None:
    return n[-1] if preset == "default" else None


@metric(
    "ngram_diversity",
    view="tokens",
    unit="distinct / all n-grams, summed over n",
    higher="more diverse",
    bounds=(0, None),
    corpus=NgramDiversityCorpus,
    parameters={"n": orders},
    tokenizers={"default": "whitespace", "paper": "spaces"},
    sequential=("paper",),
    statistics=Statistics(count_ngrams, _order, ngram_diversity_of),
)
def ngram_diversity(
    rows: Ragged,
    groups: NDArray[np.int64],
    *,
    n: tuple[int, ...] = (1, 2, 3, 4),
    preset: Preset = "default",
) -> NDArray[np.float64]:
    """Different n-grams of a group over all its n-grams, summed over n = 1..4.

    Parameters
    ----------
    rows : Ragged
        Tokens, ``uint64``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    n : tuple of int
        Orders, summed; ``n=1-4`` on the command line.
    preset : str
        ``paper`` joins the samples of a group by one blank before it splits them, so that n-grams cross from one
        sample to the next, as the published package ``diversity`` does; its tokenizer splits at single blanks
        alone, so newlines stay inside words and two blanks hold an empty word. The value then depends on the order
        of the samples.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in (0, number of orders]; NaN for a group that lacks n-grams of one of the orders.

    Notes
    -----
    ``sum over n of U_n / T_n``, U_n different among the T_n n-grams of all samples of the group together. A sum with
    a term left out could not be compared with others, so it is undefined, also in the paper preset, where the
    package divides by zero; the package rounds to three decimals, which is not done here. Falls with the length of
    the text, as `distinct` does. O(orders x tokens) time, exact up to 64-bit fingerprints (see `ead`); over a corpus
    11 to 21 bytes of memory for every different n-gram. Equal to the reference to 1e-12.

    References
    ----------
    Padmakumar and He (2023), "Does Writing with Language Models Reduce Content Diversity?", arXiv 2309.05196. Shaib,
    Barrow, Sun, Siu, Wallace and Nenkova (2024), "Standardizing the Measurement of Text Diversity", arXiv 2403.00553,
    with the package.

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["a b", "a c"]], ["ngram_diversity:n=1-2"])
    >>> report["ngram_diversity:n=1-2"].mean  # 3 of 4 words, 2 of 2 bigrams
    1.75
    """
    if preset == "paper":
        rows, groups = Ragged(rows.values, rows.offsets[groups]), np.arange(len(groups))
    return ngram_diversity_of(count_ngrams(rows, groups, n[-1]), n=n)
