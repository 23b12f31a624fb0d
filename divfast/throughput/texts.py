"""Cases of the statistics of texts: from texts in memory to one value a prompt, beside what people use for each."""

from __future__ import annotations

import gzip
import math
import re
import types
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

import divfast
from divfast.throughput import inputs
from divfast.throughput.case import Case, Goal, Implementation, Place, Prepared, Tolerance
from divfast.throughput.peers import package_folder, package_module

Samples = Sequence[str]


@dataclass(frozen=True)
class Peer:
    """What people use for a metric.

    Attributes
    ----------
    spec : str
        The metric, which the paper preset makes the peer's.
    open : callable
        Returns a function from the samples of a prompt to a value; raises `Absent`.
    """

    spec: str
    open: Callable[[], Callable[[Samples], float]]


def _grams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def _ead() -> Callable[[Samples], float]:
    def value(samples: Samples, v: int = 50257) -> float:
        words = [sample.replace(".", "").replace("\n", "").split() for sample in samples]
        orders = []
        for n in range(1, 6):
            grams = [gram for sample in words for gram in _grams(sample, n)]
            expected = v * (1 - ((v - 1) / v) ** len(grams))
            orders.append(min(1.0, len(set(grams)) / expected) if grams else 0.0)
        return sum(orders) / 5

    return value


def _distinct(n: int) -> Callable[[], Callable[[Samples], float]]:
    def value(samples: Samples) -> float:
        grams = [gram for sample in samples for gram in _grams(sample.split(), n)]
        return len(set(grams)) / len(grams) if grams else 0.0

    return lambda: value


def _diversity(name: str, function: str, **words: Any) -> Callable[[], Callable[[Samples], float]]:
    def opened() -> Callable[[Samples], float]:
        peer = getattr(package_module("diversity", name), function)
        return lambda samples: float(peer(samples, **words))

    return opened


def _repetition() -> Callable[[Samples], float]:
    def value(samples: Samples) -> float:
        product = 1.0
        for n in (2, 3, 4):
            of_samples = [_grams(sample.split(), n)[:-1] for sample in samples]
            unique = sum(len({" ".join(gram) for gram in grams}) for grams in of_samples)
            total = sum(map(len, of_samples))
            product *= unique / total if total else math.nan
        return product

    return value


def _gzip() -> Callable[[Samples], float]:
    def value(samples: Samples) -> float:
        text = " ".join(samples).encode()
        return len(text) / len(gzip.compress(text)) if text else math.nan

    return value


def _richness(measure: str) -> Callable[[], Callable[[Samples], float]]:
    def opened() -> Callable[[Samples], float]:
        # The package asks an old part of setuptools where its word list is.
        old = types.SimpleNamespace(resource_filename=lambda package, name: package_folder(package) / name)
        peer = getattr(package_module("lexical_diversity", "lex_div", pkg_resources=old), measure)
        return lambda samples: float(np.mean([peer(sample.split()) for sample in samples]))

    return opened


def _entropy() -> Callable[[Samples], float]:
    def value(samples: Samples) -> float:
        counts = Counter(word for sample in samples for word in sample.split())
        total = sum(counts.values())
        return -sum(c / total * math.log(c / total) for c in counts.values()) if total else math.nan

    return value


def _zipf() -> Callable[[Samples], float]:
    def value(samples: Samples) -> float:
        counts = Counter(word for sample in samples for word in sample.split())
        top = [count for _, count in counts.most_common(5000)]
        if len(top) < 2:
            return math.nan
        return -float(np.polyfit(np.log(np.arange(1, len(top) + 1)), np.log(top), 1)[0])

    return value


def _unique() -> Callable[[Samples], float]:
    return lambda samples: len({" ".join(sample.split()) for sample in samples}) / len(samples)


def _length() -> Callable[[Samples], float]:
    return lambda samples: float(np.mean([len(sample.split()) for sample in samples]))


def _self_bleu() -> Callable[[Samples], float]:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu

    smooth = SmoothingFunction().method1

    def value(samples: Samples) -> float:
        words = [sample.split() for sample in samples]
        return float(
            np.mean(
                [
                    sentence_bleu(words[:i] + words[i + 1 :], row, smoothing_function=smooth)
                    for i, row in enumerate(words)
                ]
            )
        )

    return value


def _mean_of_pairs(of_pair: Callable[[Any, Any], float]) -> Callable[[Sequence[Any]], float]:
    return lambda rows: float(np.mean([of_pair(a, b) for a, b in combinations(rows, 2)]))


def _rouge_l() -> Callable[[Samples], float]:
    from rouge_score.rouge_scorer import RougeScorer

    scorer = RougeScorer(["rougeL"])
    # F1 is symmetric, so one direction will do.
    return _mean_of_pairs(lambda a, b: scorer.score(a, b)["rougeL"].fmeasure)


def _edit() -> Callable[[Samples], float]:
    from rapidfuzz.distance.Levenshtein import normalized_distance

    return _mean_of_pairs(normalized_distance)


def _jaccard() -> Callable[[Samples], float]:
    mean = _mean_of_pairs(lambda a, b: 1 - len(a & b) / len(a | b))
    return lambda samples: mean([set(re.findall(r"[^\W_]+", sample.lower())) for sample in samples])


def _chrf() -> Callable[[Samples], float]:
    from sacrebleu import CHRF

    chrf = CHRF()
    return _mean_of_pairs(
        lambda a, b: (chrf.sentence_score(a, [b]).score + chrf.sentence_score(b, [a]).score) / 2
    )


ENTROPY = Peer("entropy", _entropy)
COMPRESSION = Peer("compression", _gzip)
SELF_REPETITION = Peer(
    "self_repetition", _diversity("self_repetition", "self_repetition_score", verbose=False)
)
# All of these are asked for at once, the peers one after the other.
STATISTICS: tuple[Peer, ...] = (
    Peer("ead", _ead),
    *(Peer(f"distinct:n={n}", _distinct(n)) for n in (1, 2, 3)),
    Peer("ngram_diversity", _diversity("ngram_diversity", "ngram_diversity_score")),
    Peer("repetition", _repetition),
    SELF_REPETITION,
    COMPRESSION,
    *(Peer(f"type_token:measure={measure}", _richness(measure)) for measure in ("ttr", "mattr", "mtld")),
    ENTROPY,
    Peer("zipf", _zipf),
    Peer("unique", _unique),
    Peer("length", _length),
)
# What looks at every pair of samples.
PAIRS = (
    Peer("self_bleu", _self_bleu),
    Peer("rouge_l", _rouge_l),
    Peer("edit", _edit),
    Peer("jaccard", _jaccard),
    Peer("chrf", _chrf),
)


def _texts(
    place: Place, *, text: str, prompts: int | None = None, samples: int = 16, words: int = 60
) -> list[list[str]]:
    if text == "zipf":
        assert prompts is not None
        return list(inputs.zipf_texts(prompts, samples, words))
    paths = sorted(inputs.folder(place, text).glob("*.jsonl.gz"))
    return [group for path in paths for group in inputs.dump_texts(path, prompts=prompts)]


def _work(texts: Sequence[Samples]) -> dict[str, float]:
    flat = [text for group in texts for text in group]
    return {"samples": len(flat), "bytes": sum(len(text.encode()) for text in flat)}


def _mine(peers: Sequence[Peer]) -> Callable[..., Prepared]:
    specs = [peer.spec for peer in peers]

    def prepare(place: Place, **size: Any) -> Prepared:
        texts = _texts(place, **size)
        samples = divfast.Samples.from_lists(texts)
        return Prepared(
            lambda: divfast.score(samples, specs, scopes=["prompt"], preset="paper"),
            lambda report: {spec: report[spec].values for spec in specs},
            _work(texts),
        )

    return prepare


def _theirs(peers: Sequence[Peer]) -> Callable[..., Prepared]:
    def prepare(place: Place, **size: Any) -> Prepared:
        opened = {peer.spec: peer.open() for peer in peers}
        texts = _texts(place, **size)
        return Prepared(
            lambda: {spec: [value(group) for group in texts] for spec, value in opened.items()},
            lambda found: {spec: np.array(values, np.float64) for spec, values in found.items()},
            _work(texts),
        )

    return prepare


def _case(
    name: str,
    summary: str,
    peers: Sequence[Peer],
    peer: str,
    tolerance: Tolerance,
    packages: tuple[str, ...] = (),
    *,
    sizes: tuple[dict[str, Any], ...] = ({"text": "zeroeval", "prompts": 60}, {"text": "zeroeval"}),
    goal: Goal | None = None,
) -> Case:
    return Case(
        name,
        summary,
        sizes,
        {"text": "zipf", "prompts": 4, "samples": 8},
        (
            Implementation("divfast", _mine(peers), ("numpy", "pyarrow")),
            Implementation(peer, _theirs(peers), packages),
        ),
        tolerance,
        goal or Goal(),
    )


_CLOSE = Tolerance(relative=1e-9)


def _pooled(place: Place, *, samples: int, words: int) -> Prepared:
    texts = list(inputs.zipf_texts(samples // 16, 16, words))
    made = divfast.Samples.from_lists(texts)
    specs = ["self_repetition", "entropy", "entropy:n=2", "zipf", "unique"]
    return Prepared(
        lambda: divfast.score(made, specs, scopes=["pooled"]),
        lambda report: {spec: np.array([report[spec, "pooled"].value]) for spec in specs},
        _work(texts),
    )


# Two of the peers round to three decimals, or subtract where digits are lost.
_ROUNDED = Tolerance(relative=1e-6, absolute=6e-4)
_PACKAGES = ("diversity", "lexical-diversity", "nltk")

CASES = (
    _case(
        "lexical",
        "all lexical metrics of every prompt at once; the peers one after the other",
        (*STATISTICS, *PAIRS),
        "peers",
        _ROUNDED,
        (*_PACKAGES, "rouge-score", "RapidFuzz", "sacrebleu"),
        # At some hundred pairs a second, the peers would take days for all prompts.
        sizes=({"text": "zeroeval", "prompts": 2},),
        goal=Goal(ratio=100),
    ),
    _case(
        "statistics",
        "all lexical metrics but those of pairs; the peers one after the other",
        STATISTICS,
        "peers",
        _ROUNDED,
        _PACKAGES,
    ),
    _case("compression", "gzip ratio of every prompt", [COMPRESSION], "gzip", Tolerance()),
    _case(
        "self-repetition",
        "self-repetition of every prompt",
        [SELF_REPETITION],
        "diversity",
        _CLOSE,
        ("diversity", "nltk"),
    ),
    _case("entropy", "entropy of the words of every prompt", [ENTROPY], "Counter", _CLOSE),
    Case(
        "texts-pooled",
        "statistics of n-grams of all samples together",
        tuple({"samples": n, "words": 60} for n in (10**4, 10**5, 10**6)),
        {"samples": 160, "words": 60},
        (Implementation("divfast", _pooled, ("numpy", "pyarrow")),),
    ),
)
