"""Samples drawn by transformers, where vLLM is not: batches of similar length, a generator for every sample."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from divfast.errors import BackendError, ModelError
from divfast.generation.engines import Drawn, Request
from divfast.generation.engines.adapter import adapter_rank
from divfast.generation.rendering import not_loaded
from divfast.generation.sampling import Sampling

OPTIONS = frozenset(
    {"revision", "dtype", "max_model_len", "lora", "trust_remote_code", "batch_size", "logprobs"}
)
BATCH_SIZE = 32
# Requests that are looked at together, so that batches hold samples of similar length.
_WINDOW = 8
# Random numbers are drawn ahead, so many for a sample at a time.
_DRAWN_AHEAD = 64


@contextlib.contextmanager
def open_engine(model: str, sampling: Sampling, options: Mapping[str, Any]) -> Iterator[Transformers]:
    """Load a model; see `divfast.generation.engines.Engine`.

    Raises
    ------
    BackendError
        Where torch or transformers is not installed.
    ModelError
        Where the model cannot be loaded.
    """
    engine = Transformers(model, sampling, options)
    try:
        yield engine
    finally:
        engine.close()


@dataclass(eq=False)
class _Row:
    """One sample while it is drawn."""

    key: int
    at: int
    seed: int
    prompt: Sequence[int]
    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    ended: str | None = None


class Transformers:
    """A model in this process."""

    def __init__(self, model: str, sampling: Sampling, options: Mapping[str, Any]) -> None:
        try:
            import torch
            import transformers
        except ImportError:
            raise BackendError(
                "the engine transformers needs torch and transformers.",
                remedy="Install them with pip install 'divfast[embed]'.",
            ) from None
        if options.get("lora") and importlib.util.find_spec("peft") is None:
            raise BackendError(
                "an adapter needs the package peft under transformers.",
                remedy="Install it with pip install peft, or say --engine vllm.",
            )
        if options.get("lora"):
            adapter_rank(options["lora"])
        transformers.utils.logging.disable_progress_bar()
        self.sampling = sampling
        self._batch_size = options.get("batch_size") or BATCH_SIZE
        self._name = model
        revision = options.get("revision")
        trusted = bool(options.get("trust_remote_code"))
        dtype = options.get("dtype") or "auto"
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(
                model, revision=revision, trust_remote_code=trusted
            )
            self._model = transformers.AutoModelForCausalLM.from_pretrained(
                model,
                revision=revision,
                trust_remote_code=trusted,
                torch_dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            )
        except Exception as error:  # noqa: BLE001 - whatever a hub, a file or a library raises
            raise not_loaded(model, "the model", error) from None
        if options.get("lora"):
            self._add_adapter(options["lora"])
        self._model.to(self._device).eval()
        config = self._model.config
        limit = getattr(config.get_text_config(), "max_position_embeddings", None)
        asked = options.get("max_model_len")
        if asked and limit and asked > limit:
            raise ModelError(
                f"its context is {limit:,} tokens, not {asked:,}.",
                where=model,
                remedy="Lower --max-model-len.",
            )
        self.context: int | None = asked or limit
        self._ends = self._end_tokens()
        # A default of the model's own would otherwise be mixed into what is asked for.
        self._model.generation_config = transformers.GenerationConfig()
        self.facts: Mapping[str, Any] = {
            "engine": "transformers",
            "model": model,
            "revision": getattr(config, "_commit_hash", None) or revision,
            "dtype": str(self._model.dtype).removeprefix("torch."),
            "lora": options.get("lora"),
            "context": self.context,
            "versions": {name: importlib.metadata.version(name) for name in ("torch", "transformers")},
            "run": {"device": self._device, "batch_size": self._batch_size},
        }

    def __call__(self, requests: Iterable[Request]) -> Iterator[tuple[int, list[Drawn]]]:
        """Yield the samples of every request as they are finished."""
        waiting = iter(requests)
        while window := list(islice(waiting, max(1, _WINDOW * self._batch_size // 16))):
            yield from self._drawn(window)

    def close(self) -> None:
        """Free the model's memory."""
        import torch

        del self._model
        if self._device == "cuda":
            torch.cuda.empty_cache()

    def _add_adapter(self, lora: str) -> None:
        try:
            self._model.load_adapter(lora)
        except Exception as error:  # noqa: BLE001 - whatever peft raises
            raise not_loaded(lora, "the adapter", error) from None

    def _end_tokens(self) -> list[int]:
        named = self._model.generation_config.eos_token_id
        ends = named if isinstance(named, list) else [named]
        return sorted({end for end in (*ends, self._tokenizer.eos_token_id) if end is not None})

    def _drawn(self, requests: Sequence[Request]) -> Iterator[tuple[int, list[Drawn]]]:
        rows = [
            _Row(
                request.key, at, seed, request.tokens if request.tokens is not None else self._tokens(request)
            )
            for request in requests
            for at, seed in enumerate(request.seeds)
        ]
        # Stable, so the samples of a prompt stay together.
        rows.sort(key=lambda row: len(row.prompt), reverse=True)
        left = {request.key: len(request.seeds) for request in requests}
        done: dict[int, dict[int, Drawn]] = {key: {} for key in left}
        for start in range(0, len(rows), self._batch_size):
            batch = rows[start : start + self._batch_size]
            self._draw(batch)
            for row in batch:
                done[row.key][row.at] = self._finished(row)
                left[row.key] -= 1
                if not left[row.key]:
                    samples = done.pop(row.key)
                    yield row.key, [samples[at] for at in range(len(samples))]

    def _tokens(self, request: Request) -> list[int]:
        tokens: list[int] = self._tokenizer(request.prompt)["input_ids"]
        return tokens

    def _draw(self, rows: Sequence[_Row]) -> None:
        import torch
        from transformers import GenerationConfig

        width = max(len(row.prompt) for row in rows)
        most = self.sampling.max_tokens
        if self.context is not None:
            most = min(most, max(1, self.context - min(len(row.prompt) for row in rows)))
        pad = self._tokenizer.pad_token_id
        pad = pad if pad is not None else (self._ends or [0])[0]
        ids = torch.full((len(rows), width), pad)
        mask = torch.zeros_like(ids)
        for at, row in enumerate(rows):
            ids[at, width - len(row.prompt) :] = torch.tensor(row.prompt)
            mask[at, width - len(row.prompt) :] = 1
        drawing = _Drawing(rows, self.sampling, self._ends, self.context, self._ended_by_text)
        try:
            with torch.inference_mode():
                self._model.generate(
                    input_ids=ids.to(self._device),
                    attention_mask=mask.to(self._device),
                    generation_config=GenerationConfig(
                        max_new_tokens=most,
                        do_sample=False,
                        pad_token_id=pad,
                        eos_token_id=self._ends or None,
                    ),
                    logits_processor=[drawing.choose],
                    stopping_criteria=[drawing.stops],
                )
        except torch.cuda.OutOfMemoryError:
            raise BackendError(
                f"the memory of the GPU does not suffice for {len(rows)} samples at a time.",
                remedy="Name a smaller --batch-size; what is finished stays in the dump.",
            ) from None

    def _ended_by_text(self, row: _Row) -> bool:
        if not self.sampling.stop:
            return False
        # A token is a byte at least; a few more, since some are not written.
        tail = row.tokens[-(4 * max(map(len, self.sampling.stop)) + 8) :]
        text = self._tokenizer.decode(tail, skip_special_tokens=True)
        return any(stop in text for stop in self.sampling.stop)

    def _finished(self, row: _Row) -> Drawn:
        text = self._tokenizer.decode(row.tokens, skip_special_tokens=True)
        cuts = [at for at in (text.find(stop) for stop in self.sampling.stop) if at >= 0]
        return Drawn(
            text[: min(cuts)] if cuts else text, row.ended or "length", len(row.tokens), row.logprob, None
        )


class _Drawing:
    """One batch: takes the logits of every step, and leaves the chosen token alone in them.

    So all else, caches above all, is left to ``generate``, for whatever architecture. Random numbers belong to
    samples: what a row draws depends on its seed and its logits, never on its neighbours.
    """

    def __init__(
        self, rows: Sequence[_Row], sampling: Sampling, ends: Sequence[int], context: int | None, ended: Any
    ) -> None:
        import torch

        self._rows = rows
        self._sampling = sampling
        self._ends = frozenset(ends)
        self._context = context
        self._ended_by_text = ended
        self._generators = [torch.Generator().manual_seed(row.seed) for row in rows]
        self._randoms: Any = None
        self._step = 0
        self._warpers = _warpers(sampling)
        self._seen: Any = None
        self._counts: Any = None

    def choose(self, _ids: Any, logits: Any) -> Any:
        """Return logits in which only the tokens that were drawn are possible."""
        import torch

        # The rounding of a batch must not decide, as far as that can be had.
        logits = logits.double()
        own = torch.log_softmax(logits, -1)
        chosen = self._sample(self._penalised(logits))
        logprobs = own.gather(1, chosen[:, None])[:, 0].tolist()
        for row, token, logprob in zip(self._rows, chosen.tolist(), logprobs, strict=True):
            if row.ended is None:
                self._take(row, token, logprob)
        if self._counts is not None:
            self._counts.scatter_add_(
                1, chosen[:, None], torch.ones_like(chosen[:, None], dtype=torch.double)
            )
            self._seen.scatter_(1, chosen[:, None], True)
        self._step += 1
        return torch.full_like(logits, float("-inf"), dtype=torch.float32).scatter_(1, chosen[:, None], 0.0)

    def stops(self, ids: Any, _scores: Any, **_more: Any) -> Any:
        """Return which rows are done."""
        import torch

        return torch.tensor([row.ended is not None for row in self._rows], device=ids.device)

    def _take(self, row: _Row, token: int, logprob: float) -> None:
        row.tokens.append(token)
        row.logprob += logprob
        if token in self._ends or self._ended_by_text(row):
            row.ended = "stop"
        elif len(row.tokens) >= self._sampling.max_tokens or (
            self._context is not None and len(row.prompt) + len(row.tokens) >= self._context
        ):
            row.ended = "length"

    def _penalised(self, logits: Any) -> Any:
        import torch

        sampling = self._sampling
        if (sampling.repetition_penalty, sampling.presence_penalty, sampling.frequency_penalty) == (1, 0, 0):
            return logits
        if self._counts is None:
            self._counts = torch.zeros_like(logits)
            self._seen = torch.zeros_like(logits, dtype=torch.bool)
            for at, row in enumerate(self._rows):
                self._seen[at, torch.tensor(row.prompt, device=logits.device)] = True
        factor = torch.where(self._seen, sampling.repetition_penalty, 1.0)
        logits = torch.where(logits > 0, logits / factor, logits * factor)
        logits = logits - sampling.frequency_penalty * self._counts
        return logits - sampling.presence_penalty * (self._counts > 0)

    def _sample(self, logits: Any) -> Any:
        import torch

        if self._sampling.temperature == 0:
            return logits.argmax(-1)
        for warp in self._warpers:
            logits = warp(None, logits)
        mass = torch.softmax(logits, -1).cumsum(-1)
        # Just under the whole, so that rounding cannot lead behind the last token that is possible.
        at = self._random(logits.device)[:, None] * mass[:, -1:] * (1 - 2**-52)
        return torch.searchsorted(mass, at, right=True)[:, 0]

    def _random(self, device: Any) -> Any:
        import torch

        ahead = self._step % _DRAWN_AHEAD
        if ahead == 0:
            drawn = [torch.rand(_DRAWN_AHEAD, generator=one, dtype=torch.double) for one in self._generators]
            self._randoms = torch.stack(drawn).to(device)
        return self._randoms[:, ahead]


def _warpers(sampling: Sampling) -> list[Any]:
    """Return what cuts the distribution, in the order of vLLM."""
    from transformers import (
        MinPLogitsWarper,
        TemperatureLogitsWarper,
        TopKLogitsWarper,
        TopPLogitsWarper,
    )

    warpers: list[Any] = []
    if sampling.temperature not in (0, 1):
        warpers.append(TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.min_p > 0:
        warpers.append(MinPLogitsWarper(sampling.min_p))
    if sampling.top_k > 0:
        warpers.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return warpers
