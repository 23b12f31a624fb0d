"""The prompts that moved most between two runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from divfast.readers import read
from divfast.result import json_number
from divfast.stats import paired_differences

TOP = 3


@dataclass(frozen=True)
class Moved:
    """A prompt whose value differs much between two runs.

    Attributes
    ----------
    input_id : str or None
        Of the prompt.
    a, b, difference : float
        Its values in A and in B, and ``b - a``.
    prompt : str or None
        Its text, where a dump that was compared holds it.
    """

    input_id: str | None
    a: float
    b: float
    difference: float
    prompt: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types; ``prompt`` only where it is known."""
        known = {} if self.prompt is None else {"prompt": self.prompt}
        return {
            "input_id": self.input_id,
            "a": json_number(self.a),
            "b": json_number(self.b),
            "difference": json_number(self.difference),
            **known,
        }


def most_moved(
    ids: pa.Array, a: NDArray[np.float64], b: NDArray[np.float64], top: int
) -> tuple[list[Moved], list[Moved]]:
    """Return up to `top` prompts that went up most and that went down most, those that moved more first.

    Examples
    --------
    >>> up, down = most_moved(pa.array(["x", "y", "z"]), np.array([0.5, 0.5, 0.5]), np.array([1.0, 0.5, 0.75]), 2)
    >>> [moved.input_id for moved in up], down
    (['x', 'z'], [])
    """
    differences = paired_differences(a, b)

    def furthest(sign: int) -> list[Moved]:
        moved = np.flatnonzero(sign * differences > 0)
        chosen = moved[np.argsort(-sign * differences[moved], kind="stable")[:top]]
        return [Moved(ids[i].as_py(), float(a[i]), float(b[i]), float(differences[i])) for i in chosen]

    return furthest(1), furthest(-1)


def texts_of(dump: Path, ids: Iterable[str | None], options: Mapping[str, Any]) -> dict[str, str]:
    """Return the texts of prompts by their ids, as far as a dump holds them; it is read until all are found.

    Of `options`, those of `divfast.read` are used.
    """
    wanted = pa.array(sorted({name for name in ids if name is not None}), pa.large_string())
    found: dict[str, str] = {}
    if not len(wanted):
        return found
    reading = {key: value for key, value in options.items() if key in signature(read).parameters}
    for block in read(dump, columns=(), **reading):
        there = pc.and_(pc.is_in(block.ids, value_set=wanted), pc.is_valid(block.prompts))
        found.update(
            zip(block.ids.filter(there).to_pylist(), block.prompts.filter(there).to_pylist(), strict=True)
        )
        if len(found) == len(wanted):
            break
    return found
