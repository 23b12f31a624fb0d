"""Cases of searching a training text for the n-grams of evaluations."""

from __future__ import annotations

import gzip
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.throughput import inputs
from divfast.throughput.case import Absent, Case, Goal, Implementation, Place, Prepared, Tolerance

_N = 13
_FIELDS = ("prompt", "question", "problem", "text", "code")
# More tuples of training text than this do not fit in memory.
_MOST_MEGABYTES = 50


def training_text(place: Place, megabytes: float) -> Path:
    """Return JSON Lines of real outputs up to a size; from the second time round letters are exchanged."""
    source, target = inputs.folder(place, "zeroeval"), place.scratch / "train.jsonl"
    if target.exists():
        return target
    left = round(megabytes * 1e6)
    rng = random.Random(20260)
    letters = "bcdfghjklmnpqrstvwxz"
    table: dict[int, int] = {}
    with target.open("wb") as out:
        while left > 0:
            for text in _outputs(source):
                line = json.dumps({"text": text.translate(table)}, ensure_ascii=False).encode() + b"\n"
                out.write(line)
                left -= len(line)
                if left <= 0:
                    break
            table = str.maketrans(letters, "".join(rng.sample(letters, len(letters))))
    return target


def _outputs(source: Path) -> Iterator[str]:
    for path in sorted(source.glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
            for line in file:
                yield from json.loads(line)["outputs"]


def _gold(place: Place) -> list[Path]:
    return sorted(inputs.folder(place, "gold").glob("*.jsonl.gz"))


def _split(text: str, tokenizer: str) -> list[str]:
    return text.split() if tokenizer == "whitespace" else re.findall(r"[^\W_]+", text.lower())


def _grams(words: list[str]) -> Iterator[tuple[str, ...]]:
    return (tuple(words[i : i + _N]) for i in range(len(words) - _N + 1))


def _overlap(place: Place, *, megabytes: float, tokenizer: str) -> Prepared:
    from divfast.coverage import Overlap
    from divfast.overlap import overlap

    path, gold = training_text(place, megabytes), _gold(place)

    def values(report: Overlap) -> dict[str, NDArray[np.float64]]:
        return {result.evaluation: np.array([result.value]) for result in report}

    return Prepared(
        lambda: overlap(path, gold, n=_N, tokenizer=tokenizer), values, {"bytes": path.stat().st_size}
    )


def _overlap_set(place: Place, *, megabytes: float, tokenizer: str) -> Prepared:
    path, gold = training_text(place, megabytes), _gold(place)

    def run() -> dict[str, float]:
        evaluations = {}
        for file in gold:
            with gzip.open(file, "rt", encoding="utf-8", newline="\n") as lines:
                records = [json.loads(line) for line in lines]
            name = next(name for name in _FIELDS if name in records[0])
            evaluations[file.name.removesuffix(".jsonl.gz")] = [
                _split(record[name], tokenizer) for record in records
            ]
        # The n-grams of the training text do not fit; those of the evaluations do.
        asked = {gram for texts in evaluations.values() for words in texts for gram in _grams(words)}
        found = set()
        with path.open(encoding="utf-8", newline="\n") as lines:
            for line in lines:
                for gram in _grams(_split(json.loads(line)["text"], tokenizer)):
                    if gram in asked:
                        found.add(gram)
        return {name: _mean(texts, found) for name, texts in evaluations.items()}

    return Prepared(
        run,
        lambda means: {name: np.array([mean]) for name, mean in means.items()},
        {"bytes": path.stat().st_size},
    )


def _mean(texts: list[list[str]], found: set[tuple[str, ...]]) -> float:
    shares = []
    for words in texts:
        if len(words) >= _N:
            covered = {at + i for at, gram in enumerate(_grams(words)) if gram in found for i in range(_N)}
            shares.append(len(covered) / len(words))
    return sum(shares) / len(shares)


def _index(place: Place, *, megabytes: float, memory: int) -> Prepared:
    from divfast.overlap import build_index

    path = training_text(place, megabytes)
    return Prepared(
        lambda: build_index(
            path, place.scratch / "train.idx", n=_N, tokenizer="whitespace", memory=memory * 10**6
        ),
        lambda facts: {"different": np.array([float(facts.distinct)])},
        {"bytes": path.stat().st_size},
    )


def _index_set(place: Place, *, megabytes: float, memory: int) -> Prepared:
    if megabytes > _MOST_MEGABYTES:
        raise Absent("a set of so many tuples does not fit in memory")
    path = training_text(place, megabytes)

    def run() -> int:
        with path.open(encoding="utf-8", newline="\n") as lines:
            return len({gram for line in lines for gram in _grams(json.loads(line)["text"].split())})

    return Prepared(run, lambda many: {"different": np.array([float(many)])}, {"bytes": path.stat().st_size})


def _query(place: Place, *, megabytes: float) -> Prepared:
    from divfast.overlap import build_index, overlap

    path, index, gold = training_text(place, megabytes), place.scratch / "train.idx", _gold(place)
    build_index(path, index, n=_N)
    return Prepared(
        lambda: overlap(index, gold),
        lambda report: {result.evaluation: np.array([result.value]) for result in report},
        {"bytes": path.stat().st_size},
    )


_PACKAGES = ("numpy", "pyarrow")


def _sizes(**more: Any) -> tuple[dict[str, Any], ...]:
    return tuple({"megabytes": megabytes, **more} for megabytes in (10, 100, 1000))


CASES = (
    Case(
        "overlap",
        "13-grams of ten evaluations in a training text on disk; the peer keeps the evaluations' in a Python set",
        (*_sizes(tokenizer="words"), {"megabytes": 1000, "tokenizer": "whitespace"}),
        {"megabytes": 2, "tokenizer": "whitespace"},
        (Implementation("divfast", _overlap, _PACKAGES), Implementation("set", _overlap_set)),
        Tolerance(relative=1e-6),
        Goal(ratio=20),
    ),
    Case(
        "overlap-index",
        "sorting the different 13-grams of a training text into an index",
        _sizes(memory=256),
        {"megabytes": 2, "memory": 256},
        (Implementation("divfast", _index, _PACKAGES), Implementation("set", _index_set)),
    ),
    Case(
        "overlap-query",
        "13-grams of ten evaluations in such an index",
        _sizes(),
        {"megabytes": 2},
        (Implementation("divfast", _query, _PACKAGES),),
    ),
)
