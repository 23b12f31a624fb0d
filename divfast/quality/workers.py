"""Warm processes that judge samples, so that one which hangs or crashes costs that sample its verdict and no more.

Not threads with alarms: a signal is delivered to the main thread alone, and between two steps of Python alone, so a
parser that is lost in C would never hear it.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import select
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from typing import Any, Self

from divfast import engine, env
from divfast.errors import BackendError
from divfast.quality.verifiers import Question, Settings, Verdict

_START_SECONDS = 120
# A process that waits uses no processor time; on a busy machine one that works gets less of it than it asks for.
_WALL_PER_LIMIT = 12


class Workers:
    """As many processes as there are threads to use, each started when it is first needed.

    Parameters
    ----------
    name : str
        Of the verifier.
    settings : Settings
        ``limit`` is what one sample may take, in seconds of processor time; the verdict on one that takes more does
        not depend on what else the machine is doing, unless it does not get a twelfth of a processor.
    """

    def __init__(self, name: str, settings: Settings) -> None:
        self._count = engine.threads()
        self._idle: queue.SimpleQueue[_Worker] = queue.SimpleQueue()
        self._all = [_Worker(name, settings) for _ in range(self._count)]
        for worker in self._all:
            self._idle.put(worker)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for worker in self._all:
            worker.stop()

    def verdicts(self, questions: Iterable[Question]) -> Iterator[list[Verdict]]:
        """Yield the verdicts on the samples of every question, in order; equal samples are judged once."""
        pending: deque[Future[list[Verdict]]] = deque()
        with ThreadPoolExecutor(self._count) as pool:
            try:
                for question in questions:
                    pending.append(pool.submit(self._judge, question))
                    if len(pending) > 4 * self._count:
                        yield pending.popleft().result()
                while pending:
                    yield pending.popleft().result()
            finally:
                for future in pending:
                    future.cancel()

    def _judge(self, question: Question) -> list[Verdict]:
        distinct = list(dict.fromkeys(question.outputs))
        worker = self._idle.get()
        try:
            found = dict(zip(distinct, worker.judge(distinct, question.columns), strict=True))
        finally:
            self._idle.put(worker)
        return [found[text] for text in question.outputs]


class _Worker:
    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self._settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""

    def judge(self, outputs: list[str], columns: Any) -> list[Verdict]:
        """Return a verdict on every output, whatever it takes."""
        verdicts: list[Verdict] = []
        while len(verdicts) < len(outputs):
            started = self._ask(outputs[len(verdicts) :], columns)
            prepared = started and self._reply()
            if not prepared:
                # The right answer is the trouble: no sample can be judged.
                verdicts += [self._lost(None, "gold ")] * (len(outputs) - len(verdicts))
            elif prepared[0] is not None:
                verdicts += [Verdict(*prepared[0])] * (len(outputs) - len(verdicts))
            else:
                while len(verdicts) < len(outputs):
                    reply = self._reply()
                    if not reply:
                        verdicts.append(self._lost(False, ""))
                        break
                    verdicts.append(Verdict(*reply[0]))
        return verdicts

    def _ask(self, outputs: list[str], columns: Any) -> bool:
        process = self._process or self._start()
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps([outputs, columns]).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:
            return False
        return True

    def _reply(self, seconds: float | None = None) -> list[Any]:
        """Return the next reply in a list, an empty one where the process has ended or says nothing."""
        assert self._process is not None
        assert self._process.stdout is not None
        file = self._process.stdout.fileno()
        until = time.monotonic() + (self._settings.limit * _WALL_PER_LIMIT if seconds is None else seconds)
        while b"\n" not in self._unread:
            ready, _, _ = select.select([file], [], [], max(0.0, until - time.monotonic()))
            chunk = os.read(file, 1 << 16) if ready else b""
            if not chunk:
                return []
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return [json.loads(line)]

    def _lost(self, correct: bool | None, what: str) -> Verdict:
        """Return what to say of a sample that the process did not survive; the process is ended."""
        assert self._process is not None
        try:
            # One that has closed its pipe is about to end; one that hangs is not.
            code: int | None = self._process.wait(0.5)
        except subprocess.TimeoutExpired:
            code = None
        self.stop()
        late = code in (-signal.SIGPROF, None)
        return Verdict(correct, error=f"{what}took too long" if late else f"{what}made the parser crash")

    def _start(self) -> subprocess.Popen[bytes]:
        program = (
            "import json, sys; path, name, settings = json.loads(sys.argv[1]); sys.path[:] = path; "
            "from divfast.quality.worker import main; main(name, settings)"
        )
        argument = json.dumps([sys.path, self._name, asdict(self._settings)])
        self._unread = b""
        # In a session of its own, an interrupt ends this process first, which then ends them.
        self._process = subprocess.Popen(
            [sys.executable, "-c", program, argument],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            env=env.same_hashes(),
        )
        if not self._reply(_START_SECONDS):
            self.stop()
            raise BackendError(
                f"the processes that judge {self._name} do not start.",
                remedy="See why: python -c 'import divfast.quality.worker'; they need 4 GB of address space.",
            )
        return self._process

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
