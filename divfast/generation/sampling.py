"""How samples are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Sampling:
    """Parameters of a sampler; each engine takes those that it knows.

    Attributes
    ----------
    temperature, top_p : float
        Of the distribution of the next token.
    top_k : int
        Only so many tokens; 0 for all.
    min_p : float
        Only tokens at least so likely, relative to the likeliest.
    max_tokens : int
        Of one sample.
    stop : sequence of str
        Texts before which a sample ends.
    presence_penalty, frequency_penalty, repetition_penalty : float
        0, 0 and 1 for none.
    seed : int
        Of the run.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    max_tokens: int = 1024
    stop: Sequence[str] = ()
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    seed: int = 0
