"""Runs cases: every implementation in a process of its own, in turns, right before fast."""

from __future__ import annotations

import contextlib
import multiprocessing
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import engine, env
from divfast.throughput.case import Case, Goal, Implementation, Place, Size, Tolerance, Values
from divfast.throughput.machine import machine, versions
from divfast.throughput.worker import serve

Row = dict[str, Any]
Progress = Callable[[str], None]


@dataclass(frozen=True)
class Effort:
    """How often to run: `repeats` times at least and until `least` seconds are spent, `most` seconds at most."""

    repeats: int = 5
    least: float = 1.0
    most: float = 20.0


QUICK = Effort(repeats=2, least=0.0, most=2.0)


@dataclass
class _Worker:
    """One implementation and what is known of it."""

    implementation: Implementation
    process: Any
    pipe: Connection
    status: str = "ready"
    reason: str | None = None
    work: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    held: int | None = None
    peak: int | None = None
    values: Values | None = None
    difference: float | None = None
    seconds: list[float] = field(default_factory=list)

    def ask(self, question: str | None = None) -> Any:
        """Return the answer, or None where there is none; what went wrong is kept."""
        try:
            if question:
                self.pipe.send(question)
            kind, answer = self.pipe.recv()
        except (EOFError, OSError):
            self.process.join()
            kind, answer = "failed", f"the process ended with {self.process.exitcode}"
        if kind in ("absent", "failed"):
            self.status, self.reason = kind, answer
            return None
        return answer

    def wants(self, effort: Effort) -> bool:
        """Whether it is to run once more."""
        spent = sum(self.seconds)
        enough = len(self.seconds) >= effort.repeats and spent >= effort.least
        return self.status == "ready" and not enough and spent < effort.most

    def end(self) -> None:
        """Let the process go."""
        with contextlib.suppress(OSError):
            self.pipe.send("end")
        self.process.join()


def run_cases(
    cases: Sequence[Case],
    *,
    data: Path | None = None,
    paper_code: Path | None = None,
    quick: bool = False,
    peers: bool = True,
    progress: Progress | None = None,
) -> Iterator[Row]:
    """Yield one row for every case, size and implementation.

    Parameters
    ----------
    cases : sequence of Case
        What to run.
    data : Path, optional
        Folder of real dumps; by default ``DIVFAST_SHARED/data``.
    paper_code : Path, optional
        Checkout of the paper's code; by default ``DIVFAST_PEER_PAPER``.
    quick : bool
        One small size, two repeats.
    peers : bool
        Run the peers too. Without them nothing is compared.
    progress : callable, optional
        Told what runs now.

    Yields
    ------
    dict
        ``case``, ``implementation``, ``backend``, ``size``, ``status``; where that is ``ok`` also ``seconds``
        (median, 20% and 80% quantile, best), ``repeats``, ``peak_mb`` (most memory held while running),
        ``held_mb`` (before), ``work``, and on a peer's row ``ratio``: how many times as fast divfast is. Where it is
        ``differs``, ``absent`` or ``failed`` there is a ``reason``, and no time.
    """
    if data is None and (shared := env.shared()) is not None:
        data = shared / "data"
    paper_code = paper_code or env.peer_paper()
    for case in cases:
        for size in (case.quick,) if quick else case.sizes:
            with tempfile.TemporaryDirectory(prefix="divfast-bench-") as folder:
                place = Place(Path(folder), data and data.absolute(), paper_code and paper_code.absolute())
                yield from _run_case(
                    case, size, place, QUICK if quick else Effort(), peers, not quick, progress
                )


def _run_case(
    case: Case, size: Size, place: Place, effort: Effort, peers: bool, full: bool, progress: Progress | None
) -> list[Row]:
    workers: list[_Worker] = []

    def say(what: str) -> None:
        if progress is not None:
            progress(f"{case.name} {describe(size)}: {what}")

    try:
        for implementation in case.implementations if peers else case.implementations[:1]:
            say(f"{implementation.name}, getting ready")
            worker = _start(case, implementation, place, size)
            workers.append(worker)
            if (answer := worker.ask()) is not None:
                worker.work, worker.versions, worker.held = answer["work"], answer["versions"], answer["held"]
        for worker in workers:
            if worker.status == "ready":
                say(f"{worker.implementation.name}, once to check")
                _once(worker, effort, checking=True)
        _compare(workers, case.tolerance)
        # In turns, so that what else the machine does falls on all of them.
        while any(worker.wants(effort) for worker in workers):
            for worker in workers:
                if worker.wants(effort):
                    say(f"{worker.implementation.name}, run {len(worker.seconds) + 1}")
                    _once(worker, effort, checking=False)
    finally:
        for worker in workers:
            worker.end()
    return [_row(case, size, worker, workers[0], case.goal if full else Goal()) for worker in workers]


def _start(case: Case, implementation: Implementation, place: Place, size: Size) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=serve, args=(theirs, case.name, implementation.name, place, dict(size)), daemon=False
    )
    process.start()
    theirs.close()
    return _Worker(implementation, process, ours)


def _once(worker: _Worker, effort: Effort, *, checking: bool) -> None:
    answer = worker.ask("run")
    if answer is None:
        return
    if checking:
        worker.values = answer["values"]
    # The first run warms up and is not timed, unless it is too long to be done twice.
    if not checking or answer["seconds"] > effort.most / 2:
        worker.seconds.append(answer["seconds"])
    if answer["peak"] is not None:
        worker.peak = max(worker.peak or 0, answer["peak"])


def _compare(workers: Sequence[_Worker], tolerance: Tolerance) -> None:
    """Mark all of a case as differing where one peer's values are not those of divfast."""
    mine = workers[0]
    if mine.values is None:
        return
    for worker in workers[1:]:
        if worker.values is not None:
            allowed = worker.implementation.tolerance or tolerance
            worker.difference, agrees = difference(mine.values, worker.values, allowed)
            if not agrees:
                reason = f"{worker.implementation.name} gives other values: {worker.difference:g}"
                for one in workers:
                    if one.status == "ready":
                        one.status, one.reason = "differs", f"{reason}, tolerance {allowed}"
                return


def difference(mine: Values, theirs: Values, tolerance: Tolerance) -> tuple[float, bool]:
    """Return the largest difference, relative where the tolerance is, and whether all are within the tolerance."""
    largest, agrees = 0.0, mine.keys() == theirs.keys()
    for name in mine.keys() & theirs.keys():
        a, b = np.asarray(mine[name], np.float64), np.asarray(theirs[name], np.float64)
        if a.shape != b.shape:
            return float("inf"), False
        agrees &= bool(np.allclose(a, b, tolerance.relative, tolerance.absolute, equal_nan=True))
        # Where both are NaN, or both infinite, there is no difference to speak of.
        unequal = ~((a == b) | (np.isnan(a) & np.isnan(b)))
        apart: NDArray[np.float64] = np.abs(a[unequal] - b[unequal])
        if tolerance.relative and not tolerance.absolute:
            apart = apart / np.maximum(np.abs(b[unequal]), np.finfo(np.float64).tiny)
        if apart.size:
            largest = max(largest, float(np.nan_to_num(apart, nan=np.inf).max()))
    return largest, agrees


def describe(size: Size) -> str:
    """Return a size in words: ``prompts=500 samples=16``."""
    return " ".join(f"{key}={value}" for key, value in size.items())


def _row(case: Case, size: Size, worker: _Worker, mine: _Worker, goal: Goal) -> Row:
    row: Row = {
        "case": case.name,
        "implementation": worker.implementation.name,
        "backend": "cpu",
        "size": dict(size),
        "status": "ok" if worker.status == "ready" else worker.status,
    }
    if worker.reason is not None:
        row["reason"] = worker.reason
    if worker.status == "ready" and worker.seconds:
        low, median, high = np.quantile(worker.seconds, [0.2, 0.5, 0.8]).tolist()
        row["seconds"] = {"median": median, "low": low, "high": high, "best": min(worker.seconds)}
        row["repeats"] = len(worker.seconds)
        row["work"] = worker.work
        if worker.peak is not None:
            row["peak_mb"] = round(worker.peak / 1e6, 1)
        if worker.held is not None:
            row["held_mb"] = round(worker.held / 1e6, 1)
        if worker is mine:
            _reach(row, goal.seconds, median, "seconds")
            _reach(row, goal.peak, worker.peak, "peak")
        elif mine.seconds:
            row["ratio"] = median / float(np.median(mine.seconds))
            row["difference"] = worker.difference
            row["tolerance"] = str(worker.implementation.tolerance or case.tolerance)
            if goal.ratio is not None:
                row["goal"] = {"ratio": goal.ratio}
                row["reached"] = row["ratio"] >= goal.ratio
    row["threads"] = engine.threads()
    row["versions"] = versions(worker.implementation.packages) | worker.versions
    row["machine"] = machine()
    row["date"] = date.today().isoformat()
    return row


def _reach(row: Row, most: float | None, value: float | None, name: str) -> None:
    if most is None or value is None:
        return
    row.setdefault("goal", {})[name] = most
    row["reached"] = row.get("reached", True) and value <= most
