"""Self-BLEU."""

from __future__ import annotations

import tempfile
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.bleu import Matches, format_weights, highest_order, parse_weights, sentence_bleu
from divfast.errors import DataError, MetricError, os_reason
from divfast.kinds import Kind
from divfast.registry import Statistics, metric
from divfast.samples import Ragged
from divfast.scope import one_group
from divfast.tape import TokenTape


def _parse_order(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 8:
        raise ValueError("must be a whole number from 1 to 8")
    return value


def _parse_method(text: str) -> int:
    value = int(text)
    if not 0 <= value <= 7:
        raise ValueError("must be 0 for none, or 1 to 7")
    return value


def _check(n: int, weights: tuple[float, ...] | None) -> None:
    if weights is not None and len(weights) != n:
        raise MetricError(
            f"self_bleu of order {n} has {n} weights, got {len(weights)}.",
            remedy=f"Write n={len(weights)} too.",
        )


def _order(*, n: int, weights: tuple[float, ...] | None, smoothing: int) -> int:
    _check(n, weights)
    return highest_order(n, smoothing)


def _memory() -> int:
    # A third for tokens, a third for n-grams at a time; the rest is for what is read and for results.
    limit = engine.memory()
    return 0 if limit is None else max(1, limit // 3)


def count_matches(rows: Ragged, groups: NDArray[np.int64], order: int) -> Matches:
    """Return the matches of every row with the others of its group, up to an order."""
    clipped = _core.group_matches(
        rows.values, rows.offsets, groups, max_order=order, memory=_memory(), threads=engine.threads()
    )
    lengths = rows.lengths
    return Matches(clipped, lengths, _core.closest_lengths(lengths, groups, threads=engine.threads()), groups)


def mean_bleu(
    matches: Matches, *, n: int, weights: tuple[float, ...] | None, smoothing: int
) -> NDArray[np.float64]:
    """Return the mean of sentence BLEU over every group."""
    values = sentence_bleu(matches, n, weights, smoothing)
    sizes = np.diff(matches.groups)
    out = np.full(len(sizes), np.nan)
    filled = sizes > 0
    if filled.any():
        starts = matches.groups[:-1][filled]
        out[filled] = np.add.reduceat(values[: matches.groups[-1]], starts) / sizes[filled]
    return out


class SelfBleuCorpus:
    """Self-BLEU of all rows together, from their tokens: 8 bytes each, in a file where there are too many."""

    def __init__(self, *, n: int, weights: tuple[float, ...] | None, smoothing: int) -> None:
        self._parameters: tuple[int, tuple[float, ...] | None, int] = (n, weights, smoothing)
        self._seen = _Seen(_order(n=n, weights=weights, smoothing=smoothing))

    def add(self, rows: Ragged) -> None:
        """Take one block of tokens."""
        self._seen.tape.add(rows)
        self._seen.matches = None

    def merge(self, other: Self) -> None:
        """Take what another accumulator has seen."""
        self._seen.tape.merge(other._seen.tape)
        self._seen.matches = None

    def adopt(self, other: Any) -> bool:
        """Let `other` see what this one sees, if it is of the same kind; then only one is to be given rows."""
        if not isinstance(other, SelfBleuCorpus):
            return False
        self._seen.order = max(self._seen.order, other._seen.order)
        other._seen = self._seen
        return True

    def samples(self) -> NDArray[np.float64]:
        """Return BLEU of every row against all others, in order of arrival, ``float64[n]``."""
        return sentence_bleu(self._seen.count(), *self._parameters)

    def result(self) -> float:
        """Return the score of everything seen so far."""
        n, weights, smoothing = self._parameters
        return float(mean_bleu(self._seen.count(), n=n, weights=weights, smoothing=smoothing)[0])


class _Seen:
    """What accumulators that differ in their parameters have in common."""

    def __init__(self, order: int) -> None:
        self.tape = TokenTape()
        self.order = order
        self.matches: Matches | None = None

    def count(self) -> Matches:
        if self.matches is None:
            lengths, groups = self.tape.lengths, one_group(len(self.tape.lengths))
            try:
                clipped = _core.corpus_matches(
                    self.tape.blocks,
                    -1 if self.tape.file is None else self.tape.file.fileno(),
                    lengths,
                    max_order=self.order,
                    memory=_memory(),
                    threads=engine.threads(),
                )
            except OSError as error:
                raise DataError(
                    f"the tokens put aside cannot be read: {os_reason(error)}.", where=tempfile.gettempdir()
                ) from None
            closest = _core.closest_lengths(lengths, groups, threads=engine.threads())
            self.matches = Matches(clipped, lengths, closest, groups)
        return self.matches


def self_bleu_samples(
    rows: Ragged,
    groups: NDArray[np.int64],
    *,
    n: int = 4,
    weights: tuple[float, ...] | None = None,
    smoothing: int = 1,
) -> NDArray[np.float64]:
    """Return BLEU of every sample against the others of its group, ``float64[n]``: `self_bleu` is their mean."""
    order = _order(n=n, weights=weights, smoothing=smoothing)
    return sentence_bleu(count_matches(rows, groups, order), n, weights, smoothing)


@metric(
    "self_bleu",
    view="tokens",
    unit="BLEU of a sample against the others",
    higher="less diverse",
    bounds=(0, None),
    corpus=SelfBleuCorpus,
    per_sample=self_bleu_samples,
    parameters={
        "n": Kind(_parse_order),
        "weights": Kind(parse_weights, format_weights),
        "smoothing": Kind(_parse_method),
    },
    tokenizers={"default": "whitespace", "paper": "whitespace"},
    statistics=Statistics(count_matches, _order, mean_bleu),
)
def self_bleu(
    rows: Ragged,
    groups: NDArray[np.int64],
    *,
    n: int = 4,
    weights: tuple[float, ...] | None = None,
    smoothing: int = 1,
) -> NDArray[np.float64]:
    """Mean BLEU of every sample of a group with all its other samples as references.

    Parameters
    ----------
    rows : Ragged
        Tokens, ``uint64``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    n : int
        Highest order, 1 to 8; BLEU-4 unless named.
    weights : tuple of float, optional
        Exponents of the orders 1 to `n`, which sum to 1; ``n=3,weights=0.5/0.3/0.2`` on the command line. By default
        all are 1 / n.
    smoothing : int
        What is done about orders without a match: a method of Chen and Cherry by nltk's number, 0 for nothing. By
        default method 1, which counts 0.1 instead of 0.

    Returns
    -------
    numpy.ndarray
        ``float64[g]`` in [0, 1]; methods 5 and 7 take the average with a number above 1, and can pass 1 by a third.
        NaN for a group of fewer than two samples, and for one without a token.

    Notes
    -----
    BLEU of a sample is ``exp(min(0, 1 - r / c) + sum_k w_k log p_k)``: c is its length, r the length of the other
    sample closest to it, the shorter of two; p_k its k-grams that stand in another sample, each at most as often as
    in the one that has most of it, over all its k-grams, or over 1 where it has none. A sample that shares no word
    with another has BLEU 0, so also an empty one among others. An order of precision 0 and weight above 0 makes BLEU
    0.

    Exact at any size: the largest count of an n-gram among all samples but one is its largest or second largest
    count among all. O(orders x tokens) time. Over a corpus 8 bytes a token, and 12 for each n-gram of one order that
    can occur twice; with little memory the tokens go to a temporary file, and n-grams are counted some at a time,
    with the same digits. n-grams are told apart by 64-bit fingerprints (for the odds see `ead`). At most 2^32 - 2
    tokens. Grows with the number of samples: compare groups of like size. Equal to the reference to 1e-9.

    Equal to nltk 3.10 (``sentence_bleu`` with ``SmoothingFunction``) in every method, quirks included: method 4
    leaves out the orders without a match of a sample of one token; methods 5 and 7 take order 5 as the one that
    follows the highest, whichever that is. Otherwise than nltk: with method 0 it takes the smallest float for a
    precision of 0, so that BLEU is 1e-77 where it is 0 here, and more where the weight of that order is small; it has
    no number for method 6 where no trigram matches, or where n is below 3, where here the formula goes on, and BLEU is
    0 where no bigram matches; it calls 0 what is NaN here. fast-bleu rounds weights to 32 bits: 1e-6; where lengths are
    very unequal its brevity penalty is not the same from run to run.

    References
    ----------
    Zhu, Lu, Zheng, Guo, Zhang, Wang and Yu (2018), "Texygen: A Benchmarking Platform for Text Generation Models",
    arXiv 1802.01886. Papineni, Roukos, Ward and Zhu (2002), "BLEU: a Method for Automatic Evaluation of Machine
    Translation". Chen and Cherry (2014), "A Systematic Comparison of Smoothing Techniques for Sentence-Level BLEU".

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["a b c", "a b d"]], ["self_bleu:n=2"])
    >>> round(report["self_bleu:n=2"].mean, 6)  # of each 2 of 3 words and 1 of 2 bigrams: sqrt(2/3 * 1/2)
    0.57735
    """
    order = _order(n=n, weights=weights, smoothing=smoothing)
    return mean_bleu(count_matches(rows, groups, order), n=n, weights=weights, smoothing=smoothing)
