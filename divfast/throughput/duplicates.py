"""Cases of finding duplicates: from texts in memory to clusters."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import divfast
from divfast.duplicates import find_duplicates
from divfast.throughput import inputs
from divfast.throughput.case import Absent, Case, Goal, Implementation, Place, Prepared, Tolerance

_THRESHOLD = 0.8
_SHINGLE = 5
_HASHES = 128


def _texts(place: Place, *, dumps: str, samples: int) -> list[list[str]]:
    """Return the same share of every dump of a folder, one list a prompt."""
    read = [inputs.dump_texts(path) for path in sorted(inputs.folder(place, dumps).glob("*.jsonl.gz"))]
    share = samples / sum(len(outputs) for dump in read for outputs in dump)
    out: list[list[str]] = []
    for dump in read:
        left = round(share * sum(map(len, dump)))
        for outputs in dump:
            out.append(outputs[:left])
            left -= len(out[-1])
            if left == 0:
                break
    return out


def _work(flat: list[str]) -> dict[str, float]:
    return {"samples": len(flat), "bytes": sum(len(text.encode()) for text in flat)}


def _find(samples: divfast.Samples, **more: Any) -> Any:
    return find_duplicates(samples, threshold=_THRESHOLD, shingle=_SHINGLE, hashes=_HASHES, **more)


def _dedupe(place: Place, **size: Any) -> Prepared:
    texts = _texts(place, **size)
    flat = [text for outputs in texts for text in outputs]
    samples = divfast.Samples.from_lists(texts)

    def values(found: Any) -> dict[str, NDArray[np.float64]]:
        return {
            "equal texts dropped": np.array([float(np.count_nonzero(found.exact))]),
            "the peer's true pairs in one cluster": np.ones(1),
        }

    return Prepared(lambda: _find(samples), values, _work(flat))


def _datasketch(place: Place, **size: Any) -> Prepared:
    try:
        from datasketch import MinHash, MinHashLSH
    except ImportError:
        raise Absent("datasketch is not installed: pip install 'divfast[bench]'") from None
    texts = _texts(place, **size)
    flat = [text for outputs in texts for text in outputs]

    def shingles(text: str) -> set[str]:
        return {text[i : i + _SHINGLE] for i in range(max(1, len(text) - _SHINGLE + 1))}

    def run() -> dict[int, list[int]]:
        lsh = MinHashLSH(threshold=_THRESHOLD, num_perm=_HASHES)
        like: dict[int, list[int]] = {}
        for i, text in enumerate(flat):
            signature = MinHash(num_perm=_HASHES)
            signature.update_batch([shingle.encode() for shingle in shingles(text)])
            # The usual loop keeps the first of those that are alike, so copies do not fill its tables.
            if found := lsh.query(signature):
                like[i] = found
            else:
                lsh.insert(i, signature)
        return like

    def values(like: dict[int, list[int]]) -> dict[str, NDArray[np.float64]]:
        seen: dict[str, int] = {}
        equal = [i for i, text in enumerate(flat) if seen.setdefault(text, i) != i]
        clusters = _find(divfast.Samples.from_lists(texts)).cluster
        together, true = 0, 0
        for i, found in like.items():
            mine = shingles(flat[i])
            for j in found:
                theirs = shingles(flat[j])
                if len(mine & theirs) / len(mine | theirs) >= _THRESHOLD:
                    true += 1
                    together += int(clusters[i] == clusters[j])
        return {
            "equal texts dropped": np.array([float(sum(i in like for i in equal))]),
            "the peer's true pairs in one cluster": np.array([together / true if true else 1.0]),
        }

    return Prepared(run, values, _work(flat))


CASES = (
    Case(
        "dedupe",
        "near-duplicates of all samples by MinHash; every pair found is compared, which the peer leaves to others",
        (
            {"dumps": "cruxeval", "samples": 10_000},
            {"dumps": "cruxeval", "samples": 100_000},
            {"dumps": "cruxeval", "samples": 969_600},
        ),
        {"dumps": "cruxeval", "samples": 2_000},
        (
            Implementation("divfast", _dedupe, ("numpy", "pyarrow")),
            Implementation("datasketch", _datasketch, ("datasketch", "numpy")),
        ),
        Tolerance(absolute=1e-3),
        Goal(ratio=30),
    ),
)
