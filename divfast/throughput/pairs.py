"""Cases of metrics over all pairs of samples: from texts in memory to scores, tokenisation included."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

import divfast
from divfast import engine
from divfast.throughput import inputs
from divfast.throughput.case import Absent, Case, Goal, Implementation, Place, Prepared, Tolerance

_PACKAGES = ("numpy", "pyarrow")
# What a peer without a matrix of all pairs can do in seconds.
_FEW = 60

_SIZES: tuple[dict[str, Any], ...] = (
    {"prompts": 1, "samples": 1000, "words": 60},
    {"prompts": 1, "samples": _FEW, "words": 60},
    {"prompts": 625, "samples": 16, "words": 60},
    {"prompts": 6250, "samples": 16, "words": 60},
)
_QUICK = {"prompts": 2, "samples": 20, "words": 30}

Texts = list[list[str]]


def _texts(size: dict[str, Any]) -> Texts:
    return list(inputs.zipf_texts(**size))


def _work(texts: Sequence[Sequence[str]]) -> dict[str, float]:
    return {
        "samples": sum(len(group) for group in texts),
        "pairs": sum(len(group) * (len(group) - 1) // 2 for group in texts),
    }


def _few(texts: Texts) -> Texts:
    if _work(texts)["samples"] > _FEW:
        raise Absent(f"takes minutes for more than {_FEW} samples")
    return texts


def _divfast(spec: str) -> Callable[..., Prepared]:
    def prepare(place: Place, **size: Any) -> Prepared:
        texts = _texts(size)
        samples = divfast.Samples.from_lists(texts)
        return Prepared(
            lambda: divfast.score(samples, [spec], scopes=["prompt"]),
            lambda report: {"per prompt": report[spec].values},
            _work(texts),
        )

    return prepare


def _off_diagonal(square: NDArray[np.float64]) -> float:
    k = len(square)
    return float((square.sum() - np.trace(square)) / (k * (k - 1)))


def _words(text: str) -> list[str]:
    return text.replace(".", " ").split()


def _rapidfuzz_lcs(place: Place, **size: Any) -> Prepared:
    from rapidfuzz.distance import LCSseq
    from rapidfuzz.process import cdist

    texts = _texts(size)
    numbers: dict[str, int] = {}
    rows = [
        [[numbers.setdefault(w, len(numbers)) for w in _words(text)] for text in group] for group in texts
    ]
    threads = engine.threads()

    def f1(shared: NDArray[np.int32], group: list[list[int]]) -> float:
        lengths = np.array([len(row) for row in group], np.float64)
        return _off_diagonal(2 * shared / (lengths[:, None] + lengths))

    return Prepared(
        lambda: [cdist(group, group, scorer=LCSseq.similarity, workers=threads) for group in rows],
        lambda squares: {"per prompt": np.array([f1(*pair) for pair in zip(squares, rows, strict=True)])},
        _work(texts),
    )


def _rouge_score(place: Place, **size: Any) -> Prepared:
    from rouge_score.rouge_scorer import RougeScorer

    texts = _few(_texts(size))
    scorer = RougeScorer(["rougeL"])

    def run() -> list[float]:
        # F1 is symmetric, so one direction will do.
        return [
            float(np.mean([scorer.score(a, b)["rougeL"].fmeasure for a, b in combinations(group, 2)]))
            for group in texts
        ]

    return Prepared(run, lambda means: {"per prompt": np.array(means)}, _work(texts))


def _rapidfuzz_edit(place: Place, **size: Any) -> Prepared:
    from rapidfuzz.distance import Levenshtein
    from rapidfuzz.process import cdist

    texts = _texts(size)
    options: dict[str, Any] = {"scorer": Levenshtein.normalized_distance, "dtype": np.float64}
    options["workers"] = engine.threads()
    return Prepared(
        lambda: [cdist(group, group, **options) for group in texts],
        lambda squares: {"per prompt": np.array([_off_diagonal(square) for square in squares])},
        _work(texts),
    )


def _sets(place: Place, **size: Any) -> Prepared:
    texts = _texts(size)

    def run() -> list[float]:
        means = []
        for group in texts:
            sets = [set(_words(text)) for text in group]
            distances = [1 - len(a & b) / len(a | b) for a, b in combinations(sets, 2)]
            means.append(sum(distances) / len(distances))
        return means

    return Prepared(run, lambda means: {"per prompt": np.array(means)}, _work(texts))


def _sacrebleu(place: Place, **size: Any) -> Prepared:
    from sacrebleu import CHRF

    texts = _few(_texts(size))
    scorer = CHRF()

    def run() -> list[float]:
        return [
            float(np.mean([scorer.sentence_score(a, [b]).score for a, b in permutations(group, 2)]))
            for group in texts
        ]

    return Prepared(run, lambda means: {"per prompt": np.array(means)}, _work(texts))


_EXACT = Tolerance(relative=1e-9)

CASES = (
    Case(
        "rouge-l",
        "ROUGE-L of all pairs of a prompt, from texts in memory",
        _SIZES,
        _QUICK,
        (
            Implementation("divfast", _divfast("rouge_l"), _PACKAGES),
            Implementation("rapidfuzz", _rapidfuzz_lcs, ("rapidfuzz",)),
            Implementation("rouge_score", _rouge_score, ("rouge-score",)),
        ),
        _EXACT,
        Goal(ratio=1),
    ),
    Case(
        "edit",
        "normalised edit distance of all pairs of a prompt, from texts in memory",
        _SIZES,
        _QUICK,
        (
            Implementation("divfast", _divfast("edit"), _PACKAGES),
            Implementation("rapidfuzz", _rapidfuzz_edit, ("rapidfuzz",)),
        ),
        _EXACT,
    ),
    Case(
        "jaccard",
        "Jaccard distance of the words of all pairs of a prompt, from texts in memory",
        _SIZES,
        _QUICK,
        (Implementation("divfast", _divfast("jaccard"), _PACKAGES), Implementation("python sets", _sets)),
        _EXACT,
    ),
    Case(
        "chrf",
        "chrF of all ordered pairs of a prompt, from texts in memory",
        _SIZES,
        _QUICK,
        (
            Implementation("divfast", _divfast("chrf"), _PACKAGES),
            Implementation("sacrebleu", _sacrebleu, ("sacrebleu",)),
        ),
        _EXACT,
    ),
)
