"""What draws samples: one file for each engine, each with the methods of `Engine`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from divfast.generation.prompts import Message


@dataclass(frozen=True)
class Request:
    """Samples of one prompt.

    Attributes
    ----------
    key : int
        Comes back with the samples.
    prompt : str or sequence of Message
        Text to go on from, its chat template applied; messages for an engine whose server applies it.
    seeds : sequence of int
        One for each sample that is wanted. Sample i depends on ``seeds[i]``, not on how many are asked for.
    tokens : sequence of int, optional
        The text as the model's tokens, for an engine that runs the model itself.
    """

    key: int
    prompt: str | Sequence[Message]
    seeds: Sequence[int]
    tokens: Sequence[int] | None = None


class Drawn(NamedTuple):
    """One sample.

    Attributes
    ----------
    text : str
        As the model wrote it, without special tokens.
    finish_reason : str or None
        ``stop`` or ``length``.
    tokens : int or None
        Generated.
    logprob : float or None
        Their cumulative log-probability.
    reasoning : str or None
        Where the engine gives it apart from the text.
    """

    text: str
    finish_reason: str | None = None
    tokens: int | None = None
    logprob: float | None = None
    reasoning: str | None = None


class Engine(Protocol):
    """A model that is ready to be asked; a context, which frees it."""

    facts: Mapping[str, Any]
    """What the dump says of it: ``engine``, ``model``, ``revision``, versions."""

    def __call__(self, requests: Iterable[Request]) -> Iterator[tuple[int, list[Drawn]]]:
        """Yield the key and the samples of every request as it is finished, samples in the order of their seeds."""
        ...


Opened = AbstractContextManager[Engine]
