"""What is asked of a server that speaks the OpenAI protocol, and what its answers say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from divfast.generation.engines import Drawn
from divfast.generation.http_connection import Garbage
from divfast.generation.openai_client import Ask
from divfast.generation.prompts import Message
from divfast.generation.sampling import Sampling

# Sent only where they are others. The last three are no part of the protocol, though most servers know them.
_NEUTRAL = {
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "top_k": 0,
    "min_p": 0.0,
    "repetition_penalty": 1.0,
}


class Dialect:
    """Requests as one server understands them; what it refuses is left out from then on.

    Parameters
    ----------
    model : str
        Its name there.
    sampling : Sampling
        What is not the protocol's default is sent.
    logprobs : bool
        Ask for log-probabilities.
    """

    def __init__(self, model: str, sampling: Sampling, *, logprobs: bool) -> None:
        self.model, self.sampling = model, sampling
        self._logprobs = logprobs
        self._limit = "max_tokens"

    def ask(self, key: Any, prompt: str | Sequence[Message], seed: int | None) -> Ask:
        """Return the request for one sample: of a chat where `prompt` is messages, else of text to go on from."""
        sent = {"model": self.model, **_sent(self.sampling)}
        if seed is not None:
            sent["seed"] = seed
        if isinstance(prompt, str):
            sent |= {"prompt": prompt, "max_tokens": self.sampling.max_tokens}
            if self._logprobs:
                sent["logprobs"] = 0
            return Ask(key, "/completions", sent, drawn_text, self._amended)
        sent |= {"messages": [dict(message) for message in prompt], self._limit: self.sampling.max_tokens}
        if self._logprobs:
            sent["logprobs"] = True
        return Ask(key, "/chat/completions", sent, drawn_chat, self._amended)

    def _amended(self, body: Mapping[str, Any], message: str) -> Mapping[str, Any] | None:
        if "logprobs" in body and "logprob" in message.lower():
            self._logprobs = False
            return {name: value for name, value in body.items() if name != "logprobs"}
        # The newer models of OpenAI take no other name.
        if "max_tokens" in body and "max_completion_tokens" in message and "messages" in body:
            self._limit = "max_completion_tokens"
            return {self._limit if name == "max_tokens" else name: value for name, value in body.items()}
        return None


def _sent(sampling: Sampling) -> dict[str, Any]:
    sent: dict[str, Any] = {"temperature": sampling.temperature, "top_p": sampling.top_p}
    if sampling.stop:
        sent["stop"] = list(sampling.stop)
    return sent | {name: value for name in _NEUTRAL if (value := getattr(sampling, name)) != _NEUTRAL[name]}


def drawn_chat(answer: Mapping[str, Any]) -> Drawn:
    """Return the sample in the answer to a chat; raise `Garbage` where there is none.

    Examples
    --------
    >>> drawn_chat({"choices": [{"message": {"content": "Hi", "reasoning_content": "Greet."}}]})
    Drawn(text='Hi', finish_reason=None, tokens=None, logprob=None, reasoning='Greet.')
    """
    choice = _choice(answer)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise Garbage("has a choice without a message")
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    reasoning = message.get("reasoning_content") or message.get("reasoning")
    listed = _of(choice.get("logprobs"), "content")
    logprobs = [_of(token, "logprob") for token in listed] if isinstance(listed, list) else None
    # A model that was stopped while it thought has said nothing yet.
    return _drawn(content or "", choice, answer, logprobs, reasoning if isinstance(reasoning, str) else None)


def drawn_text(answer: Mapping[str, Any]) -> Drawn:
    """Return the sample in the answer to a text; raise `Garbage` where there is none.

    Examples
    --------
    >>> logprobs = {"token_logprobs": [-1.0, -0.5]}
    >>> drawn_text({"choices": [{"text": "two three", "finish_reason": "length", "logprobs": logprobs}]})
    Drawn(text='two three', finish_reason='length', tokens=None, logprob=-1.5, reasoning=None)
    """
    choice = _choice(answer)
    logprobs = _of(choice.get("logprobs"), "token_logprobs")
    return _drawn(choice.get("text"), choice, answer, logprobs if isinstance(logprobs, list) else None, None)


def _choice(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise Garbage("has no choices")
    return choices[0]


def _drawn(
    text: Any,
    choice: Mapping[str, Any],
    answer: Mapping[str, Any],
    logprobs: list[Any] | None,
    reasoning: str | None,
) -> Drawn:
    if not isinstance(text, str):
        raise Garbage("has a choice without a text")
    reason, tokens = choice.get("finish_reason"), _of(answer.get("usage"), "completion_tokens")
    numbers = [one for one in logprobs or () if isinstance(one, (int, float))]
    return Drawn(
        text,
        reason if isinstance(reason, str) else None,
        tokens if isinstance(tokens, int) else None,
        # Of an empty sample the sum over no tokens is 0; one that leaves some out is no sum over all.
        float(sum(numbers)) if logprobs is not None and len(numbers) == len(logprobs) else None,
        reasoning,
    )


def _of(value: Any, name: str) -> Any:
    return value.get(name) if isinstance(value, dict) else None
