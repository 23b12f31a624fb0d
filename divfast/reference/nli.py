"""NLI diversity pair by pair and sentence by sentence. Rows have a text and a judge."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

_ALL = (1 << 64) - 1


def split(text: str) -> list[str]:
    """Return the sentences of a text."""
    parts = re.split(r"[.!?]+\s+|\n+", text.replace("\r", " ").replace("\t", " "))
    return [part.strip() for part in parts if part.strip()]


def mix(x: int) -> int:
    """Return the finaliser of splitmix64."""
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & _ALL
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & _ALL
    return x ^ x >> 31


def key(text: str) -> int:
    """Return the first 8 of 16 bytes of BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16).digest()[:8], "little")


def draw(a: str, b: str, places: int, size: int, seed: int) -> list[int]:
    """Return `size` of the places by Floyd's way, from a hash of the seed and both texts."""
    state = mix(seed)
    for word in sorted((key(a), key(b))):
        state = mix(state ^ word)
    chosen: list[int] = []
    for last in range(places - size, places):
        state = (state + 0x9E3779B97F4A7C15) & _ALL
        place = mix(state) % (last + 1)
        chosen.append(last if place in chosen else place)
    return chosen


def nli(
    rows: Sequence[Any],
    groups: Sequence[int],
    *,
    sentences: int | None = 3,
    sample: int = 500,
    seed: int = 0,
    preset: str = "default",
) -> NDArray[np.float64]:
    """Return the score per group, ``float64[g]``; all pairs, whatever `sample`."""
    stream = random.Random(seed)
    out = []
    for start, stop in pairwise(groups):
        similarities = []
        for a, b in combinations(rows[start:stop], 2):
            ones, others = split(a.text), split(b.text)
            places = min(len(ones), len(others))
            chosen = list(range(places))
            if sentences is not None and places > sentences:
                if preset == "paper":
                    chosen = stream.sample(chosen, sentences)
                else:
                    chosen = draw(a.text, b.text, places, sentences, seed)
            for i in chosen:
                forth, back = a.judge(ones[i], others[i]), a.judge(others[i], ones[i])
                similarities.append((forth[0] - forth[2] + back[0] - back[2]) / 2)
        undefined = 0.0 if preset == "paper" else np.nan
        out.append(1 - sum(similarities) / len(similarities) if similarities else undefined)
    return np.array(out, np.float64)
