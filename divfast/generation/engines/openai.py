"""Samples from a server that speaks the OpenAI protocol: vLLM's, OpenAI's, or any other."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from divfast.errors import DivfastWarning, MetricError
from divfast.generation.engines import Drawn, Request
from divfast.generation.openai_client import CONCURRENCY, RETRIES, TIMEOUT, Ask, Client
from divfast.generation.openai_protocol import Dialect
from divfast.generation.sampling import Sampling

OPTIONS = frozenset({"base_url", "concurrency", "timeout", "retries", "logprobs"})
# From so many prompts on, each with the same text for all its samples, it is no chance.
_SUSPICIOUS = 3


class OpenAIEngine:
    """An `Engine` that asks a server.

    Notes
    -----
    One request for each sample, with that sample's seed: so a sample is the same however many are asked for, and an
    interrupted run goes on with the next. A server that keeps no seeds draws other samples every time; one that gives
    one text for different seeds, at a temperature above 0, is warned of.
    """

    def __init__(self, client: Client, dialect: Dialect) -> None:
        self.facts: Mapping[str, Any] = {
            "engine": "openai",
            "model": dialect.model,
            "base_url": client.base_url,
        }
        self._client, self._dialect = client, dialect
        self._alike = self._several = 0

    @property
    def sampling(self) -> Sampling:
        """What is sent with every request; may be set between calls."""
        return self._dialect.sampling

    @sampling.setter
    def sampling(self, sampling: Sampling) -> None:
        self._dialect.sampling = sampling

    def __call__(self, requests: Iterable[Request]) -> Iterator[tuple[int, list[Drawn]]]:
        """Yield the key and the samples of every request as it is finished, samples in the order of their seeds."""
        waiting: dict[int, list[Drawn | None]] = {}
        missing: dict[int, int] = {}
        empty: list[int] = []

        def asks() -> Iterator[Ask]:
            for request in requests:
                waiting[request.key] = [None] * len(request.seeds)
                missing[request.key] = len(request.seeds)
                if not request.seeds:
                    empty.append(request.key)
                for i, seed in enumerate(request.seeds):
                    yield self._dialect.ask((request.key, i), request.prompt, seed)

        for (key, i), drawn in self._client.answers(asks()):
            waiting[key][i] = drawn
            missing[key] -= 1
            if not missing[key]:
                samples = [one for one in waiting.pop(key) if one is not None]
                self._look(samples)
                yield key, samples
        yield from ((key, []) for key in empty)
        if self._several >= _SUSPICIOUS and self._alike == self._several:
            warnings.warn(
                f"{self._client.base_url}: the samples of each of {self._several:,} prompts are one text, though their "
                "seeds differ and the temperature is not 0; the server seems to ignore them.",
                DivfastWarning,
                stacklevel=2,
            )

    def _look(self, samples: list[Drawn]) -> None:
        if self.sampling.temperature > 0 and len(samples) > 1:
            self._several += 1
            self._alike += len({(one.reasoning, one.text) for one in samples}) == 1


@contextmanager
def open_engine(model: str | None, sampling: Sampling, options: Mapping[str, Any]) -> Iterator[OpenAIEngine]:
    """Open an engine on a server.

    Parameters
    ----------
    model : str or None
        Its name there; None where the server has one only.
    sampling : Sampling
        Sent with every request; what a server does not know it may refuse.
    options : Mapping
        ``base_url``, and where they are given ``concurrency``, ``timeout``, ``retries``, and ``logprobs``: False asks
        for none.

    Raises
    ------
    ServerError
        Where the server is not there, or takes no key but another.
    MetricError
        Where the URL is none, or no model is named and the server has not just one.
    """
    base_url = options.get("base_url")
    if not base_url:
        raise MetricError(
            "the engine openai needs a server.", remedy="Name one with --base-url http://HOST:PORT/v1."
        )
    with open_client(base_url, options) as client:
        there = client.models()
        model = the_only_one(there, client) if model is None else model
        logprobs = options.get("logprobs")
        dialect = Dialect(model, sampling, logprobs=True if logprobs is None else bool(logprobs))
        yield OpenAIEngine(client, dialect)


def open_client(base_url: str, options: Mapping[str, Any]) -> Client:
    """Return a client with those of ``concurrency``, ``timeout`` and ``retries`` that are given."""
    defaults = {"concurrency": CONCURRENCY, "timeout": TIMEOUT, "retries": RETRIES}
    given = {name: options[name] for name in defaults if options.get(name) is not None}
    return Client(base_url, **{**defaults, **given})


def the_only_one(models: Sequence[str], client: Client) -> str:
    """Return the name of the only model of a server; raise `MetricError` where it has not just one."""
    if len(models) != 1:
        remedy = f"It has {', '.join(models[:8])}." if models else "Name one with --model."
        raise MetricError("which model of the server?", where=client.base_url, remedy=remedy)
    return models[0]
