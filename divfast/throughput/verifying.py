"""A case of verdicts by execution: real programs of a model, beside a fresh interpreter for each of them."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from divfast import engine
from divfast.errors import BackendError
from divfast.throughput import inputs
from divfast.throughput.case import Absent, Case, Goal, Implementation, Place, Prepared

_DUMP = "humaneval__codegen-16b-mono@T0.8.jsonl.gz"
# Programs that loop for ever take as long on both sides, so the less the better.
_SECONDS = 1
# What a harness that starts an interpreter does in it: the limit, and a run that shows whether all was reached.
_FRESH = (
    f"import resource, sys; resource.setrlimit(resource.RLIMIT_CPU, ({_SECONDS}, {_SECONDS})); "
    "exec(compile(sys.stdin.read(), '<program>', 'exec'), {'__name__': 'program'})"
)


def _dump(place: Place, prompts: int) -> Path:
    """Return a dump of the programs in the samples of so many prompts, with their tests."""
    from divfast.quality import code
    from divfast.quality.verifiers import Question, Settings

    path = place.scratch / f"humaneval-{prompts}.jsonl"
    if not path.exists():
        step = max(1, 164 // prompts)
        with path.open("w", encoding="utf-8") as file:
            for record in inputs.records(inputs.dump(place, "codet", _DUMP))[::step][:prompts]:
                question = Question(record["outputs"], {}, prompt=record["prompt"])
                record["programs"] = code.programs(question, Settings())
                file.write(json.dumps(record) + "\n")
    return path


def _verdicts(given: list[list[bool]], records: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the verdicts that must agree: a fresh interpreter may spend all its time on loading a package."""
    from divfast.sandbox.packages import modules_for

    loading = [
        [modules_for([("program", text), ("tests", record["tests"])]) != () for text in record["programs"]]
        for record in records
    ]
    return {"verdicts": np.where(np.array(loading), np.nan, np.array(given, np.float64))}


def _divfast(place: Place, *, prompts: int) -> Prepared:
    from divfast.quality.verified import verify
    from divfast.sandbox.ways import find_way

    path, output = _dump(place, prompts), place.scratch / "verified.jsonl"
    try:
        find_way()
    except BackendError as error:
        raise Absent(error.what) from None

    return Prepared(
        lambda: verify(path, "code", output, limit=_SECONDS, allow_code_execution=True),
        lambda _: _verdicts([record["correct"] for record in inputs.records(output)], inputs.records(path)),
        {"programs": 100 * prompts},
    )


def _fresh_interpreters(place: Place, *, prompts: int) -> Prepared:
    records = inputs.records(_dump(place, prompts))
    programs = [
        [f"{program}\n{record['tests']}\ncheck({record['entry_point']})" for program in record["programs"]]
        for record in records
    ]

    def passes(program: str) -> bool:
        done = subprocess.run(
            [sys.executable, "-c", _FRESH],
            input=program.encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return done.returncode == 0

    def run() -> list[list[bool]]:
        with ThreadPoolExecutor(engine.threads()) as pool:
            return [list(pool.map(passes, some)) for some in programs]

    return Prepared(run, lambda found: _verdicts(found, records), {"programs": 100 * prompts})


CASES = (
    Case(
        "verify-code",
        "verdicts on real HumanEval programs, 100 a prompt, in a sandbox; the peer starts an interpreter for each",
        ({"prompts": 20}, {"prompts": 164}),
        {"prompts": 4},
        (Implementation("divfast", _divfast), Implementation("fresh-interpreter", _fresh_interpreters)),
        goal=Goal(ratio=5),
    ),
)
