"""A metric that numba compiled, called the way every metric is called: rows and groups in, one value a group out."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import engine
from divfast.samples import Ragged

ARRAYS = ("token_ids", "row_offsets", "groups")

# A call from Python takes about as long as a thousand tokens do.
_PART_TOKENS = 1 << 14
# Groups differ in what they cost; a thread that is done early takes another part.
_PARTS_A_THREAD = 4


def is_compiled(function: Callable[..., Any]) -> bool:
    """Return whether numba compiled a function; asks without importing numba."""
    return hasattr(function, "py_func") and hasattr(function, "targetoptions")


def over_groups(name: str, compiled: Any) -> Callable[..., NDArray[np.float64]]:
    """Return a function of rows and groups that runs `compiled` on all threads, each time on some of the groups.

    Parameters
    ----------
    name : str
        Of the metric, for errors.
    compiled : numba dispatcher
        Takes the tokens of some groups as ``uint64[m]``, where their rows begin and end as ``int64[n + 1]``, and where
        the groups do as ``int64[g + 1]``; both from 0. It returns ``float64[g]``, or fills it where its fourth argument
        is ``out``.

    Raises
    ------
    ValueError
        Where its arguments have other names, or it is compiled in a way that does not go with threads.
    """
    given = list(inspect.signature(compiled.py_func).parameters)
    if tuple(given[:3]) != ARRAYS:
        raise ValueError(
            f"metric {name}: a compiled metric takes ({', '.join(ARRAYS)}, ...), not ({', '.join(given)})"
        )
    if compiled.targetoptions.get("parallel"):
        raise ValueError(
            f"metric {name}: parallel=True does not go with the threads of divfast; leave it out, groups are "
            "spread over all cores"
        )
    if not compiled.targetoptions.get("nogil"):
        raise ValueError(
            f"metric {name}: would hold the interpreter and run on one core; write @numba.njit(nogil=True)"
        )
    fills = given[3:4] == ["out"]

    @functools.wraps(compiled.py_func)
    def spread(rows: Ragged, groups: NDArray[np.int64], **parameters: Any) -> NDArray[np.float64]:
        out = np.empty(len(groups) - 1)

        def part(cut: tuple[int, int]) -> None:
            start, stop = cut
            if start == stop:
                return
            arrays = _arrays(rows, groups[start : stop + 1])
            if fills:
                compiled(*arrays, out[start:stop], **parameters)
                return
            values = compiled(*arrays, **parameters)
            if np.shape(values) != (stop - start,):
                what = "nothing" if values is None else f"an array of shape {np.shape(values)}"
                raise ValueError(f"it returned {what} for {stop - start} groups")
            out[start:stop] = values

        before = rows.offsets[groups]
        tokens = int(before[-1] - before[0])
        parts = min(_PARTS_A_THREAD * engine.threads(), 1 + tokens // _PART_TOKENS)
        cuts = np.searchsorted(before, np.linspace(before[0], before[-1], parts + 1)[1:-1])
        for _ in engine.map_ordered(part, pairwise([0, *cuts.tolist(), len(out)])):
            pass
        return out

    return spread


def _arrays(rows: Ragged, groups: NDArray[np.int64]) -> list[NDArray[Any]]:
    """Return tokens, row offsets and group offsets of some groups, as if there were no others.

    They cannot be written to: other metrics read the same tokens.
    """
    offsets = rows.offsets[groups[0] : groups[-1] + 1]
    tokens = np.ascontiguousarray(rows.values[offsets[0] : offsets[-1]], np.uint64)
    arrays = [tokens.view(), offsets - offsets[0], groups - groups[0]]
    for array in arrays:
        array.flags.writeable = False
    return arrays
