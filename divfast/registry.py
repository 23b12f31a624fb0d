"""Metrics by name: the decorator, the specs that users write (``vendi:q=2``), the lookup."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from divfast.errors import MetricError, nearest

Preset = Literal["default", "paper"]
ViewName = Literal["text", "tokens", "vectors"]
PRESETS: tuple[Preset, ...] = ("default", "paper")


class Accumulator(Protocol):
    """A corpus score that grows block by block: associative, so any split and any merge order gives the same."""

    def __init__(self, **parameters: Any) -> None: ...

    def add(self, rows: Any) -> None:
        """Take one block of rows."""

    def merge(self, other: Any) -> None:
        """Take what another accumulator has seen."""

    def result(self) -> float:
        """Return the score of everything seen so far; NaN where it is undefined."""


@dataclass(frozen=True)
class Kind:
    """How a parameter is written: text to value (`ValueError` with the reason) and back."""

    parse: Callable[[str], Any]
    format: Callable[[Any], str] = str


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("must be a whole number of at least 1")
    return value


def _positive_real(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise ValueError("must be greater than 0 (inf is allowed)")
    return value


def _orders(text: str) -> tuple[int, ...]:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= 64:
        raise ValueError("must be an n-gram order such as 2, or a range such as 1-5, of at most 64")
    return tuple(range(first, last + 1))


def _order(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 64:
        raise ValueError("must be an n-gram order from 1 to 64")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise ValueError("must be between 0 and 1, ends excluded")
    return value


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def choice(*values: str) -> Kind:
    """Return the kind of a parameter that is one of a few words."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return text

    return Kind(parse)


def _format_orders(value: Sequence[int]) -> str:
    return str(value[0]) if len(value) == 1 else f"{value[0]}-{value[-1]}"


positive_int = Kind(_positive_int)
positive_real = Kind(_positive_real, lambda value: f"{value:g}")
order = Kind(_order)
orders = Kind(_orders, _format_orders)
share = Kind(_share, lambda value: f"{value:g}")
switch = Kind(_switch, lambda value: "true" if value else "false")


@dataclass(frozen=True)
class Metric:
    """A metric and what generic code needs to know of it.

    ``function(rows, groups, **parameters) -> float64[g]`` is pure and obeys three laws: *locality* (value i depends
    on group i alone), *order* (permuting rows within a group changes nothing beyond rounding), *honesty* (undefined
    is NaN, never a made-up number; a preset may say otherwise). Under the presets that `sequential` names, the rows
    are read one after the other as one text, so their order matters and the second law does not hold; what another
    accumulator has seen is then taken to come behind.
    """

    name: str
    function: Callable[..., NDArray[np.float64]]
    view: ViewName
    unit: str
    higher: str
    bounds: tuple[float | None, float | None]
    corpus: type[Accumulator] | None
    aliases: tuple[str, ...]
    kinds: Mapping[str, Kind]
    defaults: Mapping[str, Any]
    tokenizers: Mapping[str, str] = field(default_factory=dict)
    sequential: tuple[Preset, ...] = ()

    @property
    def summary(self) -> str:
        """First sentence of the docstring."""
        return (inspect.getdoc(self.function) or "").split("\n\n")[0].replace("\n", " ")

    @property
    def takes_preset(self) -> bool:
        """Whether the paper preset computes something else than the default."""
        return "preset" in self.defaults


@dataclass(frozen=True)
class MetricSpec:
    """A metric with its parameters, as a user asked for it.

    Attributes
    ----------
    given : str
        What the user wrote; the name of the column in the results.
    parameters : Mapping[str, object]
        Every parameter, defaults included, without ``preset``.
    """

    metric: Metric
    given: str
    parameters: Mapping[str, Any]

    @property
    def canonical(self) -> str:
        """The spec with every parameter spelled out, as it stands in a signature."""
        words = [f"{name}={self.metric.kinds[name].format(value)}" for name, value in self.parameters.items()]
        return f"{self.metric.name}:{','.join(words)}" if words else self.metric.name


_METRICS: dict[str, Metric] = {}


def metric(
    name: str,
    *,
    view: ViewName,
    unit: str,
    higher: str,
    bounds: tuple[float | None, float | None] = (None, None),
    corpus: type[Accumulator] | None = None,
    aliases: tuple[str, ...] = (),
    parameters: Mapping[str, Kind] | None = None,
    tokenizers: Mapping[str, str] | None = None,
    sequential: tuple[Preset, ...] = (),
) -> Callable[[Callable[..., NDArray[np.float64]]], Callable[..., NDArray[np.float64]]]:
    """Register a function ``(rows, groups, **parameters) -> float64[g]`` as a metric.

    Parameters
    ----------
    name, aliases
        What users write after ``-m``.
    view
        What `rows` is: ``text`` (`Ragged` of ``uint8``, UTF-8), ``tokens`` (`Ragged` of ``uint64``) or ``vectors``
        (``float32[n, d]``, unit rows).
    unit, higher, bounds
        What a value measures, what a higher one means, and the least and greatest it can be (None: no bound).
    corpus
        Accumulator for the scopes ``first`` and ``pooled``; None where the metric makes no sense over a corpus.
    parameters
        The `Kind` of every keyword parameter that changes the number.
    tokenizers
        Tokenizer of each preset, for the metrics over tokens.
    sequential
        Presets under which a group is one text, its rows in their order, and so the value depends on that order.

    Raises
    ------
    ValueError
        Where the name is taken, or a keyword parameter has no kind.
    """
    kinds = dict(parameters or {})

    def register(function: Callable[..., NDArray[np.float64]]) -> Callable[..., NDArray[np.float64]]:
        keywords = {
            p.name: p.default
            for p in inspect.signature(function).parameters.values()
            if p.kind is inspect.Parameter.KEYWORD_ONLY
        }
        if set(keywords) - {"preset"} != set(kinds):
            raise ValueError(
                f"metric {name}: parameters {sorted(kinds)} are not the keywords {sorted(keywords)}"
            )
        for taken in (name, *aliases):
            if taken in _METRICS:
                raise ValueError(f"metric name {taken!r} is taken by {_METRICS[taken].function!r}")
        entry = Metric(
            name,
            function,
            view,
            unit,
            higher,
            bounds,
            corpus,
            aliases,
            kinds,
            keywords,
            dict(tokenizers or {}),
            sequential,
        )
        for key in (name, *aliases):
            _METRICS[key] = entry
        return function

    return register


@cache
def _load() -> None:
    package = importlib.import_module("divfast.metrics")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"divfast.metrics.{module.name}")


def all_metrics() -> list[Metric]:
    """Return every metric once, by name."""
    _load()
    return sorted({entry.name: entry for entry in _METRICS.values()}.values(), key=lambda entry: entry.name)


def parse_spec(given: str, *, defaults: Mapping[str, Any] | None = None) -> MetricSpec:
    """Return the metric that ``name`` or ``name:key=value,...`` asks for.

    Parameters
    ----------
    given : str
        The spec.
    defaults : Mapping[str, object], optional
        Values for parameters that the spec leaves out, for those metrics that have them (``vocab_size``).

    Raises
    ------
    MetricError
        For an unknown metric, an unknown parameter, or a value that the parameter cannot take.

    Examples
    --------
    >>> parse_spec("vendi:q=2").canonical
    'vendi:q=2'
    >>> parse_spec("sbert").canonical
    'cosine'
    """
    _load()
    name, _, rest = given.partition(":")
    entry = _METRICS.get(name.strip())
    if entry is None:
        raise MetricError(f"unknown metric {name!r}.", remedy=nearest(name, _METRICS))
    values = {key: entry.defaults[key] for key in entry.kinds}
    values.update({key: value for key, value in (defaults or {}).items() if key in entry.kinds})
    for word in filter(None, (part.strip() for part in rest.split(","))):
        key, equals, text = word.partition("=")
        if key not in entry.kinds:
            remedy = nearest(key, entry.kinds) if entry.kinds else f"{entry.name} takes no parameters."
            raise MetricError(f"metric {entry.name} has no parameter {key!r}.", remedy=remedy)
        if not equals:
            raise MetricError(f"parameter {key} of {entry.name} has no value.", remedy=f"Write {key}=VALUE.")
        try:
            values[key] = entry.kinds[key].parse(text)
        except ValueError as error:
            reason = str(error) if str(error).startswith("must") else "is not a number"
            raise MetricError(f"parameter {key} of {entry.name}: {text!r} {reason}.") from None
    return MetricSpec(entry, given, values)
