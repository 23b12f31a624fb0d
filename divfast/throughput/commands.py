"""Cases of the real command line, each run a fresh process, start-up included."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.throughput import inputs
from divfast.throughput.case import Case, Finished, Goal, Implementation, Place, Prepared, Tolerance
from divfast.throughput.peers import paper_code

# Starts a command and waits for it. A process this small leaves no mark on the peak of its child, which would
# otherwise begin with what its parent holds.
_LAUNCHER = """
import json, os, sys, time
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
start = time.perf_counter()
child = os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, out, 1)])
_, status, used = os.wait4(child, 0)
seconds = time.perf_counter() - start
print(json.dumps([seconds, used.ru_maxrss, os.waitstatus_to_exitcode(status)]))
"""
_KILOBYTE = 1 if sys.platform == "darwin" else 1 << 10


def _divfast() -> list[str]:
    """Return the command line of this installation."""
    script = Path(sys.executable).with_name("divfast")
    return [str(script)] if script.exists() else [sys.executable, "-P", "-m", "divfast"]


def _launch(words: Sequence[str], output: Path) -> Finished:
    command = [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(output), *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds, peak, status = json.loads(done.stdout)
    if status != 0:
        raise RuntimeError(f"divfast ended with {status}")
    return Finished(seconds, peak * _KILOBYTE, output)


def _dumps(place: Place, name: str, files: int | None) -> Path:
    return inputs.folder(place, name) if files is None else inputs.copied(place, name, files)


def _score(place: Place, *, dumps: str, files: int | None = None) -> Prepared:
    pattern = str(_dumps(place, dumps, files) / "*.jsonl.gz")
    output = place.scratch / "report.json"
    scopes = [word for scope in ("prompt", "first", "pooled") for word in ("--scope", scope)]
    command = [*_divfast(), "score", pattern, "-m", "ead", "-m", "distinct", *scopes, "--format", "json"]
    as_paper = [
        *_divfast(),
        "score",
        pattern,
        "-m",
        "ead",
        "--scope",
        "prompt",
        "--preset",
        "paper",
        "--format",
        "json",
    ]

    def values(finished: Finished) -> dict[str, NDArray[np.float64]]:
        results = json.loads(finished.output.read_text("utf-8"))["results"]
        count = len(list(Path(pattern).parent.glob("*.jsonl.gz")))
        if len(results) != 6 * count or any(result["value"] is None for result in results):
            raise RuntimeError(f"expected {6 * count} values, got {len(results)}")
        # The default preset is not the paper's; what is compared is the same command under the paper's.
        checked = json.loads(_launch(as_paper, output).output.read_text("utf-8"))["results"]
        return {"EAD of dumps": np.sort([result["value"] for result in checked])}

    return Prepared(lambda: _launch(command, output), values)


def _score_paper(place: Place, *, dumps: str, files: int | None = None) -> Prepared:
    module, versions = paper_code(place)
    calculator = module.EADDiversityCalculator((1, 2, 3, 4, 5))
    paths = sorted(_dumps(place, dumps, files).glob("*.jsonl.gz"))
    return Prepared(
        lambda: [np.mean(calculator.per_input(inputs.dump_texts(path))) for path in paths],
        lambda means: {"EAD of dumps": np.sort(means)},
        versions=versions,
    )


def _help(place: Place) -> Prepared:
    output = place.scratch / "help.txt"
    command = [*_divfast(), "--help"]

    def values(finished: Finished) -> dict[str, NDArray[np.float64]]:
        if "score" not in finished.output.read_text("utf-8"):
            raise RuntimeError("the help does not name its commands")
        return {}

    return Prepared(lambda: _launch(command, output), values)


def _bare_python(place: Place) -> Prepared:
    command = [sys.executable, "-c", "pass"]
    return Prepared(lambda: _launch(command, place.scratch / "nothing.txt"), lambda finished: {})


_NO_SIZE: dict[str, Any] = {}

CASES = (
    Case(
        "score",
        "divfast score -m ead -m distinct in all scopes; the peer does EAD of every prompt alone",
        ({"dumps": "cruxeval"},),
        {"dumps": "cruxeval", "files": 2},
        (
            Implementation("divfast", _score, ("numpy", "pyarrow", "click")),
            Implementation("paper", _score_paper, ("torch", "transformers")),
        ),
        Tolerance(relative=1e-9),
        Goal(seconds=3.0, peak=1e9),
    ),
    Case(
        "help",
        "divfast --help, and Python that does nothing",
        (_NO_SIZE,),
        _NO_SIZE,
        (Implementation("divfast", _help, ("click",)), Implementation("python", _bare_python)),
        goal=Goal(seconds=0.3),
    ),
)
