"""Several dumps at once: what they are called, how far they have been read."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

Progress = Callable[[int, int | None, str], None]


def stem(path: Path) -> str:
    """Return the name of a file without the suffixes of formats and compression."""
    name = path.name
    for suffix in (".gz", ".zst", ".xz", ".jsonl", ".json", ".parquet", ".arrow", ".eval", ".txt"):
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
