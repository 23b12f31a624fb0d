"""K samples of every prompt, appended to a dump as they are finished."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from divfast.errors import DataError, MetricError, nearest
from divfast.generation import reasoning
from divfast.generation.asked import Asked, recipe_of
from divfast.generation.dump import Dump, prompt_columns
from divfast.generation.engines import Drawn, Engine, Request
from divfast.generation.opening import Engines, find_engine
from divfast.generation.prompt_files import read_prompts
from divfast.generation.prompts import Prompt
from divfast.generation.rendering import Format, Rendering
from divfast.generation.sampling import Sampling, check_varied, sample_seeds, sampling_of

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


def _run(asked: Asked, engines: Engines, progress: Progress | None) -> Generation:
    started = time.perf_counter()
    if (asked.prompts is None) == (asked.task is None):
        raise MetricError("what shall the model be asked?", remedy="Name one of --prompts and --task.")
    other, idle = "--task", {"data": asked.data, "field": asked.fields}
    if asked.task is not None:
        other, idle = "--prompts", dict(asked.reading)
    if ignored := [f"--{name.replace('_', '-')}" for name, value in idle.items() if value]:
        raise MetricError(f"{ignored[0]} belongs to {other}.", remedy=f"Leave out {ignored[0]}.")
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
            recipe_of(asked, sampling_of(asked.sampling), asked.format.facts, given=True), partly=True
        )
        rendering = _rendering(asked)
        found, skipped = _find_prompts(asked, rendering)
        sampling = _sampling(asked, rendering)
        check_varied(sampling, asked.k)
        format = rendering.facts
        dump.check_recipe(recipe_of(asked, sampling, format))
        dump.check_prompts(found, asked.k)
        missing = [prompt for prompt in found if dump.held(prompt.id) < asked.k]
        done = Generation(asked.output, asked.k, skipped=skipped, recipe=dump.recipe or {})
        if missing:
            engine = engines.get(asked, sampling)
            recipe = recipe_of(asked, sampling, format, engine.facts)
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


def _check_lengths(
    asked: Asked, rendering: Rendering | _ByServer, prompts: list[Prompt], engine: Engine, skipped: list[str]
) -> list[Prompt]:
    """Return the prompts that leave room for a token in the context."""
    context = getattr(engine, "context", None)
    if context is None or not isinstance(rendering, Rendering):
        return prompts
    fitting: list[Prompt] = []
    long: list[tuple[str, int]] = []
    for start in range(0, len(prompts), _TOGETHER):
        some = prompts[start : start + _TOGETHER]
        for prompt, tokens in zip(some, rendering.tokens([rendering.text(one) for one in some]), strict=True):
            if 0 < len(tokens) < context:
                fitting.append(prompt)
            else:
                long.append((prompt.id, len(tokens)))
    if long and asked.on_error != "skip":
        id, many = long[0]
        more = f", and {len(long) - 1} more prompts are too long" if len(long) > 1 else ""
        where = str(asked.task or asked.prompts)
        if not many:
            raise DataError(
                f"the prompt {id!r} is empty.", where=where, remedy="Leave it out with --on-error skip."
            )
        raise DataError(
            f"the prompt {id!r} has {many:,} tokens, the context of the model {context:,}{more}.",
            where=where,
            remedy="Leave out what does not fit with --on-error skip, or raise --max-model-len if the model can.",
        )
    skipped += [
        f"{id}: {many:,} tokens do not fit into a context of {context:,}." if many else f"{id}: it is empty."
        for id, many in long
    ]
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
            tokens: Sequence[list[int] | None] = [None] * len(some)
            if isinstance(rendering, Rendering):
                tokens = rendering.tokens(texts)
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
    columns: dict[str, Sequence[Any]] = {
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
