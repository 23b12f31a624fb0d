"""Several dumps at once: what they are called, how far they have been read."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

# Of compression first: they stand outside.
_SUFFIXES = (
    *(".gz", ".zst", ".xz"),
    *(".jsonl", ".json", ".parquet", ".arrow", ".eval", ".csv", ".tsv", ".txt"),
)

Progress = Callable[[int, int | None, str], None]


def block_limits(memory: int | None) -> dict[str, Any]:
    """Return the options of `divfast.read` with which work on a block takes about `memory` bytes."""
    if memory is None:
        return {}
    # A block, its tokens (8 bytes each) and the scratch of a metric are alive at once: about 16 times its text.
    return {
        "block_bytes": max(1 << 16, min(4 << 20, memory // 16)),
        "block_rows": max(256, min(1 << 16, memory >> 14)),
    }


def total_counts(dumps: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return what readers changed or left out, summed over the facts of all dumps."""
    total: Counter[str] = Counter()
    for facts in dumps:
        total.update(facts.get("counts", {}))
    return dict(total)


def stem(path: Path) -> str:
    """Return the name of a file without the suffixes of formats and compression."""
    name = "stdin" if str(path) == "-" else path.name
    for suffix in _SUFFIXES:
        name = name.removesuffix(suffix)
    return name


def short_names(paths: Sequence[Path]) -> list[str]:
    """Return the name of every dump without suffixes, with as many of its folders as tell the dumps apart."""
    folders = [path.absolute().parts[1:-1] for path in paths]
    depth = [0] * len(paths)
    while True:
        names = [
            printable("/".join([*parts[len(parts) - many :], stem(path)]))
            for path, parts, many in zip(paths, folders, depth, strict=True)
        ]
        seen = Counter(names)
        deeper = [
            min(many + (seen[name] > 1), len(parts))
            for name, many, parts in zip(names, depth, folders, strict=True)
        ]
        if deeper == depth:
            return names
        depth = deeper


def printable(name: str) -> str:
    """Return a file name as valid Unicode; names on disk may hold any bytes."""
    return os.fsencode(name).decode("utf-8", "replace")


def tell_apart(labels: Sequence[tuple[str | None, str | None]], names: Sequence[str]) -> list[str | None]:
    """Return the model of every (model, task), with the dump's name beside it where several are the same."""
    seen = Counter(labels)
    return [
        model if seen[model, task] == 1 or model == name else f"{model} ({name})"
        for (model, task), name in zip(labels, names, strict=True)
    ]


class AllDumps:
    """Adds up the bytes that several dumps, perhaps on several threads, tell to have read."""

    def __init__(self, dumps: Sequence[Sequence[Path]], progress: Progress) -> None:
        files = [path for dump in dumps for path in dump]
        self._total = sum(path.stat().st_size for path in files) if all(map(Path.is_file, files)) else None
        self._done = [0] * len(dumps)
        self._lock = threading.Lock()
        self._progress = progress

    def of(self, i: int) -> Progress:
        """Return what dump i shall call."""

        def progress(done: int, total: int | None, unit: str) -> None:
            with self._lock:
                self._done[i] = done
                self._progress(sum(self._done), self._total, unit)

        return progress
