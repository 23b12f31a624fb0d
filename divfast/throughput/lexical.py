"""Cases of metrics over tokens: from texts in memory to scores, tokenisation included."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import divfast
from divfast.throughput import inputs
from divfast.throughput.case import Case, Goal, Implementation, Place, Prepared, Tolerance
from divfast.throughput.peers import paper_code

_PACKAGES = ("numpy", "pyarrow")
_ORDERS = (1, 2, 3, 4, 5)


def _texts(
    place: Place, *, text: str, prompts: int, samples: int, words: int | None = None
) -> list[list[str]]:
    if text == "zipf":
        assert words is not None
        return list(inputs.zipf_texts(prompts, samples, words))
    path = inputs.folder(place, "zeroeval") / "math_l5_pool__41-models.jsonl.gz"
    return inputs.dump_texts(path, prompts=prompts, samples=samples)


def _work(texts: Sequence[Sequence[str]]) -> dict[str, float]:
    flat = [text for group in texts for text in group]
    return {"samples": len(flat), "bytes": sum(len(text.encode()) for text in flat)}


def _ead(place: Place, **size: Any) -> Prepared:
    texts = _texts(place, **size)
    samples = divfast.Samples.from_lists(texts)
    return Prepared(
        lambda: divfast.score(samples, ["ead"], scopes=["prompt"], preset="paper"),
        lambda report: {"per prompt": report["ead"].values},
        _work(texts),
    )


def _ead_paper(place: Place, **size: Any) -> Prepared:
    module, versions = paper_code(place)
    calculator = module.EADDiversityCalculator(_ORDERS)
    texts = _texts(place, **size)
    return Prepared(
        lambda: calculator.per_input(texts),
        lambda scores: {"per prompt": np.array(scores)},
        _work(texts),
        versions,
    )


def _ead_pooled(place: Place, **size: Any) -> Prepared:
    texts = _texts(place, **size)
    samples = divfast.Samples.from_lists(texts)
    return Prepared(
        lambda: divfast.score(samples, ["ead"], scopes=["pooled"], preset="paper"),
        lambda report: {"pooled": np.array([report["ead", "pooled"].value])},
        _work(texts),
    )


def _ead_pooled_paper(place: Place, **size: Any) -> Prepared:
    module, versions = paper_code(place)
    calculator = module.EADDiversityCalculator(_ORDERS)
    texts = _texts(place, **size)
    flat = [text for group in texts for text in group]
    return Prepared(
        lambda: calculator.across_input(flat),
        lambda score: {"pooled": np.array([score])},
        _work(texts),
        versions,
    )


_FULL: tuple[dict[str, Any], ...] = (
    {"text": "zipf", "prompts": 500, "samples": 16, "words": 200},
    {"text": "zeroeval", "prompts": 500, "samples": 16},
)
_QUICK = {"text": "zipf", "prompts": 10, "samples": 16, "words": 50}

CASES = (
    Case(
        "ead",
        "EAD n=1..5 of every prompt, paper preset, from texts in memory",
        _FULL,
        _QUICK,
        (
            Implementation("divfast", _ead, _PACKAGES),
            Implementation("paper", _ead_paper, ("torch", "transformers")),
        ),
        Tolerance(relative=1e-9),
        Goal(ratio=50),
    ),
    Case(
        "ead-pooled",
        "EAD n=1..5 of all samples together, paper preset, from texts in memory",
        _FULL,
        _QUICK,
        (
            Implementation("divfast", _ead_pooled, _PACKAGES),
            Implementation("paper", _ead_pooled_paper, ("torch", "transformers")),
        ),
        Tolerance(relative=1e-9),
        Goal(ratio=50),
    ),
)
