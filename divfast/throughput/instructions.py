"""A case of verdicts on instructions: real samples of IFEval, beside the published tests as lm-eval carries them."""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import env
from divfast.throughput import inputs
from divfast.throughput.case import Absent, Case, Goal, Implementation, Place, Prepared

_DUMP = "ifeval_en_pool__17-models.jsonl.gz"
# The published tests draw at random when they tell languages, and count sentences with a trained model.
_NOT_COMPARED = ("change_case:english_", "language:", "length_constraints:number_sentences")
_NAMES = ("inst_strict", "inst_loose")


def _dump(place: Place, prompts: int) -> Path:
    """Return a dump of so many prompts, with all their samples and instructions."""
    path = place.scratch / f"ifeval-{prompts}.jsonl"
    if not path.exists():
        every = inputs.records(inputs.dump(place, "ifeval", _DUMP))
        taken = every[:: max(1, len(every) // prompts)][:prompts]
        path.write_text("".join(json.dumps(record) + "\n" for record in taken), encoding="utf-8")
    return path


def _compared(
    records: Sequence[Mapping[str, Any]], found: Sequence[Mapping[str, Any]]
) -> dict[str, NDArray[Any]]:
    """Return the verdicts on every instruction of a kind that has one right answer."""
    values: dict[str, list[bool]] = {name: [] for name in _NAMES}
    for record, said in zip(records, found, strict=True):
        for at, kind in enumerate(record["tests"]["instruction_id_list"]):
            if not kind.removeprefix("en:").startswith(_NOT_COMPARED) and not _is_drawn(record, at):
                for name in _NAMES:
                    values[name] += [sample[at] for sample in said[name]]
    return {name: np.array(verdicts, np.float64) for name, verdicts in values.items()}


def _is_drawn(record: Mapping[str, Any], at: int) -> bool:
    # In place of a sign, the published test counts a letter that it draws.
    letter = (record["tests"]["kwargs"][at] or {}).get("letter")
    return letter is not None and not letter.isalpha()


def _divfast(place: Place, *, prompts: int) -> Prepared:
    from divfast.quality import ifeval
    from divfast.quality.verified import verify
    from divfast.quality.verifiers import Settings

    path, output = _dump(place, prompts), place.scratch / "verified.jsonl"
    ifeval.check(Settings())
    records = inputs.records(path)
    return Prepared(
        lambda: verify(path, "ifeval", output),
        lambda _: _compared(records, inputs.records(output)),
        {"samples": sum(len(record["outputs"]) for record in records)},
    )


def _published(place: Place, *, prompts: int) -> Prepared:
    path = _dump(place, prompts)
    process = _published_tests()

    def run() -> list[dict[str, Any]]:
        found = []
        for record in inputs.records(path):
            tests = record["tests"]
            # They want an object for every instruction, and the prompt beside them.
            names = [name.removeprefix("en:") for name in tests["instruction_id_list"]]
            doc = {"key": 0, "prompt": record["prompt"], "instruction_id_list": names}
            doc["kwargs"] = [one or {} for one in tests["kwargs"]]
            said = [process(doc, [text]) for text in record["outputs"]]
            found.append(
                {
                    f"inst_{rule}": [one[f"inst_level_{rule}_acc"] for one in said]
                    for rule in ("strict", "loose")
                }
            )
        return found

    records = inputs.records(path)
    return Prepared(
        run,
        lambda found: _compared(records, found),
        {"samples": sum(len(record["outputs"]) for record in records)},
    )


def _published_tests() -> Callable[[Mapping[str, Any], Sequence[str]], dict[str, Any]]:
    """Return lm-eval's function that judges one sample, without what its package loads besides."""
    folder = env.peer_ifeval()
    tests = None if folder is None else folder / "lm_eval" / "tasks" / "ifeval"
    if folder is None or tests is None or not tests.is_dir():
        raise Absent(
            "DIVFAST_PEER_IFEVAL names no folder with lm-eval, langdetect, immutabledict and nltk_data"
        )
    sys.path.append(str(folder))
    for name in ("lm_eval", "lm_eval.tasks", "lm_eval.tasks.ifeval"):
        module = types.ModuleType(name)
        module.__path__ = [str(folder / name.replace(".", "/"))]
        sys.modules[name] = module
    try:
        import nltk

        nltk.data.path.append(str(folder / "nltk_data"))
        nltk.data.find("tokenizers/punkt_tab")
        found: Any = importlib.import_module("lm_eval.tasks.ifeval.utils")
    except (ImportError, LookupError) as error:
        raise Absent(
            f"lm-eval's tests of IFEval cannot be loaded: {str(error).strip().splitlines()[0]}"
        ) from None
    judge: Callable[[Mapping[str, Any], Sequence[str]], dict[str, Any]] = found.process_results
    return judge


CASES = (
    Case(
        "verify-ifeval",
        "strict and loose verdicts on every instruction of real samples of IFEval, 17 a prompt, and a dump written",
        ({"prompts": 135}, {"prompts": 541}),
        {"prompts": 12},
        (
            Implementation("divfast", _divfast, ("py3langid",)),
            Implementation("lm-eval", _published, ("nltk",)),
        ),
        goal=Goal(ratio=1),
    ),
)
