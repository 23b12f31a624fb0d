"""Where a metric runs: its own function and accumulator, or the reference by the same name."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.planning import Plan
from divfast.registry import MetricSpec
from divfast.samples import Ragged


def accumulator(plan: Plan, spec: MetricSpec) -> Any:
    """Return a fresh accumulator of a metric over a corpus."""
    if plan.backend == "reference":
        return _ReferenceCorpus(_reference(spec), plan.parameters(spec))
    assert spec.metric.corpus is not None
    return spec.metric.corpus(**plan.parameters(spec))


def per_group(plan: Plan, spec: MetricSpec, rows: Any, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the value of a metric for every group of a block."""
    if plan.backend == "reference":
        return _reference(spec)(_plain(rows), groups, **plan.parameters(spec))
    return spec.metric.function(rows, groups, **plan.parameters(spec))


class _ReferenceCorpus:
    """The reference over a whole corpus: all rows as one group."""

    def __init__(self, function: Callable[..., NDArray[np.float64]], parameters: Mapping[str, Any]) -> None:
        self._function = function
        self._parameters = parameters
        self._rows: list[Any] = []

    def add(self, rows: Any) -> None:
        self._rows.extend(_plain(rows))

    def result(self) -> float:
        rows: Any = (
            np.array(self._rows) if self._rows and isinstance(self._rows[0], np.ndarray) else self._rows
        )
        return float(self._function(rows, [0, len(rows)], **self._parameters)[0])


def _plain(rows: Any) -> Any:
    """Return rows as the reference takes them: lists of tokens, or float64 vectors."""
    return [row.tolist() for row in rows] if isinstance(rows, Ragged) else np.asarray(rows, np.float64)


def _reference(spec: MetricSpec) -> Callable[..., NDArray[np.float64]]:
    module = importlib.import_module(f"divfast.reference.{spec.metric.name}")
    function: Callable[..., NDArray[np.float64]] = getattr(module, spec.metric.name)
    return function
