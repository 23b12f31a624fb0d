"""Metrics of others: from installed distributions, from files, from the program that imported divfast."""

from __future__ import annotations

import functools
import hashlib
import inspect
import re
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import registry
from divfast.compiled import is_compiled, over_groups
from divfast.errors import DivfastError, DivfastWarning, MetricError
from divfast.kinds import Kind
from divfast.registry import Metric

ENTRY_POINTS = "divfast.metrics"

# Held while a plug-in registers its metrics, since several threads may ask for the same one.
_LOADING = threading.RLock()
_ORIGIN: ContextVar[str | None] = ContextVar("divfast_origin", default=None)


def load_files(paths: Sequence[str | Path]) -> None:
    """Run Python files that register metrics.

    A file that is loaded already is left alone; one that has changed since replaces what it had registered.

    Raises
    ------
    MetricError
        Where a file cannot be read, fails, or registers nothing; then nothing of it stays registered.
    """
    with _LOADING:
        for path in paths:
            _load_file(Path(path).resolve())


def _load_file(path: Path) -> None:
    try:
        source = path.read_bytes()
    except OSError as error:
        raise MetricError(
            "cannot be read as a plugin.", where=str(path), remedy="Name a Python file."
        ) from error
    print_ = hashlib.sha256(source).hexdigest()[:8]
    origin = f"{path.name.replace('|', '_')}@{print_}"
    if any(entry.origin == origin for entry in registry.registered()):
        return
    module = types.ModuleType(f"divfast_plugin_{path.stem}_{print_}")
    module.__file__ = str(path)
    with registry.registry_restored(only_after_errors=True):
        for entry in registry.registered():
            if _place(entry.function).startswith(f"{path}:"):
                registry.forget(entry)
        before = registry.registered()
        # By this name pickle and numba find what the file defines.
        sys.modules[module.__name__] = module
        try:
            with _registering(origin):
                # Not through the import system, which takes a file of the same size and second for unchanged.
                exec(compile(source, str(path), "exec"), module.__dict__)
            if registry.registered() == before:
                raise MetricError(
                    "registers no metric.", remedy="Decorate a function with @divfast.metric(...)."
                )
        except (Exception, SystemExit) as error:
            del sys.modules[module.__name__]
            remedy = error.remedy if isinstance(error, DivfastError) else "See where with --debug."
            raise MetricError(f"cannot be used: {_reason(error)}", where=str(path), remedy=remedy) from error


@cache
def load_installed() -> None:
    """Import the metrics that installed distributions offer under the entry point ``divfast.metrics``, once.

    One that fails is left out with a warning that names its distribution.
    """
    for point in sorted(entry_points(group=ENTRY_POINTS), key=lambda point: point.name):
        named = f"{point.dist.name}@{point.dist.version}" if point.dist is not None else point.value
        try:
            with _LOADING, registry.registry_restored(only_after_errors=True), _registering(named):
                point.load()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, other metrics still work
            warnings.warn(
                DivfastWarning(f"the metrics of {named} ({point.value}) are left out: {_reason(error)}"),
                stacklevel=2,
            )


def from_elsewhere(entry: Metric) -> Metric:
    """Return a metric that is not built in as generic code takes it: it says where it is from and whose errors are."""
    function = over_groups(entry.name, entry.function) if is_compiled(entry.function) else entry.function
    tokenizers = entry.tokenizers
    if entry.view == "tokens" and not tokenizers:
        tokenizers = dict.fromkeys(registry.PRESETS, "whitespace")
    elif entry.view != "tokens" and is_compiled(entry.function):
        raise ValueError(f"metric {entry.name}: a compiled metric eats tokens, not {entry.view}")
    return replace(
        entry,
        function=_guarded(entry.name, function, per_sample=False),
        per_sample=None
        if entry.per_sample is None
        else _guarded(entry.name, entry.per_sample, per_sample=True),
        tokenizers=tokenizers,
        origin=_ORIGIN.get() or _origin(entry.function),
    )


def kinds_of(name: str, keywords: Mapping[str, Any]) -> dict[str, Kind]:
    """Return the kinds of parameters, by the types of their defaults.

    Examples
    --------
    >>> kinds = kinds_of("hapax", {"n": 2, "share": 0.5, "fold": False})
    >>> kinds["n"].parse("3"), kinds["share"].parse("1e-1"), kinds["fold"].parse("true")
    (3, 0.1, True)
    """
    kinds = {}
    for key, default in keywords.items():
        if key == "preset":
            continue
        if type(default) not in _KINDS:
            raise ValueError(
                f"metric {name}: what parameter {key} may be cannot be told from its default; say it with "
                f"parameters={{{key!r}: divfast.kinds.Kind(...)}}"
            )
        kinds[key] = _KINDS[type(default)]
    return kinds


def check_name(name: str, function: Callable[..., Any], other: Metric | None) -> None:
    """Raise `ValueError` where a name will not do for the metric of a function, or is that of another metric.

    A later version of the same function may take its place: a notebook's cell is run again and again.
    """
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"metric name {name!r} must be letters, digits, - and _")
    if other is None:
        return
    paths = [(each.__module__, each.__qualname__) for each in (other.function, function)]
    if paths[0] != paths[1]:
        raise ValueError(
            f"metric name {name!r} is taken: by {_place(other.function)}, and now by {_place(function)}"
        )


def _place(function: Callable[..., Any]) -> str:
    """Return the file and line of a function."""
    code = inspect.unwrap(getattr(function, "py_func", function)).__code__
    return f"{code.co_filename}:{code.co_firstlineno}"


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError("must be a whole number") from None


def _true_or_false(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


_KINDS = {
    bool: Kind(_true_or_false, lambda value: str(value).lower()),
    int: Kind(_whole),
    float: Kind(float, repr),
}


@contextmanager
def _registering(origin: str) -> Iterator[None]:
    token = _ORIGIN.set(origin)
    try:
        yield
    finally:
        _ORIGIN.reset(token)


def _origin(function: Callable[..., Any]) -> str:
    """Return the module of a function and a hash of its source, where there is any."""
    written = getattr(function, "py_func", function)
    try:
        source = inspect.getsource(written).encode("utf-8", "replace")
    except (OSError, TypeError):
        return str(written.__module__)
    return f"{written.__module__}@{hashlib.sha256(source).hexdigest()[:8]}"


def _guarded(
    name: str, function: Callable[..., Any], *, per_sample: bool
) -> Callable[..., NDArray[np.float64]]:
    """Return a function that answers for what a user's own returns or raises."""

    @functools.wraps(function)
    def guarded(rows: Any, groups: NDArray[np.int64], **parameters: Any) -> NDArray[np.float64]:
        wanted = (int(groups[-1] - groups[0]) if per_sample else len(groups) - 1,)
        try:
            values = np.asarray(function(rows, groups, **parameters), np.float64)
        except DivfastError:
            raise
        except Exception as error:
            raise MetricError(f"metric {name} failed: {_reason(error)}", remedy=_remedy(error)) from error
        if values.shape != wanted:
            raise MetricError(f"metric {name} returned an array of shape {values.shape}, not {wanted}.")
        return values

    return guarded


def _remedy(error: Exception) -> str:
    if "No matching definition" in str(error):
        return "Leave the signature out of @numba.njit: tokens come as arrays that cannot be written to."
    if "readonly" in str(error):
        return "Copy what you want to write to: other metrics read the same tokens."
    return "See where with --debug."


def _reason(error: BaseException) -> str:
    """Return an error as the end of a sentence."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", error.what if isinstance(error, DivfastError) else str(error))
    text = " ".join(text.split())
    # numba begins with the name of the step that failed, and tells all that it tried.
    text = text.partition("(step: nopython frontend) ")[2] or text
    text = text if len(text) <= 300 else f"{text[:300]}..."
    if not isinstance(error, (DivfastError, ValueError)):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if text.endswith(".") else f"{text}."
