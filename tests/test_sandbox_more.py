"""The sandbox against more programs: kernel rooms, hidden work, blocking, and what is said of it afterwards."""

import time

import pytest

from divfast.sandbox.ways import Limits
from divfast.sandbox.worker import Outcome
from sandboxes import CLOSED, check_hostile, kept, run

LIMITS = Limits(seconds=0.3, memory=160 << 20, processes=16)
LIBC = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\ndef need(r):\n    if r < 0: raise OSError(1, '')\n"


@pytest.fixture(scope="module", params=CLOSED)
def worker(request):
    yield from kept(request.param, LIMITS)


# Each would pass if nothing held it off; an error that is not named may be any.
HOSTILE = {
    "memory of itself as a file": ("open('/proc/self/mem', 'rb')", "FileNotFoundError"),
    "mounts a view of processes": (
        f"{LIBC}os.mkdir('p'); need(libc.mount(b'proc', b'/tmp/p', b'proc', 0, None))",
        "PermissionError",
    ),
    "files by their handle": (
        f"{LIBC}h = ctypes.create_string_buffer(b'\\x08\\0\\0\\0\\x01\\0\\0\\0\\x02' + bytes(127))\n"
        "need(libc.open_by_handle_at(os.open('/usr', 0), h, 0))",
        "PermissionError",
    ),
    "above the root": (
        "import os\nf = os.open('/', 0)\nfor _ in range(40): f = os.open('..', 0, dir_fd=f)\n"
        "assert set(os.listdir(f)) != set(os.listdir('/'))",
        "AssertionError",
    ),
    "changes its root": ("import os; os.chroot('/usr')", "PermissionError"),
    "traces its parent": (f"{LIBC}need(libc.ptrace(16, 1, 0, 0))", "PermissionError"),
    "io_uring": (
        f"{LIBC}need(libc.syscall(425, 8, ctypes.create_string_buffer(200)))",
        "PermissionError",
    ),
    "keys of the kernel": (f"{LIBC}need(libc.syscall(248, b'user', b'k', b's', 1, -4))", "PermissionError"),
    "shared memory of the host": (f"{LIBC}need(libc.shmget(7, 4096, 0o1666))", "PermissionError"),
    "users of its own": (
        f"{LIBC}a = (ctypes.c_uint64 * 8)(0x10000000, 0, 0, 0, 17)\nneed(libc.syscall(435, a, 64))",
        "PermissionError",
    ),
    "becomes root": ("import os; os.setuid(0)", "PermissionError"),
    "programs that make root": (
        "import subprocess; subprocess.run(['/usr/bin/su', '-c', 'true'], check=True, capture_output=True)",
        None,
    ),
    "a device of its own": ("import os; os.mknod('sda', 0o60666, os.makedev(8, 0))", "PermissionError"),
    "a terminal": ("open('/dev/tty')", "FileNotFoundError"),
    "raw packets": ("import socket; socket.socket(2, 3, 1)", "PermissionError"),
    "routes": ("import socket; socket.socket(16, 3, 0)", "PermissionError"),
    "waits for what it is told": ("input()", "EOFError"),
    "reads a pipe that nobody writes": ("import os; os.mkfifo('f'); open('f').read()", "took too long"),
    "locks itself": (
        "import fcntl, os\nopen('l', 'w')\nif os.fork() == 0:\n    f = open('l'); fcntl.flock(f, 2)\n"
        "    while True: os.sched_yield()\nimport time; time.sleep(0.1)\nfcntl.flock(open('l'), 2)",
        "took too long",
    ),
    "fills its own answer": ("import os\nwhile True: os.write(3, b'x' * 65536)", "took too long"),
    "guesses what passes": ("import os; os.write(3, os.urandom(16)); os._exit(0)", "ended before its tests did"),
    "a daemon that works on": (
        "import os\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n        while True: pass\n"
        "    os._exit(0)\n1 / 0",
        "ZeroDivisionError",
    ),
    "a name that never ends": (
        "class M(type):\n    @property\n    def __name__(self):\n        while True: pass\n"
        "class E(Exception, metaclass=M): pass\nraise E",
        "took too long",
    ),
    "a name that is none": (
        "class M(type):\n    __name__ = [1] * 10**6\nclass E(Exception, metaclass=M): pass\nraise E",
        "said nothing sensible",
    ),
    "bytes that are no text": (
        "import os; os.write(1, b'\\xff\\xfe\\0' * 999)\nraise type('E\\N{BELL}\\r\\n', (Exception,), {})",
        "E\N{BELL}\r\n",
    ),
    "deeper than the stack": (
        "import sys; sys.setrecursionlimit(10**8)\nclass A:\n    def __repr__(self): return repr(self)\nrepr(A())",
        None,
    ),
    "collects for ever": ("import gc\ngc.callbacks.append(lambda *a: [0 for _ in iter(int, 1)])\ngc.collect()", None),
    "ends by a watchdog": (
        "import faulthandler\nfaulthandler.dump_traceback_later(0.05, exit=True, file=open('x', 'w'))\n"
        "while True: pass",
        "ended before its tests did",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(worker, name):
    check_hostile(worker, *HOSTILE[name], LIMITS)


def test_nothing_stays_in_shared_memory(worker):
    leave = "from multiprocessing import shared_memory\ns = shared_memory.SharedMemory('left', create=True, size=9)"
    assert run(worker, f"{leave}\nimport os; os.kill(os.getpid(), 9)").error == "ended by SIGKILL"
    assert run(worker, "import os; assert os.listdir('/dev/shm') == []").passed


def test_threads_that_never_end_do_not_keep_a_verdict(worker):
    begun = time.monotonic()
    program = "import threading, time\nthreading.Thread(target=time.sleep, args=(10**6,)).start()\ndef f(): return 1"
    assert run(worker, program, "assert f() == 1") == Outcome(True)
    assert run(worker, program.replace("return 1", "return 2"), "assert f() == 1").error == "AssertionError"
    assert time.monotonic() - begun < LIMITS.wall
