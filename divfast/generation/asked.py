"""What a run is to do, and what its dump says of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import divfast
from divfast.generation.rendering import Format
from divfast.generation.sampling import Sampling

# Facts of an engine that change what it draws; the others are kept as facts of the run.
_CHANGES_SAMPLES = ("engine", "model", "revision", "dtype", "lora", "context")


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


def recipe_of(
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
