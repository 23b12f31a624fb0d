"""Sentence BLEU from counts: clipped matches, lengths, smoothing."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

EPSILON = 0.1  # of smoothing method 1
K = 5  # of method 4
ALPHA = 5  # of method 6
# Method 5 averages with one order more than the highest. nltk always takes this one, whatever the highest is.
EXTRA_ORDER = 5


def highest_order(n: int, smoothing: int) -> int:
    """Return up to which order matches must be counted for BLEU-n."""
    return max(n, EXTRA_ORDER) if smoothing in (5, 7) else n


@dataclass(frozen=True)
class Matches:
    """What sentence BLEU is a function of, for every row against the others of its group.

    Parameters
    ----------
    clipped : numpy.ndarray
        ``uint32[n, orders]``: n-grams of the row that its references have too, each as often as one of them has it.
    lengths, closest : numpy.ndarray
        ``int64[n]``: tokens of the row, and of the reference whose length is closest.
    groups : numpy.ndarray
        ``int64[g + 1]``.
    """

    clipped: NDArray[np.uint32]
    lengths: NDArray[np.int64]
    closest: NDArray[np.int64]
    groups: NDArray[np.int64]


def sentence_bleu(
    matches: Matches, n: int, weights: tuple[float, ...] | None, smoothing: int
) -> NDArray[np.float64]:
    """Return BLEU-n of every row, ``float64[n]``; NaN in a group of one row, and in one without a token."""
    exponents = np.full(n, 1 / n) if weights is None else np.array(weights)
    out = np.full(len(matches.lengths), np.nan)
    sizes = np.diff(matches.groups)
    tokens = np.concatenate([[0], np.cumsum(matches.lengths)])[matches.groups]
    defined = np.repeat((sizes > 1) & (np.diff(tokens) > 0), sizes)
    # Some rows at a time, so that what is worked with stays in cache.
    for start in range(matches.groups[0], matches.groups[-1], _ROWS):
        part = slice(start, min(start + _ROWS, matches.groups[-1]))
        score = _rows(
            matches.clipped[part], matches.lengths[part], matches.closest[part], n, exponents, smoothing
        )
        here = defined[part.start - matches.groups[0] : part.stop - matches.groups[0]]
        out[part] = np.where(here, score, np.nan)
    return out


_ROWS = 1 << 13


def _rows(
    clipped: NDArray[np.uint32],
    lengths: NDArray[np.int64],
    closest: NDArray[np.int64],
    n: int,
    exponents: NDArray[np.float64],
    smoothing: int,
) -> NDArray[np.float64]:
    orders = highest_order(n, smoothing)
    # By order first: every line below works on whole columns.
    counts = clipped[:, :orders].T.astype(np.float64)
    grams = lengths - np.arange(orders)[:, None]
    totals = np.maximum(grams, 1).astype(np.float64)
    precision = counts[:n] / totals[:n]
    zero = counts[:n] == 0
    dropped = None
    if smoothing == 1:
        precision = np.where(zero, EPSILON / totals[:n], precision)
    elif smoothing == 2:
        precision[1:] = (counts[1:n] + 1) / (totals[1:n] + 1)
    elif smoothing == 3:
        precision = np.where(zero, 0.5 ** zero.cumsum(axis=0) / totals[:n], precision)
    elif smoothing in (4, 7):
        # The logarithm of a length of 1 is 0: nltk smooths nothing there, and leaves out the orders without a match.
        longer = lengths > 1
        logarithm = np.log(np.maximum(lengths, 2))
        smoothed = 0.5 ** zero.cumsum(axis=0) * logarithm / K / totals[:n]
        precision = np.where(zero & longer, smoothed, precision)
        dropped = zero & ~longer
    if smoothing in (5, 7):
        last = counts[EXTRA_ORDER - 1] / totals[EXTRA_ORDER - 1]
        following = [*precision[1:], last]
        before = precision[0] + 1
        for order in range(n):
            before = precision[order] = (before + precision[order] + following[order]) / 3
    elif smoothing == 6:
        for order in range(2, n):
            two_before, one_before = precision[order - 2], precision[order - 1]
            prior = np.divide(one_before**2, two_before, out=np.zeros(len(lengths)), where=two_before > 0)
            precision[order] = (counts[order] + ALPHA * prior) / (np.maximum(grams[order], 0) + ALPHA)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = exponents[:, None] * np.log(precision)
        # An order of weight 0 says nothing, also where its precision is 0.
        terms[exponents == 0] = 0.0
        if dropped is not None and smoothing == 4:
            terms[dropped] = 0.0
        penalty = np.where(lengths > closest, 0.0, 1 - closest / np.maximum(lengths, 1))
        score = np.exp(terms.sum(axis=0) + penalty)
    score[clipped[:, 0] == 0] = 0.0
    return np.asarray(score)


def parse_weights(text: str) -> tuple[float, ...] | None:
    """Return weights from ``0.5/0.3/0.2``; None from ``uniform``."""
    if text == "uniform":
        return None
    values = tuple(float(word) for word in text.split("/"))
    if not all(0 <= value < math.inf for value in values) or not math.isclose(sum(values), 1, abs_tol=1e-3):
        raise ValueError("must be uniform, or numbers of at least 0 that sum to 1, such as 0.5/0.3/0.2")
    return values


def format_weights(weights: tuple[float, ...] | None) -> str:
    """Return weights as `parse_weights` takes them."""
    return "uniform" if weights is None else "/".join(map(str, weights))
