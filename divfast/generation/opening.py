"""Which engine a run uses, and how long it stays open."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Mapping
from typing import Any

from divfast.errors import BackendError, MetricError, nearest
from divfast.generation.asked import Asked
from divfast.generation.engines import Engine, Opened
from divfast.generation.engines.parallel import open_parallel
from divfast.generation.sampling import Sampling

ENGINES = ("auto", "vllm", "transformers", "openai")


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


def find_engine(name: str, options: Mapping[str, Any]) -> str:
    """Return the name of the engine that is meant, and refuse options that it does not take."""
    if name not in ENGINES:
        raise MetricError(f"unknown engine {name!r}.", remedy=nearest(name, ENGINES))
    if name == "auto":
        name = _first_installed() if options.get("base_url") is None else "openai"
    module = importlib.import_module(f"divfast.generation.engines.{name}")
    for option, value in options.items():
        if value is not None and option not in module.OPTIONS:
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
