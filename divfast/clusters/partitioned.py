"""The dump with its clusters as a column, written beside it and never in its place."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from divfast import engine
from divfast.clusters.found import SemanticClusters
from divfast.deduplicated import changed, check_files
from divfast.dumps import block_limits
from divfast.output import write_whole
from divfast.readers import find_dumps, read


def write_partitioned(
    found: SemanticClusters,
    path: str | Path,
    dumps: Sequence[str | Path],
    *,
    reward: str = "scores",
    join: bool = False,
    memory: int | None = None,
    **reading: Any,
) -> None:
    """Write the dump as JSON Lines with the clusters as ``partition``, for ``divfast score`` and for others.

    A line a prompt: ``input_id``, ``prompt``, ``outputs``, ``partition``, and what the dump says of every sample:
    ``correct``, rewards, ... The texts are those that were read: reasoning is stripped unless it was kept.

    Parameters
    ----------
    found : SemanticClusters
        What `divfast.clusters.cluster` said of the dump.
    path : str or Path
        The file; there whole or not at all.
    dumps, reward, join, memory, **reading
        As they were given to it.

    Raises
    ------
    DivfastError
        Where the file cannot be written, or the dump cannot be read again or has changed.
    """
    check_files(dumps, None, path, join=join)
    reading = {"sample_columns": (reward,), **block_limits(memory), **reading}

    def write(temporary: Path) -> None:
        with temporary.open("w", encoding="utf-8") as file:
            for record in _records(found, find_dumps(dumps), join, reading):
                file.write(json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n")

    write_whole({Path(path): write})


def _records(
    found: SemanticClusters, paths: Sequence[Path], join: bool, reading: dict[str, Any]
) -> Iterator[dict[str, Any]]:
    blocks = read(paths if join else paths[0], **reading)
    done = 0
    for block in engine.ahead(blocks):
        stop = done + block.rows
        if not np.array_equal(found.position[done:stop], block.positions):
            raise changed(blocks.name)
        labels = found.partition[done:stop].tolist()
        columns = {name: column.to_pylist() for name, column in block.per_sample.items()}
        columns["partition"] = labels
        names = zip(block.ids.to_pylist(), block.prompts.to_pylist(), strict=True)
        meta = {key: block.meta[key] for key in ("model", "task") if block.meta.get(key)}
        for group, (name, prompt) in enumerate(names):
            a, b = int(block.groups[group]), int(block.groups[group + 1])
            own = {key: [_plain(value) for value in values[a:b]] for key, values in columns.items()}
            yield {"input_id": name, "prompt": prompt, "outputs": block.outputs(group), **meta, **own}
        done = stop
    if done != len(found.position):
        raise changed(blocks.name)


def _plain(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
