"""What was selected of a dump, and how it is written as one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from divfast import engine
from divfast.dumps import total_counts
from divfast.errors import DataError
from divfast.greedy import Picks, Recipe
from divfast.output import write_whole
from divfast.readers import Blocks
from divfast.result import Signature, json_number
from divfast.samples import Samples


@dataclass
class Part:
    """One dump: its samples, read again when they are written, and how it is told from others."""

    blocks: Iterable[Samples]
    paths: Sequence[Path]
    prompts: int
    samples: int
    labels: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str | None:
        """Path of the dump, None for samples in memory."""
        return self.blocks.name if isinstance(self.blocks, Blocks) else None


@dataclass(frozen=True, eq=False)
class Selection:
    """What `divfast.selection.select` picked.

    Attributes
    ----------
    recipe : Recipe
        How.
    signature : Signature
        What changes the selection and the numbers.
    gained : sequence of dict
        What all samples, those selected, and random ones of the same number are worth: ``of``, ``samples``,
        ``vendi``, ``radius`` (one minus the cosine between the sample that is farthest from the subset and its nearest
        pick), means over prompts in the scope ``prompt``; for random ones means over draws, and ``vendi_range`` and
        ``radius_range``.
    short : int
        How many groups have fewer samples than were asked for.
    run : Mapping
        What changes only the time, or tells what happened.
    """

    recipe: Recipe
    signature: Signature
    gained: Sequence[Mapping[str, Any]]
    ids: pa.LargeStringArray
    prompts: NDArray[np.int64]
    positions: NDArray[np.int64]
    picks: Picks
    parts: Sequence[Part]
    short: int
    run: Mapping[str, Any]

    def __len__(self) -> int:
        """How many samples were selected."""
        return len(self.picks.rows)

    @property
    def counts(self) -> dict[str, int]:
        """What readers changed or left out, over all dumps."""
        return total_counts(fact for fact in self.run["dumps"] if "counts" in fact)

    @property
    def value(self) -> str:
        """The name of the column that says what each pick was worth: ``distance`` or ``vendi``."""
        return "distance" if self.recipe.method == "k_centre" else "vendi"

    @cached_property
    def _ranks(self) -> NDArray[np.int64]:
        """From 1, in the order of picking, anew in every prompt in that scope."""
        bounds = self.picks.bounds
        return np.arange(1, len(self) + 1) - np.repeat(bounds[:-1], np.diff(bounds))

    @property
    def samples(self) -> pa.Table:
        """One row a selected sample in the order of picking, prompt by prompt in that scope.

        ``dump`` where there are several, ``input_id``, ``position`` (its number in the dump), ``rank`` from 1, and
        ``distance`` (k_centre: one minus the cosine with the nearest sample picked before, null for the first) or
        ``vendi`` (the score of the subset up to here).
        """
        rows = self.picks.rows
        groups = np.searchsorted(self.prompts, rows, side="right") - 1
        columns: dict[str, Any] = {}
        if len(self.parts) > 1:
            ends = np.cumsum([part.samples for part in self.parts])
            names = pa.array([part.name for part in self.parts], pa.large_string())
            columns["dump"] = names.take(pa.array(np.searchsorted(ends, rows, side="right")))
        columns |= {"input_id": self.ids.take(pa.array(groups)), "position": self.positions[rows]}
        columns |= {"rank": self._ranks, self.value: pa.array(self.picks.values, from_pandas=True)}
        return pa.table(columns)

    def save(self, path: str | Path) -> None:
        """Write the selected samples as JSON Lines, a dump that divfast reads.

        A line a prompt of which something was selected: ``input_id``, ``prompt``, ``model`` and ``task`` where they are
        known, ``outputs``; beside these, in the same order, ``rank``, ``position`` and what each pick was worth, and
        the columns of the dump that are known, cut alike. Prompts and outputs stand in the order of the dump. The texts
        are those that were read: reasoning is stripped unless it was kept, bytes that are not UTF-8 are U+FFFD. The
        file is there whole or not at all.

        Raises
        ------
        DivfastError
            Where the dump has changed, has two prompts of one id, or the file cannot be written.
        """

        def write(temporary: Path) -> None:
            with temporary.open("w", encoding="utf-8") as file:
                for record in self._records():
                    file.write(json.dumps(record, ensure_ascii=False, default=str) + "\n")

        write_whole({Path(path): write})

    def _records(self) -> Iterator[dict[str, Any]]:
        """Yield a line of the file after the other."""
        rank = np.zeros(len(self.positions), np.int64)
        rank[self.picks.rows] = self._ranks
        value = np.full(len(rank), np.nan)
        value[self.picks.rows] = self.picks.values
        known: set[tuple[Any, ...]] = set()
        start = 0
        for part in self.parts:
            stream = engine.ahead(part.blocks) if isinstance(part.blocks, Blocks) else part.blocks
            stop = start + part.samples
            for block in stream:
                end = start + block.rows
                if end > stop or np.any(self.positions[start:end] != block.positions):
                    raise _changed(part)
                for record in _cut(block, rank[start:end], value[start:end], self.value, part.labels):
                    key = (record["input_id"], *part.labels.values())
                    if key in known:
                        raise DataError(
                            f"two prompts have the id {record['input_id']!r} and would become one.",
                            where=part.name,
                            remedy="Select from the dump of one model and task at a time.",
                        )
                    known.add(key)
                    yield record
                start = end
            if start != stop:
                raise _changed(part)

    def to_dict(self) -> dict[str, Any]:
        """Return what ``divfast select --format json`` prints."""
        results = [
            {name: json_number(value) if isinstance(value, float) else value for name, value in row.items()}
            for row in self.gained
        ]
        return {
            "results": results,
            "scope": self.recipe.scope,
            "short": self.short,
            "selected": self.samples.to_pylist(),
            "run": dict(self.run),
        }


def _cut(
    block: Samples,
    rank: NDArray[np.int64],
    value: NDArray[np.float64],
    name: str,
    labels: Mapping[str, str],
) -> Iterator[dict[str, Any]]:
    """Yield a line for every prompt of a block that has a selected sample."""
    chosen = np.flatnonzero(rank)
    groups = np.searchsorted(block.groups, chosen, side="right") - 1
    for group in np.unique(groups).tolist():
        first, last = np.searchsorted(groups, [group, group + 1])
        rows = chosen[first:last]
        index = pa.array(rows)
        record = {"input_id": block.ids[group].as_py(), "prompt": block.prompts[group].as_py(), **labels}
        record |= {
            "outputs": block.text.take(rows).strings(),
            "rank": rank[rows].tolist(),
            "position": block.positions[rows].tolist(),
            name: _plain(value[rows].tolist()),
        }
        record |= {key: _plain(column.take(index).to_pylist()) for key, column in block.per_sample.items()}
        for key, column in block.per_prompt.items():
            if column[group].is_valid:
                record[key] = _plain(column[group].as_py())
        yield record


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: no NaN, no infinity."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _changed(part: Part) -> DataError:
    return DataError(
        "changed while it was read.",
        where=part.name,
        remedy="Wait until the sampler has finished writing it.",
    )
