"""Limits hold for all processes of a program together, and for what no process is charged with."""

import time

import pytest

from divfast.sandbox.ways import Limits
from divfast.sandbox.worker import Outcome
from sandboxes import CLOSED, kept

LIMITS = Limits(seconds=0.5, memory=256 << 20, processes=16)


@pytest.fixture(scope="module", params=CLOSED)
def worker(request):
    yield from kept(request.param, LIMITS)


def burning(seconds, turns):
    """Return a program that lets a child after the other take processor time, and waits for each."""
    return (
        f"import os, time\nfor _ in range({turns}):\n    if os.fork() == 0:\n"
        f"        while time.process_time() < {seconds}: pass\n        os._exit(0)\n    os.wait()\n"
    )


def test_time_of_children_that_are_waited_for_counts(worker):
    start = time.monotonic()
    assert worker.run([("program", burning(0.1, 200))]) == Outcome(False, "took too long")
    assert time.monotonic() - start < 15
    # Less than is looked for from outside, so it is seen at the end.
    assert worker.run([("program", burning(0.1, 10))]) == Outcome(False, "took too long")
    assert worker.run([("program", burning(0.1, 2))]) == Outcome(True)


def test_memory_that_processes_could_share_counts(worker):
    program = (
        "import mmap, os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        m = mmap.mmap(-1, 100 << 20)\n"
        "        for i in range(0, 100 << 20, 4096): m[i] = 1\n        time.sleep(9)\ntime.sleep(9)"
    )
    assert worker.run([("program", program)]) == Outcome(False, "took too much memory")
    assert worker.run([("program", "x = bytearray(100 << 20)")]) == Outcome(True)


def test_the_rooms_of_sockets_stay_small(worker):
    program = "import socket\na, b = socket.socketpair()\nb.setsockopt(socket.SOL_SOCKET, socket.{}, 1 << 20)"
    for name in ("SO_SNDBUF", "SO_RCVBUF"):
        assert worker.run([("program", program.format(name))]) == Outcome(False, "PermissionError", 0)
    assert worker.run([("program", program.format("SO_REUSEADDR").replace("1 << 20", "1"))]) == Outcome(True)


def test_files_without_content_are_counted(worker):
    """An inode takes memory of the kernel, and a link, a folder or an empty file is one."""
    program = "import os\ni = 0\nwhile True:\n    os.symlink('x', str(i))\n    i += 1"
    ended = worker.run([("program", program)])
    assert ended in (Outcome(False, "took too many files"), Outcome(False, "OSError", 0))
    assert worker.run([("program", "import os; assert os.listdir('.') == []")]) == Outcome(True)
