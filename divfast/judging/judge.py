"""A language model as judge: it is asked once for each verdict, and once more where it gave none."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

from divfast import env
from divfast.dumps import Progress
from divfast.errors import MetricError
from divfast.generation.engines.openai import open_client, the_only_one
from divfast.generation.openai_client import Ask, Client
from divfast.generation.openai_protocol import Dialect
from divfast.generation.prompts import Message
from divfast.generation.sampling import Sampling
from divfast.judging.answers import Answer, Answers, conversation_key
from divfast.judging.templates import packaged

MAX_TOKENS = 2048
T = TypeVar("T")


class Said(NamedTuple, Generic[T]):
    """A verdict, None where the judge gave none that could be read, and its words."""

    verdict: T | None
    text: str


class LanguageJudge:
    """A model behind a server.

    Parameters
    ----------
    client : Client
        The server.
    model : str
        Its name there.
    max_tokens : int
        Most tokens of one answer.
    cache : bool
        Keep answers in ``divfast.env.cache_dir()`` and look there first; else they are kept in memory.

    Attributes
    ----------
    counts : Counter
        ``verdicts`` wanted, ``asked`` of the server, ``cached``, ``malformed`` first answers, ``unusable`` after a
        second one, and how many of these were ``cut`` at `max_tokens`.
    """

    def __init__(
        self, client: Client, model: str, *, max_tokens: int = MAX_TOKENS, cache: bool = True
    ) -> None:
        if max_tokens < 1:
            raise MetricError(f"must be at least 1, got {max_tokens}.", where="max_tokens")
        self.model, self.max_tokens = model, max_tokens
        self.counts = Counter(
            dict.fromkeys(("verdicts", "asked", "cached", "malformed", "unusable", "cut"), 0)
        )
        self._client, self._reached = client, False
        self._dialect = Dialect(model, Sampling(temperature=0.0, max_tokens=max_tokens), logprobs=False)
        # Where the server stands is no part of it: the same model may answer at another address.
        recipe = json.dumps([model, 0.0, max_tokens]).encode()
        name = re.sub(r"[^\w.-]+", "-", model)[:80]
        folder = f"{name}-{hashlib.blake2b(recipe, digest_size=8).hexdigest()}"
        self._answers = Answers(env.cache_dir() / "answers" / folder if cache else None)
        self._reminder = packaged("reminder")

    def recipe(self, digest: str) -> dict[str, str]:
        """Return what of the judge changes a verdict: ``judge:MODEL/TEMPLATE``, and its most tokens."""
        return {"judge": f"{self.model.replace('|', '_')}/{digest}", "tokens": str(self.max_tokens)}

    def __call__(
        self, prompts: Sequence[str], parse: Callable[[str], T | None], progress: Progress | None = None
    ) -> list[Said[T]]:
        """Return what is said to every prompt; equal ones are asked once."""
        self.counts["verdicts"] += len(prompts)
        first = self._asked(prompts, progress)
        lacking = [prompt for prompt in dict.fromkeys(prompts) if parse(first[prompt].text) is None]
        self.counts["malformed"] += len(lacking)
        again = {prompt: f"{prompt.rstrip()}\n\n{self._reminder}" for prompt in lacking}
        second = self._asked(list(again.values()), None) if again else {}
        last = {**first, **{prompt: second[text] for prompt, text in again.items()}}
        said = {prompt: Said(parse(answer.text), answer.text) for prompt, answer in last.items()}
        for prompt in prompts:
            if said[prompt].verdict is None:
                self.counts["unusable"] += 1
                self.counts["cut"] += last[prompt].cut
        return [said[prompt] for prompt in prompts]

    def _asked(self, prompts: Sequence[str], progress: Progress | None) -> dict[str, Answer]:
        found: dict[str, Answer] = {}
        missing: dict[bytes, str] = {}
        unique = list(dict.fromkeys(prompts))
        for prompt in unique:
            key = conversation_key(_messages(prompt))
            known = self._answers.get(key)
            if known is None:
                missing[key] = prompt
            else:
                found[prompt] = known
        self.counts["cached"] += len(found)
        if missing and not self._reached:
            # One that is not there is told at once, not after all retries.
            self._client.models()
            self._reached = True

        def asks() -> Iterator[Ask]:
            for key, prompt in missing.items():
                yield self._dialect.ask(key, _messages(prompt), seed=None)

        try:
            for key, drawn in self._client.answers(asks()):
                answer = Answer(drawn.text, drawn.finish_reason == "length")
                self._answers.add(key, answer)
                found[missing[key]] = answer
                self.counts["asked"] += 1
                if progress is not None:
                    progress(len(found), len(unique), "verdicts")
        finally:
            self._answers.flush()
        return found

    @property
    def facts(self) -> Mapping[str, Any]:
        """What happened on the way; changes no number."""
        return {"server": self._client.base_url, **self.counts, "http": dict(self._client.counts)}


def _messages(prompt: str) -> list[Message]:
    return [{"role": "user", "content": prompt}]


@contextmanager
def open_language_judge(
    base_url: str,
    model: str | None,
    *,
    usual: str | None = None,
    max_tokens: int = MAX_TOKENS,
    cache: bool = True,
    **options: Any,
) -> Iterator[LanguageJudge]:
    """Open a judge.

    Parameters
    ----------
    base_url : str
        Server: ``http://localhost:8000/v1``.
    model : str or None
        Its name there; None where the server has one only, or has the `usual` one.
    usual : str, optional
        The model to take of several where none is named.
    max_tokens, cache
        As of `LanguageJudge`.
    **options
        ``concurrency``, ``timeout`` and ``retries`` of `divfast.generation.openai_client.Client`.

    Raises
    ------
    ServerError
        Where no model is named and the server is not there.
    """
    with open_client(base_url, options) as client:
        if model is None:
            there = client.models()
            model = usual if usual is not None and usual in there else the_only_one(there, client)
        yield LanguageJudge(client, model, max_tokens=max_tokens, cache=cache)
