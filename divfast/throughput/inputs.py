"""What cases work on: the same for every implementation, from a fixed seed or from real dumps."""

from __future__ import annotations

import gzip
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.throughput.case import Absent, Place

SEED = 20260
_WORDS = 30_000


def _vocabulary(rng: np.random.Generator) -> NDArray[np.object_]:
    """Return different made-up words; as in English, the common ones are short."""
    letters = np.array(list("etaoinshrdlcumwfgypbvk"))
    found: dict[str, None] = {}
    while len(found) < _WORDS:
        length = max(1, round(rng.normal(1.5 + (len(found) + 1) ** 0.19, 1.5)))
        found["".join(rng.choice(letters, length))] = None
    return np.array(list(found), dtype=object)


def zipf_texts(prompts: int, samples: int, words: int) -> Iterator[list[str]]:
    """Yield the samples of each prompt: words drawn by Zipf's law, a full stop after one in fifteen."""
    rng = np.random.default_rng(SEED)
    plain = _vocabulary(rng)
    frequency = 1 / np.arange(1, _WORDS + 1) ** 1.05
    bounds = np.cumsum(frequency / frequency.sum())
    stopped = plain + "."
    for _ in range(prompts):
        drawn = np.minimum(np.searchsorted(bounds, rng.random((samples, words))), _WORDS - 1)
        stops = rng.random((samples, words)) < 1 / 15
        yield [" ".join(row) for row in np.where(stops, stopped[drawn], plain[drawn]).tolist()]


def unit_vectors(rows: int, dimensions: int) -> NDArray[np.float32]:
    """Return unit rows as crowded as sentence embeddings: half of each is common to all, spectrum falling."""
    rng = np.random.default_rng(SEED)
    scale = 1 / np.sqrt(np.arange(1, dimensions + 1))
    own = rng.standard_normal((rows, dimensions)) * scale
    common = rng.standard_normal(dimensions) * scale
    vectors = own + common
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors.astype(np.float32)


def folder(place: Place, name: str) -> Path:
    """Return a folder of real dumps.

    Raises
    ------
    Absent
        Where it is not there.
    """
    if place.data is None or not (place.data / name).is_dir():
        raise Absent(f"no {name} among the real dumps; name their folder with --data or DIVFAST_SHARED")
    return place.data / name


def dump(place: Place, room: str, name: str) -> Path:
    """Return a real dump.

    Raises
    ------
    Absent
        Where it is not there.
    """
    path = folder(place, room) / name
    if not path.is_file():
        raise Absent(f"no {name} in {room} among the real dumps")
    return path


def records(path: Path) -> list[dict[str, Any]]:
    """Return the records of JSON Lines, compressed or not."""
    with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as file:
        return [json.loads(line) for line in file.read().split(b"\n") if line]


def dump_texts(path: Path, *, prompts: int | None = None, samples: int | None = None) -> list[list[str]]:
    """Return the outputs of a dump, one list a prompt, at most so many prompts and so many of each."""
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        records = [json.loads(line) for _, line in zip(range(prompts or 1 << 62), file, strict=False)]
    return [record["outputs"][:samples] for record in records]


def joined(place: Place, name: str, megabytes: float) -> Path:
    """Return one uncompressed file with whole lines of the dumps of a folder, up to a size."""
    source, target = folder(place, name), place.scratch / f"{name}.jsonl"
    if not target.exists():
        left = round(megabytes * 1e6)
        with target.open("wb") as out:
            for path in sorted(source.glob("*.jsonl.gz")):
                with gzip.open(path, "rb") as file:
                    for line in file:
                        if len(line) > left:
                            return target
                        out.write(line)
                        left -= len(line)
    return target


def copied(place: Place, name: str, files: int) -> Path:
    """Return a folder with the first dumps of another one, spread over it."""
    source, target = folder(place, name), place.scratch / name
    if not target.exists():
        target.mkdir()
        found = sorted(source.glob("*.jsonl.gz"))
        for path in found[:: max(1, len(found) // files)][:files]:
            shutil.copy(path, target)
    return target


def zipf_file(place: Place, size: dict[str, Any]) -> Path:
    """Return a file with one line a prompt of `zipf_texts`."""
    target = place.scratch / "zipf.jsonl"
    if not target.exists():
        with target.open("w", encoding="utf-8") as out:
            for number, outputs in enumerate(zipf_texts(**size)):
                out.write(
                    json.dumps({"input_id": str(number), "prompt": f"{number}?", "outputs": outputs}) + "\n"
                )
    return target
