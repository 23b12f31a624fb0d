"""Ways to close a process off from the rest of the machine, and which of them works here."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from divfast.errors import BackendError, MetricError, nearest
from divfast.sandbox.filters import make_filter

# The best first.
WAYS = ("bwrap", "namespaces", "rlimits")
WALL_PER_SECOND = 12
_FOLDER = Path(__file__).resolve().parent
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# Stores of systems that keep their libraries elsewhere, the cache of the dynamic linker, and Debian's choice of BLAS.
_MORE = ("/nix/store", "/gnu/store", "/etc/ld.so.cache", "/etc/alternatives")
_SCRATCH = "/tmp"
_SCRIPT = "/divfast-zygote.py"
_SCRATCH_FILES = 4096
_DEVICES = ("null", "zero", "full", "random", "urandom")
# The processes of a user namespace are counted for themselves from this kernel on.
_COUNTS_BY_NAMESPACE = (5, 14)


@dataclass(frozen=True)
class Limits:
    """What one program may take.

    Attributes
    ----------
    seconds : float
        Processor time; twelve times as much may pass on the clock, since the machine may be busy.
    memory : int
        Bytes of address space of each process, and about of memory of all together.
    processes, open_files : int
        At one time.
    file_bytes : int
        The size of one file; what is printed is one.
    scratch_bytes : int
        Of all files together.
    """

    seconds: float = 3.0
    memory: int = 1 << 30
    processes: int = 32
    open_files: int = 64
    file_bytes: int = 16 << 20
    scratch_bytes: int = 64 << 20

    @property
    def wall(self) -> float:
        """Seconds on the clock."""
        return self.seconds * WALL_PER_SECOND


def find_way(name: str = "auto") -> str:
    """Return the way to isolate programs: the one that is named, or the best that works here.

    Raises
    ------
    MetricError
        Where there is no such way.
    BackendError
        Where it does not work here, or none does. Limits alone are a way for those who say so.
    """
    if name not in ("auto", *WAYS):
        raise MetricError(f"unknown sandbox {name!r}.", remedy=nearest(name, ("auto", *WAYS)))
    tried = {way: why_not(way) for way in ([name] if name != "auto" else WAYS[:2])}
    for way, reason in tried.items():
        if reason is None:
            return way
    reasons = "; ".join(f"{way}: {reason}" for way, reason in tried.items())
    raise BackendError(
        f"no sandbox works here ({reasons}).",
        remedy="Install bubblewrap or allow user namespaces. Where the whole machine may be harmed, as in a container "
        "made for it, say --sandbox rlimits: limits and a filter of system calls, but files can be read.",
    )


@cache
def why_not(way: str) -> str | None:
    """Return why a way does not work here, None where it does; found out by running a program in it."""
    from divfast.sandbox.worker import Worker

    if not sys.platform.startswith("linux"):
        return "needs Linux"
    if way == "bwrap" and shutil.which("bwrap") is None:
        return "not installed"
    worker = Worker(way, Limits(), 0)
    try:
        outcome = worker.run([("program", "pass")])
    except BackendError as error:
        return error.what
    finally:
        worker.stop()
    return None if outcome.passed else f"a program that does nothing fails: {outcome.error}"


@cache
def describe(way: str) -> str:
    """Return the name of a way, with a version where it has one."""
    if way != "bwrap":
        return way
    done = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=False)
    return f"bwrap {done.stdout.strip().rpartition(' ')[2]}"


def command(way: str, limits: Limits, number: int, scratch: str | None, loaded: Sequence[str]) -> list[str]:
    """Return the words that start the process which runs programs.

    Parameters
    ----------
    way, limits : str, Limits
        What closes the process off, and what a program may take.
    number : int
        Of the worker: as root, each has a user of its own.
    scratch : str, optional
        A folder of the host, for the way that has no file system of its own.
    loaded : sequence of str
        Modules that programs find loaded.
    """
    root = os.geteuid() == 0
    python = [os.path.realpath(getattr(sys, "_base_executable", sys.executable)), "-S", "-s", "-P", "-B"]
    # One that no account has, and no other run.
    user = (1 << 30) + (os.getpid() << 10 & 0x3FFFFC00) + number % 1024 if root else None
    options = {
        "seconds": limits.seconds,
        "wall": limits.wall,
        "scratch": scratch or _SCRATCH,
        "user": user,
        "alone": way != "rlimits",
        "path": _packages(),
        "loaded": list(loaded),
        "filter": base64.b64encode(make_filter(outside=way == "rlimits")).decode(),
        "limits": {
            "RLIMIT_AS": limits.memory,
            "RLIMIT_CORE": 0,
            "RLIMIT_FSIZE": limits.file_bytes,
            "RLIMIT_NOFILE": limits.open_files,
            "RLIMIT_NPROC": limits.processes + (0 if root or _counts_by_namespace(way) else _running()),
        },
    }
    script = str(_FOLDER / "zygote.py")
    if way == "rlimits":
        return [*python, script, json.dumps(options)]
    visible, links = _visible()
    if way == "bwrap":
        return [*_bwrap(visible, links, limits, script, root), *python, _SCRIPT, json.dumps(options)]
    spec = {
        "visible": visible,
        "links": links,
        "script": [script, _SCRIPT],
        "scratch_bytes": limits.scratch_bytes,
        "scratch_files": _SCRATCH_FILES,
        "command": [*python, _SCRIPT],
        "options": options,
    }
    return [*python, str(_FOLDER / "isolate.py"), json.dumps(spec)]


def _bwrap(
    visible: Sequence[str], links: dict[str, str], limits: Limits, script: str, root: bool
) -> list[str]:
    words = [
        "bwrap",
        "--unshare-pid",
        "--unshare-net",
        "--unshare-ipc",
        "--unshare-uts",
        "--unshare-cgroup-try",
    ]
    # Root needs no user namespace, and then becomes a user that owns nothing.
    words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if root else ["--unshare-user"]
    words += ["--new-session", "--as-pid-1"]
    # It would make the folders above as closed as they are on the host.
    above = {"/dev", *(str(parent) for path in visible for parent in Path(path).parents[:-1])}
    for path in sorted(above):
        words += ["--perms", "0755", "--dir", path]
    for path in visible:
        words += ["--ro-bind", path, path]
    for path, target in links.items():
        words += ["--symlink", target, path]
    words += ["--ro-bind", script, _SCRIPT]
    for name in _DEVICES:
        words += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
    words += ["--symlink", _SCRATCH, "/dev/shm"]
    words += ["--perms", "1777", "--size", str(limits.scratch_bytes), "--tmpfs", _SCRATCH]
    return [*words, "--remount-ro", "/", "--chdir", _SCRATCH, "--"]


def environment(scratch: str | None) -> dict[str, str]:
    """Return all that the process finds in its environment."""
    return {
        "HOME": scratch or _SCRATCH,
        "TMPDIR": scratch or _SCRATCH,
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PATH": "/usr/bin:/bin",
        "PYTHONHASHSEED": "0",
        "TZ": "UTC",
        **{f"{name}_NUM_THREADS": "1" for name in ("MKL", "OMP", "OPENBLAS")},
    }


def _packages() -> list[str]:
    """Return the folders of installed packages, which programs may import too."""
    found = [path for path in sys.path if os.path.basename(path) in ("site-packages", "dist-packages")]
    return [path for path in dict.fromkeys(map(os.path.realpath, found)) if os.path.isdir(path)]


def _visible() -> tuple[list[str], dict[str, str]]:
    """Return the folders and files of the host that programs see, and the links in its root."""
    links = {path: os.readlink(path) for path in _SYSTEM if os.path.islink(path)}
    python = [os.path.realpath(path) for path in (sys.base_prefix, sys.base_exec_prefix)]
    wanted = [path for path in _SYSTEM if path not in links] + [*_MORE, *python, *_packages()]
    visible: list[str] = []
    for path in sorted({path for path in wanted if path != "/" and os.path.exists(path)}):
        if not any(path.startswith(f"{above}/") for above in visible):
            visible.append(path)
    return visible, links


def _counts_by_namespace(way: str) -> bool:
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2] if part.isdecimal())
    return way != "rlimits" and release >= _COUNTS_BY_NAMESPACE


def _running() -> int:
    """Return how many processes and threads this user has, which count too."""
    count = 0
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                if os.stat(f"/proc/{name}").st_uid == os.getuid():
                    count += len(os.listdir(f"/proc/{name}/task"))
            except OSError:
                # It has ended.
                continue
    return count
