"""The dump without its duplicates, written beside it and never in its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from divfast import engine
from divfast.dumps import block_limits
from divfast.duplicate_clusters import Clusters
from divfast.errors import DataError, MetricError, OutputError
from divfast.output import check_folder, write_whole
from divfast.readers import find_dumps, read


def check_files(dumps: Sequence[str | Path], output: Any, kept: Any, *, join: bool) -> None:
    """Raise `DivfastError` where results could not be written; nothing is made or left behind.

    For callers with hours of work ahead.

    Parameters
    ----------
    dumps : sequence of str or Path
        What will be read.
    output, kept : str, Path or None
        Files for `Clusters.save` and `write_kept`.
    join : bool
        Whether the dumps are parts of one.
    """
    paths = find_dumps(dumps)
    chosen = [Path(file) for file in (output, kept) if file is not None]
    for file in chosen:
        if any(path.exists() and file.exists() and file.samefile(path) for path in paths):
            raise OutputError("is one of the dumps.", where=str(file), remedy="Name another file.")
        if file.is_dir():
            raise OutputError("is a folder.", where=str(file), remedy="Name a file in it.")
        check_folder(file.parent)
    if len(chosen) == 2 and chosen[0].absolute() == chosen[1].absolute():
        raise OutputError(
            "cannot be two files at once.",
            where=str(chosen[0]),
            remedy="Name one for -o, another for --kept.",
        )
    if kept is not None and any(str(path) == "-" for path in paths):
        raise DataError(
            "can be read only once, and writing what is kept reads it again.",
            where="stdin",
            remedy="Put the samples into a file first.",
        )
    if kept is not None and len(paths) > 1 and not join:
        raise MetricError(
            "several dumps cannot become one: their prompts may have the same ids.",
            remedy="Deduplicate them one by one, or say with --join that they are parts of one.",
        )


def write_kept(
    found: Clusters,
    path: str | Path,
    dumps: Sequence[str | Path],
    *,
    join: bool = False,
    memory: int | None = None,
    **reading: Any,
) -> None:
    """Write the samples that are kept as JSON Lines: ``input_id``, ``prompt``, ``outputs``.

    The texts are those that were read: reasoning is stripped unless it was kept, bytes that are not UTF-8 are U+FFFD.
    A prompt whose samples are all duplicates of others' has no outputs.

    Parameters
    ----------
    found : Clusters
        What `divfast.duplicates.find_duplicates` said of the dump.
    path : str or Path
        The file; there whole or not at all.
    dumps, join, memory, **reading
        As they were given to it: one dump, or parts of one.

    Raises
    ------
    DivfastError
        Where `check_files` raises, the dump has changed, or the file cannot be written.
    """
    check_files(dumps, None, path, join=join)

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8") as file:
            for record in _records(found, dumps, memory, reading):
                file.write(json.dumps(record, ensure_ascii=False) + "\n")

    write_whole({Path(path): write})


def _records(
    found: Clusters, dumps: Sequence[str | Path], memory: int | None, reading: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    limits: dict[str, Any] = {"columns": (), **block_limits(memory), **reading}
    blocks = read(find_dumps(dumps), **limits)
    rows = 0
    for block in engine.ahead(blocks):
        at = np.minimum(np.searchsorted(found.position, block.positions), len(found) - 1)
        rows += block.rows
        if np.any(found.position[at] != block.positions):
            raise changed(blocks.name)
        kept = found.kept[at]
        names = zip(block.ids.to_pylist(), block.prompts.to_pylist(), strict=True)
        for group, (name, prompt) in enumerate(names):
            start, stop = int(block.groups[group]), int(block.groups[group + 1])
            texts = block.text.take(np.flatnonzero(kept[start:stop]) + start)
            yield {"input_id": name, "prompt": prompt, "outputs": texts.strings()}
    if rows != len(found):
        raise changed(blocks.name)


def changed(name: str) -> DataError:
    """Return the error of a dump that is not what it was when it was first read."""
    return DataError(
        "changed while it was read.", where=name, remedy="Wait until the sampler has finished writing it."
    )
