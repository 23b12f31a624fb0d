"""What tests of the sandbox share: a sandbox that is closed off, and what they ask of it."""

import time

import pytest

from divfast.sandbox.ways import why_not
from divfast.sandbox.worker import Outcome, Worker, _children

CLOSED = ("bwrap", "namespaces")


def kept(way, limits):
    """Yield a sandbox, the same one for many programs; skip where it does not work."""
    if reason := why_not(way):
        pytest.skip(f"{way}: {reason}")
    worker = Worker(way, limits, 7)
    yield worker
    worker.stop()


def run(worker, program, tests="ok = 1"):
    return worker.run([("program", program), ("tests", tests)])


def processes(worker):
    """Return the processes in a sandbox, as the host sees them."""
    found = []
    ahead = _children(worker._process.pid)
    while ahead:
        found.append(ahead.pop())
        ahead += _children(found[-1])
    return found


def check_hostile(worker, program, error, limits):
    """A program does not pass, in time; what it did has no bearing on the next, which also finds an empty folder."""
    begun = time.monotonic()
    outcome = run(worker, program)
    assert not outcome.passed
    assert outcome.error
    assert error is None or outcome.error == error
    assert time.monotonic() - begun < limits.wall + 30
    after = run(
        worker, "import os\nassert os.listdir('.') == [] and os.getcwd() == '/tmp'\nopen('a', 'w').write('b')"
    )
    assert after == Outcome(True)
    assert len(processes(worker)) == 1
