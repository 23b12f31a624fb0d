"""The places where a metric can run: its own function and accumulator, those for a GPU, or the reference by name."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import device
from divfast.errors import BackendError
from divfast.registry import Metric
from divfast.viewed import concat_rows, plain_rows

BACKENDS = ("reference", "cpu", "cuda")


def why_not(metric: Metric, backend: str) -> str | None:
    """Return why a metric cannot run on a backend here, one sentence; None where it can.

    Examples
    --------
    >>> from divfast.registry import parse_spec
    >>> why_not(parse_spec("ead").metric, "cuda")
    'ead has no CUDA kernel.'
    """
    if backend == "cuda":
        lacks = device.missing() if metric.cuda is not None else None
        return f"{metric.name} has no CUDA kernel." if metric.cuda is None else lacks and lacks[0]
    if backend == "reference" and importlib.util.find_spec(f"divfast.reference.{metric.name}") is None:
        return f"{metric.name} has no reference version."
    return None


def remedy(metric: Metric, backend: str) -> str:
    """Return what to do where a metric cannot run on a backend, one sentence."""
    lacks = device.missing() if backend == "cuda" and metric.cuda is not None else None
    return lacks[1] if lacks else "Use --backend auto; an encoder takes the GPU by itself."


def place(metric: Metric, backend: str) -> str:
    """Return where a metric runs: on the backend that was named; of ``auto`` on a GPU where it can, else the CPU."""
    if backend != "auto":
        return backend
    on_cuda = metric.cuda is not None and device.driver() and why_not(metric, "cuda") is None
    return "cuda" if on_cuda else "cpu"


def fallback(metrics: Iterable[Metric]) -> str | None:
    """Return which metrics ``auto`` leaves to the CPU though they have a kernel, and why; None where there are none."""
    on_cpu = [metric for metric in metrics if metric.cuda is not None and place(metric, "auto") == "cpu"]
    if not on_cpu:
        return None
    names = " and ".join(dict.fromkeys(metric.name for metric in on_cpu))
    reason = why_not(on_cpu[0], "cuda") if device.driver() else "there is no CUDA device."
    return f"{names} on the CPU: {reason}"


def accumulator(metric: Metric, parameters: Mapping[str, Any], backend: str) -> Any:
    """Return a fresh accumulator of a metric over a corpus."""
    if metric.corpus is None:
        return _NoCorpus()
    if backend == "reference":
        return _ReferenceCorpus(_reference(metric), parameters)
    if metric.cuda is not None and metric.cuda.corpus is not None and place(metric, backend) == "cuda":
        return metric.cuda.corpus(**parameters)
    return metric.corpus(**parameters)


def adopting(accumulators: Sequence[Any], keys: Sequence[str]) -> list[tuple[Any, str]]:
    """Return those of fresh accumulators that are to be given rows, with their view; they adopt the others."""
    chosen: list[tuple[Any, str]] = []
    for one, key in zip(accumulators, keys, strict=True):
        if not any(at == key and hasattr(other, "adopt") and other.adopt(one) for other, at in chosen):
            chosen.append((one, key))
    return chosen


def per_group(
    calls: Sequence[tuple[Metric, Mapping[str, Any], str]],
    backend: str,
    rows: Mapping[str, Any],
    groups: NDArray[np.int64],
) -> Iterator[NDArray[np.float64]]:
    """Yield the value of every group of a block, for each metric with its parameters and the key of its rows."""
    if backend == "reference":
        for metric, parameters, key in calls:
            yield _reference(metric)(plain_rows(rows[key]), groups, **parameters)
        return
    wanted = [_wanted(metric, parameters, key) for metric, parameters, key in calls]
    orders: dict[Any, int] = {}
    for at, order in filter(None, wanted):
        orders[at] = max(orders.get(at, 0), order)
    gathered = {at: at[0](rows[at[1]], groups, order) for at, order in orders.items()}
    for (metric, parameters, key), want in zip(calls, wanted, strict=True):
        if metric.cuda is not None and place(metric, backend) == "cuda":
            yield metric.cuda.function(rows[key], groups, **parameters)
        elif metric.statistics is None or want is None:
            yield metric.function(rows[key], groups, **parameters)
        else:
            yield metric.statistics.number(gathered[want[0]], **parameters)


def _wanted(metric: Metric, parameters: Mapping[str, Any], key: str) -> tuple[tuple[Any, ...], int] | None:
    """Return which statistics a metric is a number of, and up to which order; None where of none."""
    statistics = metric.statistics
    order = statistics.order(**parameters) if statistics is not None else None
    if statistics is None or order is None:
        return None
    return ((statistics.gather, key) if statistics.nested else (statistics.gather, key, order)), order


class _NoCorpus:
    """Stands where a metric is not defined over a corpus."""

    def add(self, rows: Any) -> None:
        pass

    def result(self) -> float:
        return float("nan")


class _ReferenceCorpus:
    """The reference over a whole corpus: all rows as one group."""

    def __init__(self, function: Callable[..., NDArray[np.float64]], parameters: Mapping[str, Any]) -> None:
        self._function = function
        self._parameters = parameters
        self._rows: list[Any] = []

    def add(self, rows: Any) -> None:
        if len(rows):
            self._rows.append(rows)

    def result(self) -> float:
        rows = plain_rows(concat_rows(self._rows)) if self._rows else []
        return float(self._function(rows, [0, sum(map(len, self._rows))], **self._parameters)[0])


def _reference(metric: Metric) -> Callable[..., NDArray[np.float64]]:
    module = importlib.import_module(f"divfast.reference.{metric.name}")
    function: Callable[..., NDArray[np.float64]] = getattr(module, metric.name)

    def obvious(*rows: Any, **parameters: Any) -> NDArray[np.float64]:
        try:
            return function(*rows, **parameters)
        except NotImplementedError as error:
            raise BackendError(f"{error}.", remedy="Use --backend auto.") from None

    return obvious
