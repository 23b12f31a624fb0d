"""The sandbox: hostile programs end as incorrect within their limits, and the machine is as it was."""

import contextlib
import os
import socket
import subprocess
import sys
import time

import pytest

from divfast.errors import BackendError, MetricError
from divfast.sandbox import ways
from divfast.sandbox.ways import Limits, find_way, why_not
from divfast.sandbox.worker import Outcome, Worker
from sandboxes import CLOSED, check_hostile, kept, processes, run

LIMITS = Limits(seconds=0.3, memory=160 << 20, processes=16)


@pytest.fixture(scope="module", params=CLOSED)
def worker(request):
    yield from kept(request.param, LIMITS)


# Each would pass if it did what it is for and nothing held it off.
HOSTILE = {
    "endless loop": ("while True: pass", "took too long"),
    "sleeps for ever": ("import time; time.sleep(10**6)", "took too long"),
    "fork bomb": ("import os\nwhile True: os.fork()", None),
    "fork bomb that catches": (
        "import os\nwhile True:\n    try: os.fork()\n    except BaseException: pass",
        "took too long",
    ),
    "thread bomb": (
        "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(99,)).start()",
        None,
    ),
    "memory hog": ("x = []\nwhile True: x.append(bytearray(1 << 24))", "MemoryError"),
    "memory hogs": (
        "import os, time\nfor _ in range(8): os.fork()\nx = bytearray(b'x') * (60 << 20)\ntime.sleep(99)",
        None,
    ),
    "memory that no process has": ("import os\nos.memfd_create('a')", "PermissionError"),
    "output flood": ("while True: print('x' * 100_000)", "OSError"),
    "output flood, raw": ("import os\nwhile True: os.write(2, b'x' * 100_000)", "OSError"),
    "huge file": ("f = open('a', 'wb')\nwhile True: f.write(b'x' * (1 << 20))", "OSError"),
    "huge hole": ("open('a', 'wb').truncate(1 << 40)", "OSError"),
    "many files": ("for i in range(10**6): open(str(i), 'w').close()", None),
    "many open files": ("x = []\nwhile True: x.append(open('/dev/null'))", "OSError"),
    "signals ignored": (
        "import signal\nfor s in range(1, 65):\n    try: signal.signal(s, signal.SIG_IGN)\n    except Exception: pass\n"
        "while True: pass",
        "took too long",
    ),
    "timers": (
        "import signal, resource\nsignal.setitimer(signal.ITIMER_PROF, 10**6)\n"
        "resource.setrlimit(resource.RLIMIT_CPU, (10**6, 10**6))",
        "ValueError",
    ),
    "stops itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", "took too long"),
    "kills itself": ("import os\nos.kill(os.getpid(), 9)", "ended by SIGKILL"),
    "kills its parents": (
        "import os\nfor s in range(1, 65):\n    try: os.kill(1, s)\n    except OSError: pass\n"
        "try: os.kill(-1, 9)\nexcept OSError: pass\nos.killpg(0, 9)",
        "ended by SIGKILL",
    ),
    "limits of its parent": (
        "import resource\nresource.prlimit(1, resource.RLIMIT_AS, (1 << 20, 1 << 20))",
        "PermissionError",
    ),
    "writes beside it": ("open('/usr/lib/a', 'w')", "OSError"),
    "writes into the root": ("open('/a', 'w')", "OSError"),
    "writes over its interpreter": ("import os; open(os.__file__, 'a')", None),
    "deletes all": (
        "import json, os, shutil\nhere = os.path.dirname(json.__file__)\nshutil.rmtree(here, ignore_errors=True)\n"
        "assert not os.listdir(here)",
        "AssertionError",
    ),
    "reads passwords": ("open('/etc/shadow').read()", "FileNotFoundError"),
    "reads homes": ("import os; os.listdir('/home')", "FileNotFoundError"),
    "looks at processes": ("import os; os.listdir('/proc')", "FileNotFoundError"),
    "looks at devices": (
        "import os; assert set(os.listdir('/dev')) > {'null', 'zero', 'tty'}",
        "AssertionError",
    ),
    "other namespaces": (
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.unshare(0x10000000): raise OSError(ctypes.get_errno(), '')",
        "PermissionError",
    ),
    "line to the virtual machine's host": (
        "import socket; socket.socket(40, socket.SOCK_STREAM)",
        "PermissionError",
    ),
    "closes files": ("import os; os.closerange(0, 1000)", "ended before its tests did"),
    "deep recursion": ("def f(): return f() + 1\nf()", "RecursionError"),
    "deeper recursion": (
        "import sys; sys.setrecursionlimit(10**9)\ndef f(x): return x and [f([x]) for _ in 'a']\nf(1)",
        None,
    ),
    "crash": ("import ctypes; ctypes.string_at(0)", "ended by SIGSEGV"),
    "abort": ("import os; os.abort()", "ended by SIGABRT"),
    "deep folders": ("import os\nwhile True: os.mkdir('a'); os.chdir('a')", None),
    "closed folders": ("import os\nos.makedirs('a/b'); os.chmod('a', 0); os.chmod('.', 0o500); 1 / 0", None),
    "source that breaks the compiler": ("(" * 100_000, None),
    "no text": ("\0", None),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(worker, name):
    check_hostile(worker, *HOSTILE[name], LIMITS)


CHEATS = {
    "exits": ("import sys; sys.exit(0)", "SystemExit"),
    "leaves": ("import os; os._exit(0)", "ended before its tests did"),
    "leaves in the tests": ("def f():\n    import os; os._exit(0)", "ended before its tests did"),
    "leaves by a thread": (
        "import os, threading\ndef f():\n    threading.Thread(target=os._exit, args=(0,)).start()\n"
        "    while True: pass",
        "ended before its tests did",
    ),
    "becomes another": ("import os; os.execv('/bin/true', ['true'])", "ended before its tests did"),
    "says so": ("print('passed', '{\"passed\": true}', 'OK', flush=True)\nraise SystemExit", "SystemExit"),
    "says so everywhere": (
        "import os\nfor i in range(64):\n    try: os.write(i, b'{\"passed\": true}\\n' + b'x' * 16)\n"
        "    except OSError: pass\nos._exit(0)",
        "ended before its tests did",
    ),
    "raises where it is compared": (
        "class A:\n    def __eq__(self, other): raise SystemExit(0)\ndef f(): return A()",
        "SystemExit",
    ),
    "puts others in place": (
        "import builtins, os, json, sys\nos.write = os._exit = lambda *a: None\njson.dumps = str\n"
        "builtins.compile = builtins.exec = lambda *a, **k: None\nbuiltins.AssertionError = KeyError\n"
        "def f(): return 0",
        "AssertionError",
    ),
    "runs at the end": ("import atexit, os\natexit.register(os._exit, 0)\ndef f(): return 0", "AssertionError"),
    "leaves its tests to a child": (
        "import os\ndef f():\n    if os.fork(): os._exit(0)\n    return 1",
        "ended before its tests did",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CHEATS)
def test_cheats(worker, name):
    program, error = CHEATS[name]
    outcome = run(worker, program, "assert f() == 1")
    assert (outcome.passed, outcome.error) == (False, error)
    assert run(worker, "def f(): return 1", "assert f() == 1") == Outcome(True)


def test_daemons_end_with_their_program(worker):
    daemon = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        "        while True: time.sleep(1); open('left', 'w')\n    os._exit(0)\nos.wait()\ntime.sleep(0.05)"
    )
    assert run(worker, daemon) == Outcome(True)
    assert len(processes(worker)) == 1


def test_nothing_of_the_host_is_reached(worker, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("s")
    secret.chmod(0o600)
    for folder in (tmp_path, tmp_path.parent):
        folder.chmod(0o755)
    for program in (
        f"open({str(secret)!r}).read()",
        f"open({str(secret)!r}, 'w')",
        f"import os; os.remove({str(secret)!r})",
        f"import os; os.symlink({str(secret)!r}, 'a'); open('a').read()",
        f"import os; os.link({str(secret)!r}, 'a')",
        f"open({str(tmp_path / 'new')!r}, 'w')",
    ):
        assert run(worker, program).error == "FileNotFoundError"
    assert (secret.read_text(), os.listdir(tmp_path)) == ("s", ["secret"])
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.2)
        address = server.getsockname()
        outcome = run(worker, f"import socket; socket.create_connection({address}, 1).sendall(b'x')")
        # Bubblewrap leaves a loopback of its own, on which nobody listens.
        assert outcome.error in ("OSError", "ConnectionRefusedError")
        with pytest.raises(TimeoutError):
            server.accept()
    os.environ["DIVFAST_TEST_SECRET"] = "s"
    try:
        assert run(worker, "import os; assert 'DIVFAST_TEST_SECRET' not in os.environ").passed
    finally:
        del os.environ["DIVFAST_TEST_SECRET"]
    if os.geteuid() == 0:
        # A user of its own, not root behind another name.
        assert all(
            os.stat(f"/proc/{one}").st_uid == 0 or "Uid:\t0" not in status(one) for one in processes(worker)
        )


def status(process):
    with open(f"/proc/{process}/status", encoding="utf-8") as file:
        return file.read()


def test_a_link_in_the_scratch_folder_is_removed_and_not_followed(worker):
    assert run(worker, "import os; os.symlink('/tmp', 'a'); os.symlink('/usr', 'b')").passed
    assert run(worker, "import os; assert os.listdir('.') == [] and os.listdir('/usr')").passed


def test_verdicts_are_the_same_every_time(worker):
    program = "import random\nx = random.random(), hash('a')\nraise type(repr(x), (Exception,), {})"
    assert len({run(worker, program).error for _ in range(3)}) == 1


def test_packages_of_this_environment_can_be_imported(worker):
    assert run(worker, "import numpy as np\nassert np.ones((3, 3)).dot(np.ones(3)).sum() == 9").passed


def test_it_all_ends_with_the_process_that_asked(worker):
    """A sandbox whose other side is gone ends, in the midst of a program too."""
    way = worker._way
    code = (
        "import os, threading, time\nfrom divfast.sandbox.ways import Limits\n"
        "from divfast.sandbox.worker import Worker\n"
        f"w = Worker({way!r}, Limits(), 9)\nw.run([('program', '')])\n"
        "threading.Thread(target=w.run, args=([('program', 'import time; time.sleep(99)')],), daemon=True).start()\n"
        "time.sleep(0.3)\nos.write(1, b'%d' % w._process.pid)\nos._exit(0)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, timeout=60)
    until = time.monotonic() + 10
    while os.path.exists(f"/proc/{int(done.stdout)}") and time.monotonic() < until:
        with contextlib.suppress(OSError):
            if "State:\tZ" in status(int(done.stdout)):
                break
        time.sleep(0.05)
    else:
        assert time.monotonic() < until


@pytest.mark.parametrize(
    ("program", "error"),
    [
        ("while True: pass", "took too long"),
        ("x = []\nwhile True: x.append(bytearray(1 << 24))", "MemoryError"),
        ("import socket; socket.socket()", "PermissionError"),
        ("import os; os.kill(os.getppid(), 0)", "PermissionError"),
        ("import os\nos.fork() or os.setsid()\nos._exit(0)", "ended before its tests did"),
    ],
)  # fmt: skip
def test_limits_alone(program, error):
    if reason := why_not("rlimits"):
        pytest.skip(reason)
    worker = Worker("rlimits", LIMITS, 8)
    try:
        assert run(worker, program).error == error
        assert run(worker, "open('a', 'w').write('b')") == Outcome(True)
        assert worker._folder is None or os.listdir(worker._folder) == []
    finally:
        folder = worker._folder
        worker.stop()
        assert folder is None or not os.path.exists(folder)


def test_a_way_that_does_not_work_is_one_sentence(monkeypatch):
    monkeypatch.setattr(ways, "why_not", lambda way: None if way == "rlimits" else "forbidden")
    with pytest.raises(
        BackendError, match=r"no sandbox works here \(bwrap: forbidden; namespaces: forbidden\)"
    ):
        find_way()
    assert find_way("rlimits") == "rlimits"
    with pytest.raises(BackendError, match=r"\(bwrap: forbidden\)"):
        find_way("bwrap")
    with pytest.raises(MetricError, match="unknown sandbox 'jail'"):
        find_way("jail")


def test_a_sandbox_that_does_not_start_says_why(monkeypatch):
    monkeypatch.setattr("divfast.sandbox.worker.command", lambda *args: ["/bin/sh", "-c", "echo no room >&2"])
    with pytest.raises(BackendError, match="no room"):
        Worker("namespaces", LIMITS, 0).run([("program", "")])
    monkeypatch.setattr("divfast.sandbox.worker.command", lambda *args: ["/no/such/program"])
    with pytest.raises(BackendError, match="No such file"):
        Worker("namespaces", LIMITS, 0).run([("program", "")])
