"""What waits inside the sandbox: an interpreter that forks a fresh child for every program and says how it went.

It is run as a script, in a file system where nothing else of this package is, so it imports the standard library alone.
One line on standard input is one program; one line on standard output is its `outcome`. It never runs a program itself.
"""

from __future__ import annotations

import base64
import contextlib
import ctypes
import gc
import json
import math
import os
import random
import resource
import select
import shutil
import signal
import sys
import time
import types
from typing import Any, NoReturn

# What programs import most is there before they are forked.
_COMMON = (
    *("bisect", "collections", "copy", "datetime", "decimal", "fractions", "functools", "hashlib", "heapq"),
    *("itertools", "json", "math", "operator", "random", "re", "statistics", "string", "typing"),
)
_LIMITS = [getattr(resource, name) for name in dir(resource) if name.startswith("RLIMIT_")]
_SET_DEATH_SIGNAL, _SET_DUMPABLE, _SET_SUBREAPER, _NO_NEW_PRIVILEGES, _SET_SECCOMP = 1, 4, 36, 38, 22
_RESULT = 3
_SLICE = 0.2
_MOST_LEFT = 1000
_MOST_FILES = 5000
_NOBODY = 65534


def main(argument: str) -> None:
    """Answer until the other side is gone."""
    options = json.loads(argument)
    zygote = _Zygote(options)
    zygote.reply({"ready": True})
    while (line := zygote.request()) is not None:
        outcome = zygote.run(json.loads(line))
        zygote.reply(outcome)
        if outcome["spoiled"]:
            break


class _Zygote:
    def __init__(self, options: dict[str, Any]) -> None:
        self._seconds: float = options["seconds"]
        self._wall: float = options["wall"]
        self._scratch: str = options["scratch"]
        self._requests, self._replies = os.dup(0), os.dup(1)
        self._unread = b""
        self._shared: tuple[str | None, Any] = (None, None)
        self._null = os.open(os.devnull, os.O_RDWR)
        self._output = os.memfd_create("output")
        os.dup2(self._null, 0)
        os.dup2(self._output, 1)
        _become(options["user"])
        self._contained: bool = options["alone"]
        # Whoever shares a namespace of processes, or a user made for it, with nobody else may kill all that it sees.
        self._alone = self._contained or os.getuid() == options["user"]
        _load(options["path"])
        # A signal to the first process of a namespace is dropped where it has no handler.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        for name, value in options["limits"].items():
            which = getattr(resource, name)
            most = resource.getrlimit(which)[1]
            value = value if most == resource.RLIM_INFINITY else min(value, most)
            resource.setrlimit(which, (value, value))
        self._close_off(options)
        _load_packages(options["loaded"])
        self._known = [resource.getrlimit(which) for which in _LIMITS]

    def _close_off(self, options: dict[str, Any]) -> None:
        libc = self._libc = ctypes.CDLL(None, use_errno=True)
        if self._contained:
            # After the user has changed, since that resets it.
            _prctl(libc, _SET_DEATH_SIGNAL, signal.SIGKILL)
        # Nobody may look into this process, or into a child that has not asked for it.
        _prctl(libc, _SET_DUMPABLE, 0)
        _prctl(libc, _NO_NEW_PRIVILEGES, 1)
        if not self._contained:
            _prctl(libc, _SET_SUBREAPER, 1)
        self._filter = base64.b64decode(options["filter"])
        if self._contained:
            self._filter_calls()

    def _filter_calls(self) -> None:
        if self._filter:
            held = ctypes.create_string_buffer(self._filter, len(self._filter))
            # struct sock_fprog: how many instructions of 8 bytes, and where.
            program = (ctypes.c_uint64 * 2)(len(self._filter) // 8, ctypes.addressof(held))
            _prctl(self._libc, _SET_SECCOMP, 2, ctypes.addressof(program))

    def request(self) -> bytes | None:
        """Return the next line, None at the end."""
        while b"\n" not in self._unread:
            chunk = os.read(self._requests, 1 << 16)
            if not chunk:
                return None
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        return line

    def reply(self, what: Any) -> None:
        """Write a line."""
        unsent = json.dumps(what).encode() + b"\n"
        while unsent:
            unsent = unsent[os.write(self._replies, unsent) :]

    def run(self, parts: list[list[str]]) -> dict[str, Any]:
        """Run a program, end all that it started, and return its outcome."""
        os.ftruncate(self._output, 0)
        os.lseek(self._output, 0, os.SEEK_SET)
        secret = os.urandom(16)
        receive, send = os.pipe()
        os.set_blocking(receive, False)
        before = _of_children()
        try:
            tests = self._compiled(parts)
            child = os.fork()
        except OSError as error:
            return {
                "passed": False,
                "error": f"cannot start: {error.strerror}",
                "spoiled": True,
                "failed": True,
            }
        if child == 0:
            self._enter(send)
            _perform(parts, tests, secret)
        os.close(send)
        trouble = self._watch(child, before)
        self._end_rest()
        if trouble is None and _of_children() - before > self._seconds:
            # Children that a program waits for are counted with it when all is over.
            trouble = "took too long"
        try:
            said = os.read(receive, 4096)
        except BlockingIOError:
            said = b""
        os.close(receive)
        outcome: dict[str, Any] = {
            "passed": trouble is None and said == secret,
            "error": trouble,
            "part": None,
        }
        if trouble is None and said != secret:
            outcome["error"], outcome["part"] = _told(said)
        outcome["spoiled"] = not self._clean()
        return outcome

    def _compiled(self, parts: list[list[str]]) -> Any:
        """Return the tests as code, or what is raised instead; those of the program before are not made again."""
        for kind, text in parts:
            if kind == "tests" and text != self._shared[0]:
                try:
                    self._shared = text, compile(text, "<tests>", "exec", dont_inherit=True)
                except Exception as error:  # noqa: BLE001
                    self._shared = text, error
        return self._shared[1]

    def _enter(self, send: int) -> None:
        """Become a child that has nothing of its parent's but the one pipe."""
        os.setsid()
        os.dup2(self._null, 0)
        os.dup2(self._output, 2)
        os.dup2(send, _RESULT)
        os.closerange(_RESULT + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        # Whole seconds, and each process counts for itself: the parent is more exact, this is for what it cannot see.
        most = math.ceil(self._seconds) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if not self._contained:
            # It takes the right to end others, which the parent needs.
            self._filter_calls()

    def _watch(self, child: int, before: float) -> str | None:
        """Wait for a child, and return what went wrong as far as it can be seen from outside."""
        until = time.monotonic() + self._wall
        # The clock of another process: see clock_getcpuclockid(3).
        clock = (~child << 3) | 2
        while True:
            left = self._seconds - (time.clock_gettime(clock) + _of_children() - before)
            found, status = os.waitpid(child, os.WNOHANG)
            if found:
                break
            if left <= 0 or time.monotonic() > until:
                # It is ended with the rest.
                return "took too long"
            if self._contained and _count_of_files(self._scratch) > _MOST_FILES:
                return "took too many files"
            signal.sigtimedwait({signal.SIGCHLD}, min(_SLICE, max(0.005, left)))
            if select.select([self._requests], [], [], 0)[0]:
                # No request comes before the reply, so this is the end of the other side.
                os._exit(0)
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGXCPU:
            return "took too long"
        if code < 0:
            return (
                f"ended by {signal.Signals(-code).name}"
                if -code in set(signal.Signals)
                else "ended by a signal"
            )
        return None if code == 0 else "ended before its tests did"

    def _end_rest(self) -> None:
        while True:
            for process in [-1] if self._alone else _children():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                return

    def _clean(self) -> bool:
        """Whether all is as it was before the program ran."""
        if [resource.getrlimit(which) for which in _LIMITS] != self._known:
            return False
        try:
            left = os.listdir(self._scratch)
            if len(left) > _MOST_LEFT:
                return False
            for name in left:
                path = os.path.join(self._scratch, name)
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path)
                else:
                    os.unlink(path)
            if os.stat(self._scratch).st_uid == os.getuid():
                os.chmod(self._scratch, 0o700)
        except (OSError, RecursionError):
            return False
        return True


def _perform(parts: list[list[str]], tests: Any, secret: bytes) -> NoReturn:
    """Run the parts of a program one after the other in one module, and tell the parent of it.

    Only who reaches the end of the last part writes the secret. What is needed then is taken before the program can
    put something else in its place.
    """
    write, leave, said, make, perform = os.write, os._exit, json.dumps, compile, exec
    here, me = os.getpid, os.getpid()
    broken = tests if isinstance(tests, Exception) else None
    # The same numbers for every program, so that a verdict is the same every time; a fork makes them new.
    random.seed(0)
    module = types.ModuleType("program")
    sys.modules["program"] = sys.modules["__main__"] = module
    at = -1
    try:
        for kind, text in parts:
            at += 1
            if kind in ("tests", "same"):
                if broken is not None:
                    raise broken
                perform(tests, module.__dict__)
                continue
            code = make(text, "<program>", "eval" if kind == "expression" else "exec", dont_inherit=True)
            if kind == "program":
                perform(code, module.__dict__)
    except BaseException as error:  # noqa: BLE001
        write(_RESULT, said([type(error).__name__[:60], at]).encode())
    else:
        # Not a child that the program has left its work to, which ends with it.
        if here() == me:
            write(_RESULT, secret)
    finally:
        leave(0)


def _told(said: bytes) -> tuple[str, int | None]:
    try:
        error, part = json.loads(said)
    except (ValueError, TypeError):
        return "ended before its tests did", None
    return (
        (error, part) if isinstance(error, str) and isinstance(part, int) else ("said nothing sensible", None)
    )


def _become(user: int | None) -> None:
    """Give up the rights of root."""
    if user is None:
        return
    os.setgroups([])
    for one in (user, _NOBODY):
        try:
            os.setresgid(one, one, one)
            os.setresuid(one, one, one)
        except OSError:
            if one == _NOBODY:
                raise
        else:
            break
    if not os.access(os.__file__, os.R_OK):
        raise PermissionError(f"{os.path.dirname(os.__file__)} is closed to every user but root")


def _load(path: list[str]) -> None:
    import site

    sys.path.extend(path)
    sys.argv[:] = [""]
    # Programs expect exit and help, which come with the rest of site that is left out.
    site.setquit()
    site.setcopyright()
    site.sethelper()
    for name in _COMMON:
        __import__(name)
    _freeze()


def _load_packages(names: list[str]) -> None:
    for name in names:
        # A program that asks for it is told what is wrong with it.
        with contextlib.suppress(Exception):
            __import__(name)
    if "numpy" in sys.modules:
        # As those of the standard library: the same numbers for every program.
        sys.modules["numpy"].random.seed(0)
    _freeze()


def _freeze() -> None:
    # Collections in a child would copy the pages that it shares with its parent.
    gc.collect()
    gc.freeze()


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _count_of_files(folder: str) -> int:
    room = os.statvfs(folder)
    return room.f_files - room.f_ffree


def _children() -> list[int]:
    with open(f"/proc/self/task/{os.getpid()}/children", encoding="ascii") as file:
        return [int(word) for word in file.read().split()]


def _prctl(libc: Any, *words: int) -> None:
    if libc.prctl(*(ctypes.c_ulong(word) for word in (*words, 0, 0, 0, 0)[:5])) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"prctl {words[0]}: {os.strerror(error)}")


if __name__ == "__main__":
    main(sys.argv[1])
