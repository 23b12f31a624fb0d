"""Mean chrF over ordered pairs by counting substrings. Rows are texts."""

from __future__ import annotations

import string
from collections import Counter
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import NDArray

from divfast.reference.ead import ngrams
from divfast.reference.rouge_l import pair_means


def chrf_words(text: str) -> list[str]:
    """Return words with one mark of punctuation cut off the end, or else the start."""
    out: list[str] = []
    for word in text.split():
        if len(word) > 1 and word[-1] in string.punctuation:
            out += [word[:-1], word[-1]]
        elif len(word) > 1 and word[0] in string.punctuation:
            out += [word[0], word[1:]]
        else:
            out.append(word)
    return out


def counted(text: str, char_order: int, word_order: int) -> list[Counter[Hashable]]:
    """Return how often each n-gram occurs, by order."""
    characters = "".join(text.split())
    counts: list[Counter[Hashable]] = [Counter(ngrams(characters, n)) for n in range(1, char_order + 1)]
    words = chrf_words(text)
    return counts + [Counter(ngrams(words, n)) for n in range(1, word_order + 1)]


def f_score(hypothesis: list[Counter[Hashable]], reference: list[Counter[Hashable]], beta: float) -> float:
    """Return chrF of one text against another, 0 to 100."""
    orders = [(h, r) for h, r in zip(hypothesis, reference, strict=True) if h and r]
    precision = sum((h & r).total() / h.total() for h, r in orders)
    recall = sum((h & r).total() / r.total() for h, r in orders)
    if not precision:
        return 0.0
    precision, recall = precision / len(orders), recall / len(orders)
    return 100 * (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def chrf(
    rows: Sequence[str],
    groups: Sequence[int],
    *,
    char_order: int = 6,
    word_order: int = 0,
    beta: float = 2.0,
    sample: int = 2000,
    seed: int = 0,
) -> NDArray[np.float64]:
    """Return the mean of both directions over pairs per group, ``float64[g]``; all pairs, whatever `sample`."""
    counts = [counted(row, char_order, word_order) for row in rows]
    return pair_means(counts, groups, lambda a, b: (f_score(a, b, beta) + f_score(b, a, beta)) / 2)
