"""Warm sandboxes that run programs: each forks a fresh process for every program, and ends all that it leaves behind.

What is held off: the network; every file but the interpreter's, its packages' and the system's libraries, which can be
read, and a scratch folder in memory, which is emptied; every process outside; more processor time, memory, processes,
files and output than the limits say; whatever runs on after the program has ended.

What counts as passed is told by a secret that the process is given for one program, and that it writes where all tests
have run to their end. A program that exits before, in whatever way, prints what it likes, closes files, or raises
inside a comparison does not pass. A program runs in the interpreter that runs its tests, as in every harness of this
kind, so these are not held off: an answer whose ``__eq__`` says yes to everything, a program that puts something else
in the place of what its tests call, and one that goes through the frames of its caller for the secret.
"""

from __future__ import annotations

import queue
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from divfast import engine
from divfast.sandbox.packages import modules_for
from divfast.sandbox.ways import Limits, find_way
from divfast.sandbox.worker import Outcome, Part, Worker


class Sandboxes:
    """Sandboxes for as many programs at once as there are threads to use.

    Parameters
    ----------
    way : {"auto", "bwrap", "namespaces", "rlimits"}
        What closes them off.
    limits : Limits
        For one program.
    """

    def __init__(self, way: str, limits: Limits) -> None:
        self.way = find_way(way)
        count = engine.threads()
        self._all = [_Kept(self.way, limits, number, count) for number in range(count)]
        self._idle: queue.SimpleQueue[_Kept] = queue.SimpleQueue()
        for kept in self._all:
            self._idle.put(kept)
        self._threads = ThreadPoolExecutor(count)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown(cancel_futures=True)
        for kept in self._all:
            kept.stop()

    def submit(self, programs: Sequence[Sequence[Part]]) -> Future[list[Outcome]]:
        """Run programs one after the other, sometime."""
        return self._threads.submit(self._run, programs)

    def _run(self, programs: Sequence[Sequence[Part]]) -> list[Outcome]:
        kept = self._idle.get()
        try:
            return [kept.run(parts) for parts in programs]
        finally:
            self._idle.put(kept)


class _Kept:
    """The sandboxes of one thread, by what is loaded in them: a program finds the same whatever ran before it."""

    def __init__(self, way: str, limits: Limits, number: int, count: int) -> None:
        self._way = way
        self._limits = limits
        self._number = number
        self._count = count
        self._workers: dict[tuple[str, ...], Worker] = {}

    def run(self, parts: Sequence[Part]) -> Outcome:
        """Run one program."""
        modules = modules_for(parts)
        worker = self._workers.get(modules)
        if worker is None:
            number = self._number + self._count * len(self._workers)
            worker = self._workers[modules] = Worker(self._way, self._limits, number, modules)
        return worker.run(parts)

    def stop(self) -> None:
        """End all of them."""
        for worker in self._workers.values():
            worker.stop()
