"""What there is to choose from: metrics, tokenizers, formats of dumps."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from divfast.backends import BACKENDS, why_not
from divfast.plugins import load_files
from divfast.readers import formats
from divfast.registry import PRESETS, Metric, all_metrics, parse_spec
from divfast.scope import SCOPES
from divfast.views.tokens import BUILT_IN, CODE


def describe(metric: Metric) -> dict[str, Any]:
    """Return what is known of a metric, as JSON types.

    Examples
    --------
    >>> describe(parse_spec("distinct").metric)["parameters"]
    {'n': '1'}
    """
    # A preset matters where it changes the formula or the tokens.
    differs = metric.takes_preset or metric.paper or len(set(metric.tokenizers.values())) > 1
    return {
        "name": metric.name,
        "aliases": list(metric.aliases),
        "from": metric.origin,
        "summary": metric.summary,
        "parameters": {name: kind.format(metric.defaults[name]) for name, kind in metric.kinds.items()},
        "view": metric.view,
        "presets": list(PRESETS if differs else PRESETS[:1]),
        "scopes": list(SCOPES if metric.corpus is not None else SCOPES[:1]),
        "per_sample": [
            *(["prompt"] if metric.per_sample is not None else []),
            *(["pooled"] if hasattr(metric.corpus, "samples") else []),
        ],
        "unit": metric.unit,
        "higher": metric.higher,
        "bounds": list(metric.bounds),
        "tokenizers": dict(metric.tokenizers),
        "backends": [backend for backend in BACKENDS if why_not(metric, backend) is None],
    }


def describe_one(name: str, plugins: Sequence[str | Path] = ()) -> dict[str, Any]:
    """Return what is known of the metric of that name or spec, with its documentation; `plugins` are files with more.

    Raises
    ------
    MetricError
        Where there is none.
    """
    load_files(plugins)
    metric = parse_spec(name).metric
    return {**describe(metric), "documentation": inspect.getdoc(metric.function) or ""}


def describe_all(plugins: Sequence[str | Path] = ()) -> dict[str, Any]:
    """Return every metric, built-in tokenizer and format, as JSON types; `plugins` are files with more metrics."""
    load_files(plugins)
    return {
        "metrics": [describe(metric) for metric in all_metrics()],
        "tokenizers": {**BUILT_IN, **CODE},
        "readers": {name: module.SUMMARY for name, module in formats().items()},
    }
