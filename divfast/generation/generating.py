"""K samples of every prompt, appended to a dump as they are finished."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import importlib.util
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import divfast
from divfast.errors import BackendError, DataError, MetricError, nearest
from divfast.generation import reasoning
from divfast.generation.dump import Dump, prompt_columns
from divfast.generation.engines import Drawn, Engine, Opened, Request
from divfast.generation.engines.parallel import open_parallel
from divfast.generation.prompt_files import read_prompts
from divfast.generation.prompts import Prompt
from divfast.generation.rendering import Format, Rendering
from divfast.generation.sampling import Sampling, check_varied, sample_seeds, sampling_of

ENGINES = ("auto", "vllm", "transformers", "openai")
# Facts of an engine that change what it draws; the others are kept as facts of the run.
_CHANGES_SAMPLES = ("engine", "model", "revision", "dtype", "lora", "context")
_OF_A_SERVER = frozenset({"base_url", "concurrency", "timeout", "retries", "logprobs"})
_TOGETHER = 1024

Progress = Callable[[int, int | None, str], None]


@dataclass
class Generation:
    """What a run has drawn.

    Attributes
    ----------
    path : Path
        The dump.
    prompts, k : int
        How many prompts stand in it, and how many samples of each.
    drawn, reused : int
        Samples of this run, and of earlier ones.
    tokens, cut, cut_thoughts : int
        Of this run's samples: their tokens, how many ended at the limit, and how many in the midst of thinking.
    skipped : list of str
        Prompts or records that were left out, and why.
    recipe : Mapping
        What the dump says of how it was drawn.
    """

    path: Path
    k: int
    prompts: int = 0
    drawn: int = 0
    reused: int = 0
    tokens: int = 0
    cut: int = 0
    cut_thoughts: int = 0
    seconds: float = 0.0
    skipped: list[str] = field(default_factory=list)
    recipe: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Asked:
    """What a run is to do, checked; see `generate`."""

    model: str | None
    output: Path
    k: int
    engine: str
    options: Mapping[str, Any]
    format: Format
    sampling: Mapping[str, Any]
    prompts: str | Path | None = None
    task: str | None = None
    data: str | Path | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    limit: int | None = None
    reasoning: str = "apart"
    on_error: str = "fail"
    label: str | None = None
    reading: Mapping[str, Any] = field(default_factory=dict)


class Engines:
    """The engine that is open, kept while the next run asks for the same one."""

    def __init__(self) -> None:
        self._key: Any = None
        self._stack = contextlib.ExitStack()
        self._engine: Any = None

    def __enter__(self) -> Engines:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def get(self, asked: Asked, sampling: Sampling) -> Engine:
        """Return the engine for a run."""
        key = (asked.model, asked.engine, dict(asked.options))
        if key == self._key and hasattr(self._engine, "sampling"):
            self._engine.sampling = sampling
        else:
            self._stack.close()
            self._key = self._engine = None
            self._engine = self._stack.enter_context(_opened(asked, sampling))
            self._key = key
        engine: Engine = self._engine
        return engine


def _opened(asked: Asked, sampling: Sampling) -> Opened:
    options = dict(asked.options)
    many = options.pop("data_parallel", 1)
    if many > 1:
        assert asked.model is not None
        return open_parallel(asked.engine, many, asked.model, sampling, options)
    module = importlib.import_module(f"divfast.generation.engines.{asked.engine}")
    opened: Opened = module.open_engine(asked.model, sampling, options)
    return opened


def generate(
    model: str | None,
    prompts: str | Path | None = None,
    *,
    output: str | Path,
    k: int = 1,
    sampling: Mapping[str, Any] | None = None,
    engine: str = "auto",
    task: str | None = None,
    data: str | Path | None = None,
    fields: Mapping[str, str] | None = None,
    limit: int | None = None,
    chat: bool | None = None,
    system: str | None = None,
    prefix: str | None = None,
    think: bool = True,
    template: str | None = None,
    reasoning: str = "apart",
    on_error: str = "fail",
    label: str | None = None,
    id_field: str | None = None,
    prompt_field: str | None = None,
    reader: str | None = None,
    engines: Engines | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Generation:
    """Draw `k` samples of every prompt, and append them to a dump.

    Parameters
    ----------
    model : str or None
        Name or folder; None for a server that has only one.
    prompts : str or Path, optional
        A file; see `divfast.generation.prompt_files.read_prompts`.
    output : str or Path
        A file of JSON Lines. One that is there is gone on with: what stands in it is not drawn again.
    k : int
        Samples a prompt. More than the file has are added to those that are there.
    sampling : Mapping[str, Any], optional
        Fields of `Sampling`, by name.
    engine : {"auto", "vllm", "transformers", "openai"}
        What runs the model. ``auto`` takes vLLM where it is installed; a server where ``base_url`` is given.
    task, data, fields
        The prompts of a task instead; see `divfast.generation.task.load_prompts`.
    limit : int, optional
        Only the first so many prompts.
    chat, system, prefix, think, template
        How prompts are put to the model; see `divfast.generation.rendering.Format`.
    reasoning : {"apart", "strip", "keep"}
        Where thinking goes: to a field of its own, nowhere, or with the answer.
    on_error : {"fail", "skip"}
        What to do with a bad record, or a prompt that is longer than the context.
    label : str, optional
        What the dump calls the model.
    id_field, prompt_field, reader
        How to read the prompts.
    engines : Engines, optional
        Keeps the engine open for the next run.
    progress : callable, optional
        Called with (samples, of how many, "samples").
    **options
        Of the engine: ``revision``, ``dtype``, ``tensor_parallel``, ...

    Returns
    -------
    Generation

    Raises
    ------
    DivfastError
        Where something cannot be had, or the file was drawn in another way; nothing is overwritten.

    Notes
    -----
    Sample i of a prompt is drawn with a seed made of the run's seed, the prompt's id and i. So it does not depend on
    how many are drawn, and one that is drawn again on the same machine is the same, up to what the order of additions
    in a batch of another size changes in the last bits of the logits.
    """
    asked = Asked(
        model=model,
        output=Path(output),
        k=k,
        engine=find_engine(engine, options),
        options={name: value for name, value in options.items() if value is not None},
        format=Format(chat, system, prefix, think, template),
        sampling=dict(sampling or {}),
        prompts=prompts,
        task=task,
        data=data,
        fields=fields or {},
        limit=limit,
        reasoning=reasoning,
        on_error=on_error,
        label=label,
        reading={"id_field": id_field, "prompt_field": prompt_field, "reader": reader},
    )
    with contextlib.ExitStack() as stack:
        return _run(asked, engines or stack.enter_context(Engines()), progress)


def find_engine(name: str, options: Mapping[str, Any]) -> str:
    """Return the name of the engine that is meant, and refuse options that it does not take."""
    if name not in ENGINES:
        raise MetricError(f"unknown engine {name!r}.", remedy=nearest(name, ENGINES))
    if name == "auto":
        name = _first_installed() if options.get("base_url") is None else "openai"
    module = importlib.import_module(f"divfast.generation.engines.{name}")
    for option, value in options.items():
        if value is not None and option not in getattr(module, "OPTIONS", _OF_A_SERVER):
            words = option.replace("_", "-")
            raise MetricError(
                f"the engine {name} has no option {words}.",
                remedy=f"Leave out --{words}, or name another --engine.",
            )
    return name


def _first_installed() -> str:
    for name, needs in (("vllm", ("vllm",)), ("transformers", ("torch", "transformers"))):
        if all(importlib.util.find_spec(need) is not None for need in needs):
            return name
    raise BackendError(
        "there is nothing installed that could run a model.",
        remedy="Install vLLM with pip install 'divfast[generate]', or name a server with --base-url URL.",
    )


def _run(asked: Asked, engines: Engines, progress: Progress | None) -> Generation:
    started = time.perf_counter()
    if (asked.prompts is None) == (asked.task is None):
        raise MetricError("what shall the model be asked?", remedy="Name one of --prompts and --task.")
    if asked.k < 1:
        raise MetricError(f"must be at least 1, got {asked.k}.", where="k")
    if asked.reasoning not in reasoning.REASONING:
        raise MetricError(
            f"unknown way {asked.reasoning!r} with reasoning.",
            remedy=nearest(asked.reasoning, reasoning.REASONING),
        )
    if asked.model is None and asked.engine != "openai":
        raise MetricError("which model?", remedy="Name one with --model.")
    check_varied(sampling_of(asked.sampling), asked.k)
    with Dump(asked.output) as dump:
        dump.check_recipe(
            _recipe(asked, sampling_of(asked.sampling), asked.format.facts, given=True), partly=True
        )
        rendering = _rendering(asked)
        found, skipped = _find_prompts(asked, rendering)
        sampling = _sampling(asked, rendering)
        check_varied(sampling, asked.k)
        format = rendering.facts
        dump.check_recipe(_recipe(asked, sampling, format))
        dump.check_prompts(found, asked.k)
        missing = [prompt for prompt in found if dump.held(prompt.id) < asked.k]
        done = Generation(asked.output, asked.k, skipped=skipped, recipe=dump.recipe or {})
        if missing:
            engine = engines.get(asked, sampling)
            recipe = _recipe(asked, sampling, format, engine.facts)
            dump.start(recipe)
            done.recipe = recipe
            missing = _check_lengths(asked, rendering, missing, engine, done.skipped)
            _draw(asked, dump, rendering, missing, engine, sampling, done, progress)
        left = [prompt for prompt in found if dump.held(prompt.id) == asked.k]
        done.prompts = len(left)
        done.reused = len(left) * asked.k - done.drawn
        dump.finish(asked.k)
    done.seconds = time.perf_counter() - started
    return done


class _ByServer:
    """Where a server applies the chat template."""

    def __init__(self, format: Format) -> None:
        self._format = format
        self.chat = format.chat is not False
        if not format.think:
            raise MetricError(
                "--no-think needs the chat template, which only the server has.",
                remedy="Say --engine vllm or transformers, or have the server's template do it.",
            )
        if format.system is not None and not self.chat:
            raise MetricError(
                "a raw prompt has no system message.", remedy="Put it into --prefix, or say --chat."
            )

    @property
    def facts(self) -> dict[str, Any]:
        return self._format.facts | {"format": "chat" if self.chat else "raw"}

    def text(self, prompt: Prompt) -> Any:
        return self._format.messages(prompt) if self.chat else self._format.text(prompt)


def _rendering(asked: Asked) -> Rendering | _ByServer:
    if asked.engine == "openai":
        return _ByServer(asked.format)
    assert asked.model is not None
    return Rendering(
        asked.model,
        asked.format,
        revision=asked.options.get("revision"),
        trust_remote_code=bool(asked.options.get("trust_remote_code")),
    )


def _find_prompts(asked: Asked, rendering: Rendering | _ByServer) -> tuple[list[Prompt], list[str]]:
    if asked.task is None:
        assert asked.prompts is not None
        return read_prompts(asked.prompts, limit=asked.limit, on_error=asked.on_error, **asked.reading)
    from divfast.generation.task import load_prompts

    found = load_prompts(asked.task, asked.data, asked.limit, fields=asked.fields, chat=rendering.chat)
    return list(found), []


def _sampling(asked: Asked, rendering: Rendering | _ByServer) -> Sampling:
    """Return the parameters that are given, the others as the task says."""
    if asked.task is None:
        return sampling_of(asked.sampling)
    from divfast.generation.task import find_task

    task = find_task(asked.task)
    # Where an answer ends, a chat model says itself.
    base = Sampling(max_tokens=task.max_tokens, stop=() if rendering.chat else tuple(task.stop))
    return sampling_of(asked.sampling, base)


def _recipe(
    asked: Asked,
    sampling: Sampling,
    format: Mapping[str, Any],
    facts: Mapping[str, Any] | None = None,
    *,
    given: bool = False,
) -> dict[str, Any]:
    """Return what the dump says of how it is drawn; before the engine is open, as much as is known by then."""
    values = dataclasses.asdict(sampling)
    seed = values.pop("seed")
    values["stop"] = list(sampling.stop)
    if given:
        # What is left out may still come from the task, or from the tokenizer.
        values = {name: values[name] for name in values if asked.sampling.get(name) is not None}
        format = {name: value for name, value in format.items() if value != "auto"}
    recipe: dict[str, Any] = {"engine": asked.engine}
    if asked.model is not None:
        recipe["model"] = asked.model
    if facts is not None:
        recipe |= {name: facts.get(name) for name in _CHANGES_SAMPLES}
    if asked.options.get("lora") or facts is not None:
        recipe["lora"] = asked.options.get("lora")
    recipe |= {"sampling": values, "seed": seed, "k": asked.k}
    if not given:
        recipe["prompt"] = dict(format)
    recipe |= {"reasoning": asked.reasoning, "prompts": str(asked.task or asked.prompts)}
    if facts is None:
        return recipe
    others = {
        name: value for name, value in facts.items() if name not in (*_CHANGES_SAMPLES, "versions", "run")
    }
    return recipe | {
        "versions": {"divfast": divfast.__version__, **facts.get("versions", {})},
        "run": {**others, **facts.get("run", {})},
    }


def _check_lengths(
    asked: Asked, rendering: Rendering | _ByServer, prompts: list[Prompt], engine: Engine, skipped: list[str]
) -> list[Prompt]:
    """Return the prompts that leave room for a token in the context."""
    context = getattr(engine, "context", None)
    if context is None or not isinstance(rendering, Rendering):
        return prompts
    fitting, long = [], []
    for start in range(0, len(prompts), _TOGETHER):
        some = prompts[start : start + _TOGETHER]
        for prompt, tokens in zip(some, rendering.tokens([rendering.text(one) for one in some]), strict=True):
            if 0 < len(tokens) < context:
                fitting.append(prompt)
            else:
                long.append((prompt.id, len(tokens)))
    if long and asked.on_error != "skip":
        id, tokens = long[0]
        more = f", and {len(long) - 1} more prompts are too long" if len(long) > 1 else ""
        raise DataError(
            f"the prompt {id!r} has {tokens:,} tokens, the context of the model {context:,}{more}."
            if tokens
            else f"the prompt {id!r} is empty.",
            where=str(asked.task or asked.prompts),
            remedy="Leave out what does not fit with --on-error skip, or raise --max-model-len if the model can.",
        )
    skipped += [f"{id}: {tokens:,} tokens do not fit into a context of {context:,}." for id, tokens in long]
    return fitting


def _draw(
    asked: Asked,
    dump: Dump,
    rendering: Rendering | _ByServer,
    prompts: Sequence[Prompt],
    engine: Engine,
    sampling: Sampling,
    done: Generation,
    progress: Progress | None,
) -> None:
    opened: dict[int, bool] = {}

    def requests() -> Iterator[Request]:
        keyed = iter(enumerate(prompts))
        while some := list(islice(keyed, 32)):
            texts = [rendering.text(prompt) for _, prompt in some]
            tokens = rendering.tokens(texts) if isinstance(rendering, Rendering) else [None] * len(some)
            for (key, prompt), text, ids in zip(some, texts, tokens, strict=True):
                if isinstance(rendering, Rendering):
                    opened[key] = rendering.opens_thinking(text)
                seeds = sample_seeds(sampling.seed, prompt.id, dump.held(prompt.id), asked.k)
                yield Request(key, text, seeds, ids)

    total = sum(asked.k - dump.held(prompt.id) for prompt in prompts)
    name = asked.label or asked.model or str(engine.facts.get("model"))
    for key, samples in engine(requests()):
        prompt = prompts[key]
        cut = opened.pop(key, False)
        dump.append(_record(prompt, samples, name, asked))
        done.drawn += len(samples)
        done.tokens += sum(one.tokens or 0 for one in samples)
        done.cut += sum(one.finish_reason == "length" for one in samples)
        done.cut_thoughts += sum(reasoning.is_cut(one.text, cut) for one in samples)
        if progress is not None:
            progress(done.drawn, total, "samples")


def _record(prompt: Prompt, samples: Sequence[Drawn], model: str, asked: Asked) -> dict[str, Any]:
    thoughts: list[str | None] = []
    outputs: list[str] = []
    for sample in samples:
        text, thought = sample.text, sample.reasoning
        if asked.reasoning == "keep":
            text, thought = reasoning.join(thought, text) if thought is not None else text, None
        elif thought is None:
            thought, text = reasoning.split(text)
        outputs.append(text)
        thoughts.append(thought)
    said = prompt_columns(prompt)
    record: dict[str, Any] = {"input_id": prompt.id, "prompt": said.pop("prompt"), "outputs": outputs}
    columns = {
        "reasoning": thoughts if asked.reasoning == "apart" else [],
        "finish_reasons": [one.finish_reason for one in samples],
        "output_tokens": [one.tokens for one in samples],
        "logprobs": [one.logprob for one in samples],
    }
    record |= {name: values for name, values in columns.items() if any(one is not None for one in values)}
    record["model"] = model
    if asked.task is not None:
        record["task"] = Path(asked.task).stem
    return {**{name: value for name, value in said.items() if name not in record}, **record}
