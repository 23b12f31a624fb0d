"""Expectation-adjusted distinct n-grams."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from divfast.ngrams import NgramCorpus, ngram_counts
from divfast.registry import Preset, metric, orders, positive_int
from divfast.samples import Ragged

GPT2_VOCABULARY = 50257


def adjust(
    unique: NDArray[np.int64], total: NDArray[np.int64], vocab_size: int, preset: Preset
) -> NDArray[np.float64]:
    """Return EAD from counts of n-grams, ``int64[..., orders]`` -> ``float64[...]``."""
    # expm1 and log1p keep the digits that (1 - 1/V)^T loses where T is small beside V.
    if vocab_size == 1:
        expected = (total > 0).astype(np.float64)
    else:
        expected = vocab_size * -np.expm1(total * np.log1p(-1.0 / vocab_size))
    with np.errstate(invalid="ignore", divide="ignore"):
        by_order = unique / expected
    if preset == "paper":
        return np.asarray(np.clip(np.where(total > 0, by_order, 0.0), 0.0, 1.0).mean(axis=-1))
    defined = total > 0
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(defined, by_order, 0.0).sum(axis=-1) / defined.sum(axis=-1))


class EadCorpus(NgramCorpus):
    """EAD of all rows together."""

    def __init__(self, *, n: tuple[int, ...], vocab_size: int, preset: Preset = "default") -> None:
        super().__init__(n)
        self.vocab_size = vocab_size
        self.preset = preset

    def result(self) -> float:
        """Return the score of everything seen so far."""
        return float(adjust(self.sets.unique(), self.sets.total(), self.vocab_size, self.preset))


@metric(
    "ead",
    view="tokens",
    unit="distinct / expected distinct n-grams",
    higher="more diverse",
    bounds=(0, None),
    corpus=EadCorpus,
    parameters={"n": orders, "vocab_size": positive_int},
    tokenizers={"default": "whitespace", "paper": "paper"},
)
def ead(
    rows: Ragged,
    groups: NDArray[np.int64],
    *,
    n: tuple[int, ...] = (1, 2, 3, 4, 5),
    vocab_size: int = GPT2_VOCABULARY,
    preset: Preset = "default",
) -> NDArray[np.float64]:
    """Different n-grams of a group over the number expected if every n-gram were drawn from V words.

    Parameters
    ----------
    rows : Ragged
        Tokens, ``uint64``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    n : tuple of int
        Orders, averaged; ``n=1-5`` on the command line, ``n=3`` for EAD-3 alone.
    vocab_size : int
        V. 50257 unless named; with a Hugging Face tokenizer, the size of its vocabulary.
    preset : str
        ``paper`` clamps every order to [0, 1] and counts an order without n-grams as 0, as the published code does;
        its tokenizer deletes every "." and newline before splitting.

    Returns
    -------
    numpy.ndarray
        ``float64[g]``. Not bounded by 1: more than V different n-grams can be seen.

    Notes
    -----
    With U different among T n-grams of order n, ``EAD_n = U / (V (1 - ((V - 1) / V)^T))``; n-grams never cross
    samples. An order without n-grams is left out of the mean; NaN where there is none at all. O(orders x tokens)
    time. n-grams are told apart by 64-bit fingerprints: among 10^8 different ones, the odds that any two are
    taken for one are 3 in 10,000. Equal to the reference to 1e-12.

    References
    ----------
    Liu, Sabour, Zheng, Ke, Zhu and Huang (2022), "Rethinking and Refining the Distinct Metric", arXiv 2202.13587.

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["a b", "a c"]], ["ead:n=1,vocab_size=10"])
    >>> round(report["ead:n=1,vocab_size=10"].mean, 4)  # 3 / (10 (1 - 0.9^4))
    0.8723
    """
    unique, total = ngram_counts(rows, groups, n[-1])
    first = n[0] - 1
    return adjust(unique[:, first:], total[:, first:], vocab_size, preset)
