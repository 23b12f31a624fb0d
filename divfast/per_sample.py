"""The values of every sample, gathered block by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from divfast.planning import Plan
from divfast.samples import Samples


class SampleValues:
    """One row a sample; holds one number a metric and the id of each."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._ids: list[pa.Array] = []
        self._positions: list[NDArray[np.int64]] = []
        self._columns: dict[str, list[NDArray[np.float64]]] = {
            spec.given: []
            for spec in plan.specs
            if "prompt" in plan.scopes and plan.has_samples(spec, "prompt")
        }

    def add(self, block: Samples, rows: Sequence[Any]) -> None:
        """Take one block and its rows as each metric of the plan eats them."""
        self._ids.append(block.ids.take(pa.array(np.repeat(np.arange(len(block)), np.diff(block.groups)))))
        self._positions.append(block.positions)
        for spec, view in zip(self._plan.specs, rows, strict=True):
            if spec.given in self._columns:
                assert spec.metric.per_sample is not None
                values = spec.metric.per_sample(view, block.groups, **self._plan.parameters(spec))
                self._columns[spec.given].append(values)

    def table(self, pooled: Sequence[Any]) -> pa.Table:
        """Return the table in the order of the dump; `pooled` are the accumulators of the plan in that scope."""
        positions = np.concatenate([np.zeros(0, np.int64), *self._positions])
        columns = {name: np.concatenate([np.zeros(0), *parts]) for name, parts in self._columns.items()}
        for spec, corpus in zip(self._plan.specs, pooled, strict=False):
            if self._plan.has_samples(spec, "pooled"):
                columns[f"{spec.given}@pooled"] = corpus.samples()
        ids = pa.chunked_array(self._ids, pa.large_string())
        table = pa.table({"input_id": ids, "position": positions, **columns})
        # Rows of one group that were scattered over the dump came together.
        if np.any(np.diff(positions) < 0):
            table = table.take(pa.array(np.argsort(positions, kind="stable")))
        return table
