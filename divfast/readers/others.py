"""The fields of a record that no reader knows: carried along as the text that they are."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

# The column in which they are.
OTHERS = "*"
SURROGATE = re.compile("[\ud800-\udfff]")


def json_text(value: Any) -> str:
    """Return a value as JSON text that any parser reads: NaN is null, and infinity a number that is too large.

    Examples
    --------
    >>> json_text({"a": [float("nan"), -float("inf"), "\u00e9"]})
    '{"a": [null, -1e999, "\u00e9"]}'
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)
    except ValueError:
        if isinstance(value, float):
            return "null" if math.isnan(value) else f"{'-' * (value < 0)}1e999"
        if isinstance(value, Mapping):
            return f"{{{inside(value)}}}"
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(map(json_text, value))}]"
        raise
    # Text cannot hold a lone surrogate; its escape can.
    return json.dumps(value, default=_plain) if SURROGATE.search(text) else text


def _plain(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def inside(fields: Mapping[str, Any], left_out: Sequence[str] = ()) -> str:
    """Return the text of a JSON object without its braces.

    Examples
    --------
    >>> inside({"a": 1, "b": [2], "c": None}, left_out=["a"])
    '"b": [2], "c": null'
    """
    texts = (
        f"{json_text(str(name))}: {json_text(value)}"
        for name, value in fields.items()
        if name not in left_out
    )
    return ", ".join(texts)


def by_record(texts: pa.Array, bounds: NDArray[np.int64]) -> tuple[pa.Array, pa.Array]:
    """Return one text a record as a column of samples, where it stands at the record's first, and of prompts.

    So they stay with their records however these are grouped. The column of prompts has those of records without a
    sample alone.

    Examples
    --------
    >>> [column.to_pylist() for column in by_record(pa.array(["a", "b", "c"]), np.array([0, 2, 2, 3]))]
    [['a', None, 'c'], [None, 'b', None]]
    """
    some = np.diff(bounds) > 0
    at = np.full(bounds[-1], -1)
    at[bounds[:-1][some]] = np.flatnonzero(some)
    return texts.take(pa.array(at, mask=at < 0)), texts.take(pa.array(np.arange(len(some)), mask=some))
