"""Which rows form a group. No metric knows the scope; it sees rows and group offsets."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from divfast.errors import MetricError, nearest

Scope = Literal["prompt", "first", "pooled"]
SCOPES: tuple[Scope, ...] = ("prompt", "first", "pooled")


def check_scope(name: str) -> Scope:
    """Return `name` if it is a scope, else raise `MetricError`."""
    for scope in SCOPES:
        if scope == name:
            return scope
    raise MetricError(f"unknown scope {name!r}.", remedy=nearest(name, SCOPES))


def first_rows(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row of the first sample of every group that has one."""
    return groups[:-1][np.diff(groups) > 0]


def one_group(rows: int) -> NDArray[np.int64]:
    """Return the offsets of one group that holds all rows."""
    return np.array([0, rows], np.int64)
