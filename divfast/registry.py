"""Metrics by name: the decorator, the specs that users write (``vendi:q=2``), the lookup."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from divfast.device import OnCuda
from divfast.errors import MetricError, nearest
from divfast.kinds import Kind

Preset = Literal["default", "paper"]
ViewName = Literal[
    "text",
    "tokens",
    "vectors",
    "prompted vectors",
    "partition",
    "rewards",
    "answers",
    "judgments",
    "programs",
]
PRESETS: tuple[Preset, ...] = ("default", "paper")
Expectation = Literal["pairs_mean", "rows_mean"] | Callable[..., NDArray[np.float64]]
BUILT_IN = "divfast"


class Accumulator(Protocol):
    """A corpus score that grows block by block: associative, so any split and any merge order gives the same.

    It may have a method ``adopt(other) -> bool``: before any rows, let another accumulator read its number off what
    this one sees. Where it returns True, `other` is given no rows of its own, and is not merged.
    """

    def __init__(self, **parameters: Any) -> None: ...

    def add(self, rows: Any) -> None:
        """Take one block of rows."""

    def merge(self, other: Any) -> None:
        """Take what another accumulator has seen."""

    def result(self) -> float:
        """Return the score of everything seen so far; NaN where it is undefined."""


@dataclass(frozen=True)
class Statistics:
    """What metrics are numbers of, gathered once for all specs that have the same ``gather``.

    Attributes
    ----------
    gather : callable
        ``gather(rows, groups, order)``: the statistics of every group, of an order or up to it.
    order : callable
        ``order(**parameters) -> int or None``: which order a spec needs; None where it computes from something else.
    number : callable
        ``number(statistics, **parameters) -> float64[g]``: what the metric's own function returns.
    nested : bool
        Whether statistics of a higher order do as well.
    """

    gather: Callable[[Any, NDArray[np.int64], int], Any]
    order: Callable[..., int | None]
    number: Callable[..., NDArray[np.float64]]
    nested: bool = True


@dataclass(frozen=True)
class Metric:
    """A metric and what generic code needs to know of it.

    ``function(rows, groups, **parameters) -> float64[g]`` is pure and obeys three laws: *locality* (value i depends
    on group i alone), *order* (permuting rows within a group changes nothing beyond rounding), *honesty* (undefined
    is NaN, never a made-up number; a preset may say otherwise). Under the presets that `sequential` names, the rows
    are read one after the other as one text, so their order matters and the second law does not hold; what another
    accumulator has seen is then taken to come behind. Under those that `streamed` names, one random stream runs through
    the groups in their order, so a value depends on the groups before it and the first law does not hold either.

    `paper` holds what parameters are under the preset ``paper`` where a spec leaves them out.

    ``per_sample(rows, groups, **parameters) -> float64[n]`` is what every sample adds to the value of its group, where
    the metric is made of such parts. `origin` is ``divfast``, or whose metric it is and which version of it.
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
    expectation: Expectation | None = None
    per_sample: Callable[..., NDArray[np.float64]] | None = None
    statistics: Statistics | None = None
    sequential: tuple[Preset, ...] = ()
    streamed: tuple[Preset, ...] = ()
    cuda: OnCuda | None = None
    origin: str = BUILT_IN
    applies: Callable[..., Sequence[str]] | None = None
    paper: Mapping[str, Any] = field(default_factory=dict)

    def spelled(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return those of the values of all parameters that have a say, the others having these values."""
        names = values if self.applies is None else self.applies(**values)
        return {name: values[name] for name in names}

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
        """The spec with every parameter that has a say spelled out, as it stands in a signature."""
        spelled = self.metric.spelled(self.parameters)
        words = [f"{name}={self.metric.kinds[name].format(value)}" for name, value in spelled.items()]
        return f"{self.metric.name}:{','.join(words)}" if words else self.metric.name


_METRICS: dict[str, Metric] = {}


def metric(
    name: str,
    *,
    view: ViewName = "tokens",
    unit: str,
    higher: str,
    bounds: tuple[float | None, float | None] = (None, None),
    corpus: type[Accumulator] | None = None,
    aliases: tuple[str, ...] = (),
    parameters: Mapping[str, Kind] | None = None,
    tokenizers: Mapping[str, str] | None = None,
    expectation: Expectation | None = None,
    per_sample: Callable[..., NDArray[np.float64]] | None = None,
    statistics: Statistics | None = None,
    sequential: tuple[Preset, ...] = (),
    streamed: tuple[Preset, ...] = (),
    cuda: OnCuda | None = None,
    applies: Callable[..., Sequence[str]] | None = None,
    paper: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., NDArray[np.float64]]], Callable[..., NDArray[np.float64]]]:
    """Register a function ``(rows, groups, **parameters) -> float64[g]`` as a metric.

    Or one that numba compiled, ``(token_ids, row_offsets, groups, **parameters) -> float64[g]``, which is called on all
    cores, each time with some of the groups (`divfast.compiled.over_groups`).

    Parameters
    ----------
    name, aliases
        What users write after ``-m``: letters, digits, ``-`` and ``_``.
    view
        What `rows` is: ``text`` (`Ragged` of ``uint8``, UTF-8), ``tokens`` (`Ragged` of ``uint64``), ``vectors``
        (``float32[n, d]``, unit rows), ``prompted vectors`` (`divfast.views.prompted.PromptedVectors`), ``partition``
        (``int64[n]``, the class of each sample, -1 where there is none), ``rewards`` (``float64[n, 2]``, class and
        reward, NaN where there is none), ``answers`` (`divfast.quality.estimators.Answers`), ``judgments``
        (`divfast.judged.JudgedRows`), or ``programs`` (`divfast.views.trees.Programs`).
    unit, higher, bounds
        What a value measures, what a higher one means, and the least and greatest it can be (None: no bound).
    corpus
        Accumulator for the scopes ``first`` and ``pooled``; None where the metric makes no sense over a corpus.
    parameters
        The `Kind` of every keyword parameter that changes the number. A metric that is not built in may leave it out
        where the defaults are numbers or booleans.
    tokenizers
        Tokenizer of each preset, for the metrics over tokens. That of a metric that is not built in is ``whitespace``
        by default.
    statistics
        What the function computes from, where several specs can share it.
    expectation
        What is known of the metric on k random rows of a group, for scores at equal K: ``rows_mean`` or
        ``pairs_mean`` where it is the plain mean over rows or over pairs of rows, those on which it is defined, all of
        the same weight, and so does not depend on K; or ``(rows, groups, k, **parameters) -> float64[g]`` that gives
        the expectation where K >= k. None where there is no formula: subsets are drawn.
    per_sample
        ``function(rows, groups, **parameters) -> float64[n]`` with the keyword parameters of the metric: the value of
        every sample within its group, NaN where undefined. An accumulator that also has ``samples() -> float64[n]``
        gives those of a corpus, in the order in which the rows were added.
    sequential
        Presets under which a group is one text, its rows in their order, and so the value depends on that order.
    streamed
        Presets under which one random stream runs through all groups in order, as in code that draws from one generator
        throughout: a value then depends on the groups before it. What is read in blocks goes on where it was.
    cuda
        What runs in its place on a CUDA device.
    applies
        ``function(**parameters)``: the names of those parameters that have a say while the others have these values.
        Signatures spell them alone, and no spec may set another. By default all.
    paper
        Values of parameters under the preset ``paper``, where that is all it changes.

    Raises
    ------
    ValueError
        Where the name is taken, a keyword parameter has no kind, or `per_sample` has other parameters.
    """

    def register(function: Callable[..., NDArray[np.float64]]) -> Callable[..., NDArray[np.float64]]:
        from divfast import plugins

        built_in = function.__module__.startswith("divfast.metrics.")
        if not built_in:
            _load()
        keywords = _keywords(function)
        kinds = dict(parameters or {})
        if parameters is None and not built_in:
            kinds = plugins.kinds_of(name, keywords)
        for other, what in ((per_sample, "per_sample"), (cuda.function if cuda else None, "cuda")):
            if other is not None and _keywords(other) != keywords:
                raise ValueError(f"metric {name}: {what} has not the parameters of the metric")
        if set(keywords) - {"preset"} != set(kinds):
            raise ValueError(
                f"metric {name}: parameters {sorted(kinds)} are not the keywords {sorted(keywords)}"
            )
        for taken in (name, *aliases):
            plugins.check_name(taken, function, _METRICS.get(taken))
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
            expectation,
            per_sample,
            statistics,
            sequential,
            streamed=streamed,
            cuda=cuda,
            applies=applies,
            paper=dict(paper or {}),
        )
        if not built_in:
            entry = plugins.from_elsewhere(entry)
        for key in (name, *aliases):
            _METRICS[key] = entry
        return function

    return register


def _keywords(function: Callable[..., Any]) -> dict[str, Any]:
    parameters = inspect.signature(function).parameters.values()
    # Older numba has no keyword-only parameters; those of a compiled metric are known by their defaults.
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY or p.default is not p.empty}


@contextmanager
def registry_restored(*, only_after_errors: bool = False) -> Iterator[None]:
    """Leave the registry as it is now after the block, whatever the block registers."""
    _load()
    before = dict(_METRICS)
    failed = True
    try:
        yield
        failed = False
    finally:
        if failed or not only_after_errors:
            for key in [key for key in _METRICS if key not in before]:
                del _METRICS[key]
            _METRICS.update(before)


def registered() -> list[Metric]:
    """Return the metrics that are registered by now, once each."""
    return list({entry.name: entry for entry in _METRICS.values()}.values())


def forget(entry: Metric) -> None:
    """Take a metric out of the registry."""
    for key in (entry.name, *entry.aliases):
        del _METRICS[key]


@cache
def _load() -> None:
    package = importlib.import_module("divfast.metrics")
    for module in pkgutil.iter_modules(package.__path__):
        importlib.import_module(f"divfast.metrics.{module.name}")


def all_metrics() -> list[Metric]:
    """Return every metric once, by name: built in, installed, and loaded by now."""
    from divfast.plugins import load_installed

    _load()
    load_installed()
    return sorted(registered(), key=lambda entry: entry.name)


def parse_spec(
    given: str, *, defaults: Mapping[str, Any] | None = None, preset: str = "default"
) -> MetricSpec:
    """Return the metric that ``name`` or ``name:key=value,...`` asks for.

    Parameters
    ----------
    given : str
        The spec.
    defaults : Mapping[str, object], optional
        Values for parameters that the spec leaves out, for those metrics that have them (``vocab_size``).
    preset : str
        What parameters are that are left out.

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
    from divfast.plugins import load_installed

    _load()
    name, _, rest = given.partition(":")
    if name.strip() not in _METRICS:
        # Only now: what a distribution imports can take seconds.
        load_installed()
    entry = _METRICS.get(name.strip())
    if entry is None:
        raise MetricError(f"unknown metric {name!r}.", remedy=nearest(name, _METRICS))
    values = {key: entry.defaults[key] for key in entry.kinds}
    values.update(entry.paper if preset == "paper" else {})
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
    spec, spelled = MetricSpec(entry, given, values), entry.spelled(values)
    for key in values:
        if key not in spelled and values[key] != entry.defaults[key]:
            raise MetricError(f"parameter {key} has no say in {spec.canonical}.", remedy=f"Leave {key} out.")
    return spec
