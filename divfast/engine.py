"""Where work runs. Threads and memory are ambient: a score is the same on one thread and on many, in little memory
and in much.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from threading import Event
from typing import TypeVar

from divfast import env

T = TypeVar("T")
R = TypeVar("R")

_THREADS: ContextVar[int | None] = ContextVar("divfast_threads", default=None)
_MEMORY: ContextVar[int | None] = ContextVar("divfast_memory", default=None)


def threads() -> int:
    """Return the number of threads that compiled code may use here."""
    current = _THREADS.get()
    return env.threads() if current is None else current


@contextmanager
def use_threads(count: int | None) -> Iterator[None]:
    """Within the block, `threads` returns `count`; None changes nothing."""
    token = _THREADS.set(_THREADS.get() if count is None else count)
    try:
        yield
    finally:
        _THREADS.reset(token)


def memory() -> int | None:
    """Return about how many bytes all work here may take together; None where nobody has said."""
    return _MEMORY.get()


@contextmanager
def use_memory(size: int | None) -> Iterator[None]:
    """Within the block, `memory` returns `size`; None changes nothing."""
    token = _MEMORY.set(_MEMORY.get() if size is None else size)
    try:
        yield
    finally:
        _MEMORY.reset(token)


def map_ordered(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Apply `function` to every item, several at a time on one thread each, and yield results in order.

    Those that run at a time share the memory.
    """
    work = list(items)
    workers = min(threads(), len(work))
    if workers <= 1:
        yield from map(function, work)
        return

    size = memory()
    share = None if size is None else max(1, size // workers)

    def run(item: T) -> R:
        with use_threads(1), use_memory(share):
            return function(item)

    with ThreadPoolExecutor(workers) as pool:
        futures = [pool.submit(copy_context().run, run, item) for item in work]
        try:
            for future in futures:
                yield future.result()
        finally:
            for future in futures:
                future.cancel()


def ahead(items: Iterable[T]) -> Iterator[T]:
    """Yield from `items`, producing the next item on another thread while the caller works on this one."""
    return map_ahead(lambda item: item, items, 1)


def map_ahead(function: Callable[[T], R], items: Iterable[T], workers: int) -> Iterator[R]:
    """Apply `function` to every item on other threads while the caller works, and yield results in order.

    Items are produced one at a time, in order, no more than `workers` beyond the result that the caller works on: when
    one is produced, all but the `workers` - 1 before it are done with.
    """
    iterator = iter(items)
    end = object()
    pool = ThreadPoolExecutor(workers)

    def step(turn: Event, after: Event) -> R | object:
        # Steps start in order, so whoever is waited for here is under way.
        turn.wait()
        try:
            item = next(iterator, end)
        finally:
            after.set()
        return end if item is end else function(item)  # type: ignore[arg-type]

    last = Event()
    last.set()
    pending: deque[Future[R | object]] = deque()

    def submit() -> None:
        nonlocal last
        turn, last = last, Event()
        pending.append(pool.submit(copy_context().run, step, turn, last))

    try:
        for _ in range(workers):
            submit()
        while (result := pending.popleft().result()) is not end:
            submit()
            yield result  # type: ignore[misc]
    finally:
        # Nobody waits here: after an error it may be the garbage collector that ends this, and that may run inside a
        # thread which is just starting and holds what the end of another one needs.
        pool.shutdown(wait=False, cancel_futures=True)
