"""Sentences of samples, and those of two samples that stand at the same place."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from divfast.samples import Ragged
from divfast.views.cache import content_keys

_END = re.compile(r"[.!?]+\s+|\n+")
_BLANKS = str.maketrans("\r\t", "  ")

Numbers = NDArray[np.int64]


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text as the code of arXiv 2604.16027 cuts them.

    Examples
    --------
    >>> split_sentences("It rains. Take 3.5 umbrellas!\\nNow")
    ['It rains', 'Take 3.5 umbrellas', 'Now']
    """
    return [part for part in map(str.strip, _END.split(text.translate(_BLANKS))) if part]


@dataclass(frozen=True)
class Sentences:
    """The different sentences of some texts, and which of them each text is made of.

    Attributes
    ----------
    table : list of str
        The sentences, each once.
    numbers, offsets : numpy.ndarray
        ``int64``: text i is sentences ``numbers[offsets[i]:offsets[i + 1]]``.
    keys : numpy.ndarray
        ``uint64``, the content of every text.
    """

    table: list[str]
    numbers: Numbers
    offsets: Numbers
    keys: NDArray[np.uint64]

    @classmethod
    def of(cls, texts: Sequence[str]) -> Sentences:
        """Return the sentences of texts."""
        table: dict[str, int] = {}
        numbers: list[int] = []
        offsets = [0]
        for text in texts:
            numbers.extend(table.setdefault(part, len(table)) for part in split_sentences(text))
            offsets.append(len(numbers))
        keys = content_keys(Ragged.from_strings(texts))[:, 0]
        return cls(list(table), np.array(numbers, np.int64), np.array(offsets, np.int64), keys)

    def shared(self, a: Numbers, b: Numbers) -> Numbers:
        """Return up to which place both texts of every pair have a sentence."""
        lengths = np.diff(self.offsets)
        least: Numbers = np.minimum(lengths[a], lengths[b])
        return least

    def at(self, texts: Numbers, places: Numbers) -> Numbers:
        """Return the numbers of the sentences at some places of some texts."""
        found: Numbers = self.numbers[self.offsets[texts] + places]
        return found


def drawn_places(
    keys_a: NDArray[np.uint64], keys_b: NDArray[np.uint64], shared: Numbers, size: int, seed: int
) -> Numbers:
    """Return `size` different places below `shared` for every pair, by a hash of the seed and of both contents.

    Parameters
    ----------
    keys_a, keys_b : numpy.ndarray
        ``uint64[m]``, contents of the two texts; which is first does not matter.
    shared : numpy.ndarray
        ``int64[m]``, each more than `size`.
    size, seed : int
        How many, and which of the draws.

    Returns
    -------
    numpy.ndarray
        ``int64[m, size]``.

    Notes
    -----
    Floyd's way to draw without replacement, every subset as likely as any other but for 2^-60.
    """
    with np.errstate(over="ignore"):
        state = _mix(np.full(len(shared), seed % (1 << 64), np.uint64))
        state = _mix(state ^ np.minimum(keys_a, keys_b))
        state = _mix(state ^ np.maximum(keys_a, keys_b))
        out = np.empty((len(shared), size), np.int64)
        for i in range(size):
            state = state + _STEP
            last = shared - size + i
            place = (_mix(state) % (last + 1).astype(np.uint64)).astype(np.int64)
            taken = (out[:, :i] == place[:, None]).any(axis=1)
            out[:, i] = np.where(taken, last, place)
    return out


_STEP = np.uint64(0x9E3779B97F4A7C15)


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the finaliser of splitmix64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = x ^ (x >> np.uint64(31))
    return mixed
