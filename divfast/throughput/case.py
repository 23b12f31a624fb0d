"""What a case is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = Mapping[str, NDArray[np.float64]]
Size = Mapping[str, Any]


class Absent(Exception):
    """What an implementation or an input needs is not here; the reason is its only argument."""


@dataclass(frozen=True)
class Tolerance:
    """How far apart values may be: ``|a - b| <= absolute + relative |b|``."""

    relative: float = 0.0
    absolute: float = 0.0

    def __str__(self) -> str:
        words = [f"{value:g} {name}" for name, value in vars(self).items() if value]
        return " + ".join(words) or "exact"


@dataclass(frozen=True)
class Place:
    """Where a run finds things.

    Attributes
    ----------
    scratch : Path
        A folder for files that several implementations of one case read; removed after the case.
    data, paper_code : Path, optional
        The folder of real dumps, and a checkout of the paper's code.
    """

    scratch: Path
    data: Path | None = None
    paper_code: Path | None = None


@dataclass(frozen=True)
class Prepared:
    """An implementation with its input made and its libraries loaded.

    Attributes
    ----------
    run : callable
        What the clock measures.
    values : callable
        From what `run` returned, the values that all implementations must agree on; the clock stands still.
    work : Mapping[str, float]
        How much one run is: ``samples``, ``bytes``, ``texts``.
    versions : Mapping[str, str]
        Of what is no installed distribution.
    """

    run: Callable[[], Any]
    values: Callable[[Any], Values]
    work: Mapping[str, float] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Finished:
    """What a `Prepared.run` returns that measured a process of its own.

    Attributes
    ----------
    seconds, peak : float, int
        Time from start to end, most bytes it held at once.
    output : Path
        What it wrote to standard output.
    """

    seconds: float
    peak: int
    output: Path


@dataclass(frozen=True)
class Implementation:
    """One way to do a case's work.

    Attributes
    ----------
    name : str
        ``divfast``, or the peer's.
    prepare : callable
        ``prepare(place, **size) -> Prepared``, called once in a fresh process; raises `Absent`.
    packages : tuple of str
        Distributions whose versions belong to the row.
    tolerance : Tolerance, optional
        Of a peer that rounds more coarsely than the others of the case.
    """

    name: str
    prepare: Callable[..., Prepared]
    packages: tuple[str, ...] = ()
    tolerance: Tolerance | None = None


@dataclass(frozen=True)
class Goal:
    """What is to be reached at the full size: times as fast as each peer, or seconds and bytes at most."""

    ratio: float | None = None
    seconds: float | None = None
    peak: float | None = None


@dataclass(frozen=True)
class Case:
    """A piece of work, done by divfast and by its peers.

    Attributes
    ----------
    name, summary : str
        What users write, and one line of what it is.
    sizes : tuple of Mapping
        Keyword arguments of `Implementation.prepare`; one set of rows for each.
    quick : Mapping
        A size that takes seconds.
    implementations : tuple of Implementation
        divfast first.
    """

    name: str
    summary: str
    sizes: tuple[Size, ...]
    quick: Size
    implementations: tuple[Implementation, ...]
    tolerance: Tolerance = Tolerance()
    goal: Goal = Goal()
