"""Carried columns of parts that were read apart: brought to one type, nulls where a part has none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa


def join(parts: Sequence[Mapping[str, pa.Array]], lengths: Sequence[int]) -> dict[str, pa.Array]:
    """Return the columns of all parts one after the other; a part without a column has nulls.

    Parameters
    ----------
    parts
        Columns by name.
    lengths
        Rows of each part.
    """
    names = dict.fromkeys(name for part in parts for name in part)
    joined = {}
    for name in names:
        columns = [
            part[name] if name in part else pa.nulls(n) for part, n in zip(parts, lengths, strict=True)
        ]
        types = {column.type for column in columns if not pa.types.is_null(column.type)}
        if types:
            kind = types.pop() if len(types) == 1 else pa.large_string()
            columns = [column.cast(kind) for column in columns]
        joined[name] = pa.concat_arrays(columns)
    return joined
