"""Several engines side by side, each in a process of its own with its own GPUs."""

from __future__ import annotations

import contextlib
import importlib
import multiprocessing
import queue
import signal
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from divfast import env
from divfast.errors import BackendError, DivfastError
from divfast.generation.engines import Drawn, Request
from divfast.generation.sampling import Sampling

_POLL_SECONDS = 1.0
_PATIENCE_SECONDS = 30.0
# What workers put on their queue beside samples.
_OPEN, _FAILED, _DONE = "open", "failed", "done"


@contextlib.contextmanager
def open_parallel(
    name: str, many: int, model: str, sampling: Sampling, options: Mapping[str, Any]
) -> Iterator[Parallel]:
    """Start `many` engines of one kind; see `divfast.generation.engines.Engine`.

    Parameters
    ----------
    name : str
        Of the module of the engine.
    many : int
        How many.
    model, sampling, options
        As for each of them.
    """
    engine = Parallel(name, many, model, sampling, options)
    try:
        engine.wait()
        yield engine
    finally:
        engine.close()


class Parallel:
    """Engines that take prompts from one queue: who is done takes the next."""

    def __init__(
        self, name: str, many: int, model: str, sampling: Sampling, options: Mapping[str, Any]
    ) -> None:
        # Forked processes could not use a GPU that this one has touched.
        context = multiprocessing.get_context("spawn")
        self.sampling = sampling
        self._asked: Any = context.Queue()
        self._said: Any = context.Queue()
        devices = env.visible_devices()
        each = int(options.get("tensor_parallel") or 1)
        self._workers = []
        self._go = [context.SimpleQueue() for _ in range(many)]
        for rank in range(many):
            own = devices[rank * each : (rank + 1) * each] if devices is not None else None
            given = (name, model, sampling, dict(options), own, self._go[rank], self._asked, self._said)
            self._workers.append(context.Process(target=_work, args=given, name=f"divfast-engine-{rank}"))
        for worker in self._workers:
            worker.start()
        self._idle = False
        self.context: int | None = None
        self.facts: Mapping[str, Any] = {}

    def wait(self) -> None:
        """Wait until all are open."""
        for _ in self._workers:
            _, facts, self.context = self._next()
            self.facts = {**facts, "run": {**facts.get("run", {}), "data_parallel": len(self._workers)}}
        self._idle = True

    def __call__(self, requests: Iterable[Request]) -> Iterator[tuple[int, list[Drawn]]]:
        """Yield the samples of every request as it is finished."""
        for request in requests:
            self._asked.put(request)
        for go in self._go:
            self._asked.put(None)
            # Each waits for its own sign, so that none takes the end of the queue twice.
            go.put(self.sampling)
        working = len(self._workers)
        self._idle = False
        while working:
            kind, *said = self._next()
            if kind == _DONE:
                working -= 1
            else:
                yield said[0], said[1]
        self._idle = True

    def close(self) -> None:
        """End the processes; those that are in the midst of something are not waited for."""
        for go in self._go:
            go.put(None)
        for worker in self._workers:
            worker.join(_PATIENCE_SECONDS if self._idle else 0)
            worker.terminate()
            worker.join(_PATIENCE_SECONDS)
            worker.kill()
            worker.join()
        for one in (self._asked, self._said):
            one.cancel_join_thread()
            one.close()

    def _next(self) -> Any:
        while True:
            try:
                found = self._said.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                ended = [worker for worker in self._workers if not worker.is_alive()]
                if ended:
                    raise BackendError(
                        f"one of the {len(self._workers)} engines ended (exit code {ended[0].exitcode}).",
                        remedy="Run it with --data-parallel 1 to see why; what is finished stays in the dump.",
                    ) from None
                continue
            if found[0] == _FAILED:
                raise found[1]
            return found


def _work(
    name: str,
    model: str,
    sampling: Sampling,
    options: Mapping[str, Any],
    devices: list[str] | None,
    go: Any,
    asked: Any,
    said: Any,
) -> None:
    """Serve prompts until the process is ended."""
    # So that a process which is told to end ends those that it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if devices is not None:
        env.use_devices(devices)
    module = importlib.import_module(f"divfast.generation.engines.{name}")
    try:
        with module.open_engine(model, sampling, options) as engine:
            said.put((_OPEN, engine.facts, engine.context))
            while (sampling := go.get()) is not None:
                engine.sampling = sampling
                for key, drawn in engine(iter(asked.get, None)):
                    said.put(("", key, drawn))
                said.put((_DONE,))
    except DivfastError as error:
        said.put((_FAILED, type(error)(error.what, where=error.where, remedy=error.remedy)))
    except Exception as error:  # noqa: BLE001 - told where it can be seen
        said.put((_FAILED, BackendError(f"an engine failed: {' '.join(str(error).split())}.")))
