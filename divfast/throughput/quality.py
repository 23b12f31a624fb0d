"""Cases of verdicts: a dump on disk to a dump with a verdict on every sample, beside the parser by itself."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np

from divfast.throughput.case import Absent, Case, Implementation, Place, Prepared

_ANSWERS = (r"\frac{{{0}}}{{7}}", "{0}", r"{0}\sqrt{{3}}", "{0}.50", r"\{{{0}, 2\}}", "({0}, 9]", r"{0}x + 1")


def _dump(place: Place, prompts: int, samples: int) -> Path:
    """Return a dump whose samples give answers in a box, some of them right, some of them alike."""
    path = place.scratch / f"math-{prompts}x{samples}.jsonl"
    if not path.exists():
        random = np.random.default_rng(0)
        with path.open("w", encoding="utf-8") as file:
            for i in range(prompts):
                form, gold = _ANSWERS[i % len(_ANSWERS)], int(random.integers(1, 400))
                found = gold + random.integers(0, 3, samples)
                texts = [
                    f"We have {j} steps, so the answer is \\boxed{{{form.format(value)}}}."
                    for j, value in enumerate(found.tolist())
                ]
                file.write(json.dumps({"id": str(i), "outputs": texts, "gold": form.format(gold)}) + "\n")
    return path


def _divfast(place: Place, **size: Any) -> Prepared:
    from divfast.quality.verified import verify

    path, output = _dump(place, **size), place.scratch / "verified.jsonl"
    _needs_parser()

    def verdicts(_: Any) -> dict[str, Any]:
        lines = output.read_text(encoding="utf-8").splitlines()
        return {"verdicts": np.array([json.loads(line)["correct"] for line in lines], np.float64)}

    return Prepared(lambda: verify(path, "math", output), verdicts, _work(size))


def _math_verify(place: Place, **size: Any) -> Prepared:
    path = _dump(place, **size)
    _needs_parser()
    from math_verify import parse, verify

    def run() -> list[list[bool]]:
        found = []
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            gold = parse(f"${record['gold']}$", parsing_timeout=None)
            answers = [parse(text, parsing_timeout=None) for text in record["outputs"]]
            found.append([bool(verify(gold, answer, timeout_seconds=None)) for answer in answers])
        return found

    return Prepared(run, lambda found: {"verdicts": np.array(found, np.float64)}, _work(size))


def _needs_parser() -> None:
    if importlib.util.find_spec("math_verify") is None:
        raise Absent("math-verify is not installed")


def _work(size: dict[str, Any]) -> dict[str, float]:
    return {"samples": size["prompts"] * size["samples"]}


CASES = (
    Case(
        "verify-math",
        "verdicts of Math-Verify on every sample of a dump, processes started and a dump written",
        ({"prompts": 500, "samples": 16}, {"prompts": 2000, "samples": 16}),
        {"prompts": 14, "samples": 8},
        (
            Implementation("divfast", _divfast, ("math-verify",)),
            Implementation("math-verify", _math_verify, ("math-verify",)),
        ),
    ),
)
