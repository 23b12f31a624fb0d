"""Cases of reading dumps, and of reading and scoring ever larger ones."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import divfast
from divfast.samples import Samples
from divfast.throughput import inputs
from divfast.throughput.case import Case, Goal, Implementation, Place, Prepared


def _counts(
    lengths: Sequence[int] | NDArray[np.int64], per_prompt: Sequence[int]
) -> dict[str, NDArray[np.float64]]:
    return {
        "bytes of samples": np.asarray(lengths, np.float64),
        "samples of prompts": np.asarray(per_prompt, np.float64),
    }


def _from_records(records: Sequence[dict[str, Any]]) -> dict[str, NDArray[np.float64]]:
    lengths = [len(text.encode()) for record in records for text in record["outputs"]]
    return _counts(lengths, [len(record["outputs"]) for record in records])


def _work(path: Path) -> dict[str, float]:
    return {"bytes": path.stat().st_size}


def _read(place: Place, *, dump: str, megabytes: float) -> Prepared:
    path = inputs.joined(place, dump, megabytes)

    def values(blocks: list[Samples]) -> dict[str, NDArray[np.float64]]:
        lengths = np.concatenate([block.text.lengths for block in blocks])
        return _counts(lengths, np.concatenate([np.diff(block.groups) for block in blocks]).tolist())

    return Prepared(lambda: list(divfast.read(path)), values, _work(path))


def _read_json(place: Place, *, dump: str, megabytes: float) -> Prepared:
    path = inputs.joined(place, dump, megabytes)

    def run() -> list[dict[str, Any]]:
        with path.open(encoding="utf-8", newline="\n") as file:
            return [json.loads(line) for line in file]

    return Prepared(run, _from_records, _work(path))


def _read_arrow(place: Place, *, dump: str, megabytes: float) -> Prepared:
    from pyarrow.json import read_json

    path = inputs.joined(place, dump, megabytes)
    return Prepared(
        lambda: read_json(path),
        lambda table: _from_records(table.select(["outputs"]).to_pylist()),
        _work(path),
    )


def _growth(scope: str) -> Any:
    def prepare(place: Place, **size: Any) -> Prepared:
        path = inputs.zipf_file(place, size)
        metrics = ["ead", "distinct"]
        return Prepared(
            lambda: divfast.score(path, metrics, scopes=[scope]),
            lambda report: {metric: np.array([report[metric, scope].value]) for metric in metrics},
            {"samples": size["prompts"] * size["samples"], **_work(path)},
        )

    return prepare


def _grown(samples: int) -> dict[str, int]:
    return {"prompts": samples // 16, "samples": 16, "words": 100}


_GROWING = tuple(_grown(samples) for samples in (10_000, 100_000, 1_000_000))
_PACKAGES = ("numpy", "pyarrow")

CASES = (
    Case(
        "read-jsonl",
        "JSON Lines to samples, from a file in the page cache",
        ({"dump": "zeroeval", "megabytes": 100},),
        {"dump": "zeroeval", "megabytes": 2},
        (
            Implementation("divfast", _read, _PACKAGES),
            Implementation("json", _read_json),
            Implementation("pyarrow.json", _read_arrow, ("pyarrow",)),
        ),
        goal=Goal(ratio=1),
    ),
    Case(
        "growth",
        "EAD and distinct of every prompt, streamed from a file of 10^4, 10^5, 10^6 samples",
        _GROWING,
        _grown(800),
        (Implementation("divfast", _growth("prompt"), _PACKAGES),),
    ),
    Case(
        "growth-pooled",
        "EAD and distinct of all samples together, streamed from the same files",
        _GROWING,
        _grown(800),
        (Implementation("divfast", _growth("pooled"), _PACKAGES),),
    ),
)
