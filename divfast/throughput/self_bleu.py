"""Cases of self-BLEU: beside fast-bleu where that finishes, and over a corpus of any size."""

from __future__ import annotations

from typing import Any

import numpy as np

import divfast
from divfast.throughput import inputs
from divfast.throughput.case import Absent, Case, Goal, Implementation, Place, Prepared, Tolerance

_PACKAGES = ("numpy", "pyarrow")
_GIGABYTE = 10**9


def _specs(orders: range) -> list[str]:
    return [f"self_bleu:n={n}" for n in orders]


def _texts(samples: int, words: int) -> list[str]:
    return [text for group in inputs.zipf_texts(samples // 10, 10, words) for text in group]


def _in_memory(place: Place, *, samples: int, words: int) -> Prepared:
    given = divfast.Samples.from_lists([_texts(samples, words)])
    specs = _specs(range(2, 5))
    return Prepared(
        lambda: divfast.score(given, specs, scopes=["pooled"]),
        lambda report: {spec: np.array([report[spec, "pooled"].value]) for spec in specs},
        {"samples": samples, "bytes": int(given.text.offsets[-1])},
    )


def _fast_bleu(place: Place, *, samples: int, words: int) -> Prepared:
    try:
        from fast_bleu import SelfBLEU
    except ImportError:
        raise Absent("fast-bleu is not installed: pip install 'divfast[bench]'") from None
    texts = _texts(samples, words)
    weights = {f"self_bleu:n={n}": (1 / n,) * n for n in range(2, 5)}
    return Prepared(
        lambda: SelfBLEU([text.split() for text in texts], weights).get_score(),
        lambda scores: {spec: np.array([np.mean(values)]) for spec, values in scores.items()},
        {"samples": samples, "bytes": sum(len(text.encode()) for text in texts)},
    )


def _from_file(place: Place, *, samples: int, words: int, memory: int | None = None) -> Prepared:
    path = inputs.zipf_file(place, {"prompts": samples // 10, "samples": 10, "words": words})
    specs = _specs(range(2, 6))
    return Prepared(
        lambda: divfast.score(path, specs, scopes=["pooled"], memory=memory),
        lambda report: {spec: np.array([report[spec, "pooled"].value]) for spec in specs},
        {"samples": samples, "bytes": path.stat().st_size},
    )


def _in_a_gigabyte(place: Place, **size: Any) -> Prepared:
    return _from_file(place, **size, memory=_GIGABYTE)


CASES = (
    Case(
        "self-bleu",
        "self-BLEU-2, 3 and 4 of all samples together, from texts in memory",
        ({"samples": 1000, "words": 60}, {"samples": 10_000, "words": 60}),
        {"samples": 200, "words": 60},
        (
            Implementation("divfast", _in_memory, _PACKAGES),
            # Its weights have 32 bits.
            Implementation("fast-bleu", _fast_bleu, ("fast-bleu",)),
        ),
        Tolerance(absolute=1e-6),
        Goal(ratio=300),
    ),
    Case(
        "self-bleu-corpus",
        "self-BLEU-2, 3, 4 and 5 of all samples together, from a file in the page cache; beside it with --memory 1GB",
        tuple({"samples": samples, "words": 60} for samples in (10_000, 100_000, 1_000_000)),
        {"samples": 1000, "words": 60},
        (
            Implementation("divfast", _from_file, _PACKAGES),
            Implementation("divfast --memory 1GB", _in_a_gigabyte, _PACKAGES, Tolerance()),
        ),
        Tolerance(),
        Goal(seconds=12, peak=6 * _GIGABYTE),
    ),
)
