"""One sandbox: a process, closed off, that forks a fresh child for every program and ends all that it leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from divfast.errors import BackendError
from divfast.sandbox.ways import Limits, command, environment

# (kind, text): a ``program`` is run; ``tests`` are too, and programs that share them follow one another; an
# ``expression`` must be one, and is not run.
Part = tuple[str, str]
# A large package may have to be read from a slow disk.
_START_SECONDS = 120
# Longer than it takes to end what a program has left.
_GRACE_SECONDS = 20
_GLANCE_SECONDS = 0.1
_BROUGHT_DOWN = "brought the sandbox down"
_SEE = "See divfast doctor for what works here."
_TICKS = os.sysconf("SC_CLK_TCK")
# What no file on a disk is behind.
_HELD = ("RssAnon:", "RssShmem:")


class Outcome(NamedTuple):
    """How a program went.

    Attributes
    ----------
    passed : bool
        Whether all parts ran to their end.
    error : str or None
        Where not, the name of the exception, or what else has ended it.
    part : int or None
        Which part raised the exception.
    """

    passed: bool
    error: str | None = None
    part: int | None = None


class Worker:
    """One sandbox, started when it is first needed.

    Parameters
    ----------
    way : {"bwrap", "namespaces", "rlimits"}
        What closes it off.
    limits : Limits
        For one program.
    number : int
        No other sandbox that is in use has it.
    loaded : sequence of str
        Modules of installed packages that programs find loaded.
    """

    def __init__(self, way: str, limits: Limits, number: int, loaded: Sequence[str] = ()) -> None:
        self._way = way
        self._limits = limits
        self._number = number
        self._loaded = loaded
        self._process: subprocess.Popen[bytes] | None = None
        self._folder: str | None = None
        self._unread = b""
        self._tests: str | None = None

    def run(self, parts: Sequence[Part]) -> Outcome:
        """Run one program.

        Raises
        ------
        BackendError
            Where the sandbox does not start.
        """
        reply = self._ask(parts)
        if isinstance(reply, dict) and reply.get("failed"):
            # Not this program's doing.
            self.stop()
            reply = self._ask(parts)
        if isinstance(reply, str):
            self.stop()
            return Outcome(False, reply)
        if reply.get("failed"):
            raise BackendError(f"{reply['error']}.", where=f"sandbox {self._way}", remedy=_SEE)
        if reply["spoiled"]:
            # Something is left that cannot be put right: the next program gets a new one.
            self.stop()
        return Outcome(reply["passed"], reply["error"], reply.get("part"))

    def _ask(self, parts: Sequence[Part]) -> Any:
        process = self._process or self._start()
        assert process.stdin is not None
        said: list[Part] = []
        for kind, text in parts:
            known = kind == "tests" and text == self._tests
            said.append(("same", "") if known else (kind, text))
            self._tests = text if kind == "tests" else self._tests
        try:
            process.stdin.write(json.dumps(said).encode() + b"\n")
            process.stdin.flush()
        except OSError:
            return _BROUGHT_DOWN
        return self._reply(self._limits.wall + _GRACE_SECONDS)

    def _reply(self, seconds: float) -> Any:
        """Return the next reply, or what has happened instead."""
        assert self._process is not None
        assert self._process.stdout is not None
        file = self._process.stdout.fileno()
        start = time.monotonic()
        while b"\n" not in self._unread:
            ready, _, _ = select.select([file], [], [], _GLANCE_SECONDS)
            if ready:
                chunk = os.read(file, 1 << 16)
                if not chunk:
                    return _BROUGHT_DOWN
                self._unread += chunk
            elif time.monotonic() > start + seconds:
                return "took too long"
            elif trouble := self._trouble():
                return trouble
        line, _, self._unread = self._unread.partition(b"\n")
        return json.loads(line)

    def _trouble(self) -> str | None:
        """Return which limit the processes of a program are beyond together; each has its own besides."""
        assert self._process is not None
        first = [self._process.pid] if self._way == "rlimits" else _children(self._process.pid)
        memory = ticks = 0
        found = [child for parent in first for child in _children(parent)]
        while found:
            one = found.pop()
            found += _children(one)
            with contextlib.suppress(OSError, ValueError, IndexError):
                with open(f"/proc/{one}/status", encoding="utf-8", errors="replace") as file:
                    memory += sum(int(line.split()[1]) for line in file if line.startswith(_HELD)) << 10
                with open(f"/proc/{one}/stat", encoding="utf-8", errors="replace") as file:
                    # Of its own, and of the children that it has waited for.
                    ticks += sum(map(int, file.read().rpartition(")")[2].split()[11:15]))
        if memory > self._limits.memory:
            return "took too much memory"
        return "took too long" if ticks / _TICKS > 2 * self._limits.seconds + 1 else None

    def _start(self) -> subprocess.Popen[bytes]:
        if self._way == "rlimits":
            self._folder = tempfile.mkdtemp(prefix="divfast-")
            # It may be another user's.
            os.chmod(self._folder, 0o777 if os.geteuid() == 0 else 0o700)
        self._unread, self._tests = b"", None
        with tempfile.TemporaryFile() as errors:
            try:
                # Nothing of this process's: neither its environment nor its folder, terminal or files.
                self._process = subprocess.Popen(
                    command(self._way, self._limits, self._number, self._folder, self._loaded),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    cwd=self._folder or "/",
                    env=environment(self._folder),
                    start_new_session=True,
                    umask=0o022,
                )
                reply = self._reply(_START_SECONDS)
            except OSError as error:
                reply = str(error)
            if reply == {"ready": True}:
                assert self._process is not None
                return self._process
            self.stop()
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
        raise BackendError(
            f"{said[-1] if said else reply}",
            where=f"sandbox {self._way}",
            remedy=_SEE,
        )

    def stop(self) -> None:
        """End it, with all that runs inside."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
        folder, self._folder = self._folder, None
        if folder is not None:
            # Deeper than Python's own can go, and with folders that are closed to their owner.
            for words in (["chmod", "-R", "u+rwX"], ["rm", "-rf"]):
                subprocess.run([*words, folder], check=False, stderr=subprocess.DEVNULL)
            shutil.rmtree(folder, ignore_errors=True)


def _children(process: int) -> list[int]:
    try:
        with open(f"/proc/{process}/task/{process}/children", encoding="ascii") as file:
            return [int(word) for word in file.read().split()]
    except OSError:
        return []
