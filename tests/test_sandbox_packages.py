"""Programs that import packages that are slow to load find them loaded, and otherwise run as all others do."""

import pytest

from divfast import engine
from divfast.sandbox.packages import modules_for
from divfast.sandbox.pool import Sandboxes
from divfast.sandbox.ways import Limits, why_not
from divfast.sandbox.worker import Outcome
from sandboxes import CLOSED

# Less than it takes to load torch.
LIMITS = Limits(seconds=0.4)


@pytest.fixture(params=CLOSED)
def sandboxes(request):
    """All sandboxes of one thread."""
    if reason := why_not(request.param):
        pytest.skip(f"{request.param}: {reason}")
    with engine.use_threads(1), Sandboxes(request.param, LIMITS) as sandboxes:
        yield sandboxes


def run(sandboxes, *programs):
    return sandboxes.submit([[("program", program)] for program in programs]).result()


@pytest.mark.parametrize(
    ("program", "modules"),
    [
        ("import numpy as np", ("numpy",)),
        ("def f():\n\tfrom scipy.linalg import inv\n", ("networkx", "scipy.stats", "sympy")),
        ("import os, re, sympy", ("networkx", "scipy.stats", "sympy")),
        ("import numpy\nimport torch.nn as nn", ("torch",)),
        ("from torch import nn  # no numpy", ("torch",)),
        ("import pandas", ()),
        ("import pandas, numpy", ("numpy",)),
        ("import math  # not numpy", ()),
        ("x = 'import numpy'", ()),
        ("import numpy_financial, my.torchlike", ()),
        ("important = numpy", ()),
        ("", ()),
    ],
)  # fmt: skip
def test_the_modules_of_a_program(program, modules, monkeypatch):
    installed = {"numpy", "scipy", "sympy", "networkx", "torch"}
    monkeypatch.setattr("divfast.sandbox.packages._installed", installed.__contains__)
    assert modules_for([("program", program)]) == modules
    assert modules_for([("program", ""), ("tests", program)]) == modules
    assert modules_for([("expression", program)]) == ()


def test_the_time_it_takes_to_load_a_package_is_not_the_programs(sandboxes):
    pytest.importorskip("torch")
    add = "import torch\nassert (torch.ones(2) + 1).sum() == 4\n"
    found = run(sandboxes, add, add + "while True: pass", add + "import os; os.kill(-1, 9)", add)
    late, alone = Outcome(False, "took too long"), Outcome(False, "ProcessLookupError", 0)
    assert found == [Outcome(True), late, alone, Outcome(True)]


def test_what_is_loaded_does_not_depend_on_the_programs_before(sandboxes):
    look = "import sys\nassert not {'numpy', 'scipy', 'torch'} & set(sys.modules)"
    also = "import numpy\nimport sys\nassert not {'scipy', 'torch'} & set(sys.modules)"
    pytest.importorskip("torch")
    assert run(sandboxes, "import torch", look, "import scipy.stats", also, look) == [Outcome(True)] * 5
    kept = sandboxes._all[0]._workers
    assert len({one._number for one in kept.values()}) == len(kept) == 4


def test_random_numbers_of_numpy_are_the_same_every_time(sandboxes):
    program = "import numpy as np\nraise type(repr(np.random.rand()), (Exception,), {})"
    first, second = run(sandboxes, program, program)
    sandboxes._all[0].stop()
    with Sandboxes(sandboxes.way, LIMITS) as others:
        assert first.error == second.error == run(others, program)[0].error
