"""Samples drawn by vLLM in this process and its workers, one request for each sample."""

from __future__ import annotations

import contextlib
import importlib.metadata
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from divfast import env
from divfast.errors import BackendError, MetricError
from divfast.generation.engines import Drawn, Request
from divfast.generation.engines.adapter import adapter_rank, allowed_rank
from divfast.generation.rendering import not_loaded
from divfast.generation.sampling import Sampling

OPTIONS = frozenset(
    {
        *("revision", "dtype", "max_model_len", "lora", "trust_remote_code", "logprobs"),
        *("tensor_parallel", "data_parallel", "memory_share", "enforce_eager", "batch_size"),
    }
)
# Prompts that are under way or wait, in samples: enough that no batch of the engine is ever short of them.
_AHEAD = 2048
# Ranks of adapters, where vLLM does not list them.
_RANKS = (8, 16, 32, 64, 128, 256)


@contextlib.contextmanager
def open_engine(model: str, sampling: Sampling, options: Mapping[str, Any]) -> Iterator[Vllm]:
    """Start vLLM; see `divfast.generation.engines.Engine`.

    Raises
    ------
    BackendError
        Where vLLM is not installed, or does not start.
    ModelError
        Where the model cannot be loaded.
    """
    engine = Vllm(model, sampling, options)
    try:
        yield engine
    finally:
        engine.close()


class Vllm:
    """An offline engine.

    Notes
    -----
    One request for each sample, with its own seed: what is drawn then depends neither on how many samples are asked for
    nor on their order, and the cache of prefixes makes the prompt free from the second sample on. A request for n
    samples is no faster, since vLLM takes it apart into n of its own.
    """

    def __init__(self, model: str, sampling: Sampling, options: Mapping[str, Any]) -> None:
        env.quiet_vllm()
        try:
            import vllm
            from vllm.lora.request import LoRARequest
            from vllm.platforms import current_platform
        except ImportError as error:
            raise BackendError(
                f"the engine vllm is not installed ({error}).",
                remedy="Install it with pip install 'divfast[generate]', or say --engine transformers.",
            ) from None
        lora = options.get("lora")
        rank = allowed_rank(adapter_rank(lora), _ranks(), lora) if lora else None
        given = {
            "revision": options.get("revision"),
            "dtype": options.get("dtype"),
            "max_model_len": options.get("max_model_len"),
            "tensor_parallel_size": options.get("tensor_parallel"),
            "gpu_memory_utilization": options.get("memory_share"),
            "enforce_eager": options.get("enforce_eager"),
            "max_num_seqs": options.get("batch_size"),
            "trust_remote_code": options.get("trust_remote_code"),
            "enable_lora": True if lora else None,
            # The engine is built for it, and refuses a greater one later.
            "max_lora_rank": rank,
            # A prompt that is taken in pieces has its generator set back, which those of a CPU cannot do.
            "enable_chunked_prefill": False if current_platform.is_cpu() else None,
        }
        self._lora = LoRARequest("adapter", 1, lora) if lora else None
        try:
            self._llm = vllm.LLM(
                model,
                seed=0,
                use_tqdm_on_load=False,
                **{name: value for name, value in given.items() if value is not None},
            )
        except Exception as error:  # noqa: BLE001 - it raises many kinds, of many libraries
            raise not_loaded(model, "the model", error) from None
        if lora:
            self._add_adapter(lora)
        self.sampling = sampling
        self._logprobs = options.get("logprobs", True)
        self._numbers = itertools.count()
        config = self._llm.model_config
        self.context: int | None = int(config.max_model_len)
        self.facts: Mapping[str, Any] = {
            "engine": "vllm",
            "model": model,
            "revision": getattr(config.hf_config, "_commit_hash", None) or options.get("revision"),
            "dtype": str(config.dtype).removeprefix("torch."),
            "lora": lora,
            "context": self.context,
            "versions": {"vllm": vllm.__version__, "torch": importlib.metadata.version("torch")},
            "run": {
                "tensor_parallel": options.get("tensor_parallel") or 1,
                "enforce_eager": bool(options.get("enforce_eager")),
            },
        }

    def __call__(self, requests: Iterable[Request]) -> Iterator[tuple[int, list[Drawn]]]:
        """Yield the samples of every request as it is finished."""
        waiting = iter(requests)
        engine = self._llm.llm_engine
        places: dict[str, tuple[int, int]] = {}
        done: dict[int, list[Drawn | None]] = {}
        left: dict[int, int] = {}
        more = True
        try:
            while more or places:
                while more and len(places) < _AHEAD:
                    request = next(waiting, None)
                    if request is None:
                        more = False
                        break
                    done[request.key] = [None] * len(request.seeds)
                    left[request.key] = len(request.seeds)
                    for at, seed in enumerate(request.seeds):
                        places[self._add(request, seed)] = (request.key, at)
                for output in engine.step() if places else ():
                    if not output.finished:
                        continue
                    key, at = places.pop(output.request_id)
                    done[key][at] = _drawn(output.outputs[0])
                    left[key] -= 1
                    if not left[key]:
                        del left[key]
                        yield key, [one for one in done.pop(key) if one is not None]
        finally:
            if places:
                engine.abort_request(list(places))

    def close(self) -> None:
        """Stop the workers and free their memory."""
        import gc

        engine = self._llm.llm_engine
        with contextlib.suppress(AttributeError):
            engine.engine_core.shutdown()
        del self._llm
        gc.collect()

    def _add_adapter(self, lora: str) -> None:
        """Load the adapter at once: with the first request, what is wrong with it would end the engine."""
        try:
            self._llm.llm_engine.add_lora(self._lora)
        except Exception as error:  # noqa: BLE001 - it raises many kinds, of many libraries
            self.close()
            raise not_loaded(lora, "the adapter", error) from None

    def _add(self, request: Request, seed: int) -> str:
        name = f"{next(self._numbers)}"
        prompt: Any = request.prompt
        if request.tokens is not None:
            prompt = {"prompt_token_ids": list(request.tokens)}
        self._llm.llm_engine.add_request(name, prompt, self._parameters(seed), lora_request=self._lora)
        return name

    def _parameters(self, seed: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        sampling = self.sampling
        try:
            return SamplingParams(
                temperature=sampling.temperature,
                top_p=sampling.top_p,
                top_k=sampling.top_k,
                min_p=sampling.min_p,
                max_tokens=sampling.max_tokens,
                stop=list(sampling.stop),
                presence_penalty=sampling.presence_penalty,
                frequency_penalty=sampling.frequency_penalty,
                repetition_penalty=sampling.repetition_penalty,
                seed=seed,
                # Of the token that was drawn alone.
                logprobs=0 if self._logprobs else None,
                output_kind=RequestOutputKind.FINAL_ONLY,
            )
        except ValueError as error:
            raise MetricError(
                f"vLLM refuses the sampling parameters: {' '.join(str(error).split())}."
            ) from None


def _ranks() -> tuple[int, ...]:
    """Return the ranks of adapters that this vLLM can be built for."""
    from vllm.config import lora

    return get_args(getattr(lora, "MaxLoRARanks", None)) or _RANKS


def _drawn(sample: Any) -> Drawn:
    return Drawn(sample.text, sample.finish_reason, len(sample.token_ids), sample.cumulative_logprob, None)
