"""The places where a metric can run, and why it cannot run in one of them."""

from __future__ import annotations

import importlib.util

from divfast.registry import Metric

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
        return f"{metric.name} has no CUDA kernel."
    if backend == "reference" and importlib.util.find_spec(f"divfast.reference.{metric.name}") is None:
        return f"{metric.name} has no reference version."
    return None
