"""What was measured, prompt beside prompt: the same prompts, in the same order, of every model of a task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from divfast.decomposition import FEWEST
from divfast.errors import DataError
from divfast.rarefaction import is_its_own_expectation
from divfast.registry import parse_spec
from divfast.studies.cells import Floats, Scores
from divfast.studies.measuring import LENGTH, VERDICTS, VOTES, Measured


@dataclass(frozen=True)
class Grid:
    """One task in one setting of the factors: all models on the same prompts.

    Attributes
    ----------
    task : str
        Its name.
    factors : Mapping[str, str]
        The setting.
    models : tuple of str
        Rows of the arrays.
    metrics : tuple of str
        Columns that measure diversity and can be compared between the models.
    values : Mapping[str, float64[m, p]]
        Of every column a row a model, a value a prompt, NaN where undefined: metrics, ``length``, and where there are
        verdicts what `quality` lists.
    right : Mapping[str, float64[m, p]]
        The metrics on right samples, where there are verdicts; NaN where fewer than two are right.
    units : Mapping[str, str]
        What the columns measure.
    signatures : Mapping[(str, str), str]
        By model and column.
    """

    task: str
    factors: Mapping[str, str]
    models: tuple[str, ...]
    metrics: tuple[str, ...]
    values: Mapping[str, Floats]
    right: Mapping[str, Floats]
    units: Mapping[str, str]
    signatures: Mapping[tuple[str, str], str]

    @property
    def prompts(self) -> int:
        """How many there are."""
        return int(next(iter(self.values.values())).shape[1])

    @property
    def quality(self) -> list[str]:
        """Columns that tell how good samples are."""
        beside = (*self.metrics, LENGTH)
        return [name for name in self.values if name in (*VERDICTS, *VOTES) or name not in beside]

    def row(self, model: str) -> int:
        """Return the row of a model."""
        return self.models.index(model)


def grids(measured: Sequence[Measured], *, intersect: bool, remarks: list[str]) -> Iterator[Grid]:
    """Yield the grids of one task, a setting of the factors after the other.

    Parameters
    ----------
    measured : sequence of Measured
        All cells of the task.
    intersect : bool
        Where models have other prompts, go on with those that all have.
    remarks : list of str
        Is told what was left out.

    Raises
    ------
    DataError
        Where ids repeat, models have other prompts, or a metric depends on K and K differs.
    """
    task = measured[0].cell.task
    ids, places = _same_prompts(measured, intersect, remarks)
    sizes = [one.every.sizes[at] for one, at in zip(measured, places, strict=True)]
    metrics = _comparable(measured, sizes, ids, remarks)
    settings = [
        dict(setting) for setting in dict.fromkeys(tuple(one.cell.factors.items()) for one in measured)
    ]
    for factors in settings:
        here = [i for i, one in enumerate(measured) if one.cell.factors == factors]

        def stacked(name: str, of: str, here: Sequence[int] = here) -> Floats:
            found = []
            for i in here:
                scores: Scores = getattr(measured[i], of)
                values = scores.columns[name].values
                if of == "right":
                    values = np.where(scores.sizes >= FEWEST, values, np.nan)
                found.append(values[places[i]])
            return np.stack(found)

        every = [measured[i].every for i in here]
        names = [name for name in every[0].columns if all(name in other.columns for other in every)]
        right = measured[here[0]].right
        yield Grid(
            task=task,
            factors=factors,
            models=tuple(measured[i].cell.model for i in here),
            metrics=metrics,
            values={
                name: stacked(name, "every")
                for name in names
                if name in metrics or name in (LENGTH, *VERDICTS, *VOTES)
            },
            right={}
            if right is None
            else {name: stacked(name, "right") for name in metrics if name in right.columns},
            units={name: column.unit for name, column in every[0].columns.items()},
            signatures={
                (measured[i].cell.model, name): column.signature
                for i in here
                for name, column in measured[i].every.columns.items()
            },
        )


def _same_prompts(
    measured: Sequence[Measured], intersect: bool, remarks: list[str]
) -> tuple[pa.Array, list[NDArray[np.int64]]]:
    """Return the ids of the prompts of a task, and where each stands in every cell."""
    first = measured[0]
    for one in measured:
        if pc.count_distinct(one.every.ids, mode="all").as_py() != len(one.every.ids):
            raise DataError(
                "has several prompts of the same input_id, which cannot be paired.",
                where=one.cell.name,
                remedy="Give every prompt an id of its own.",
            )
    ids = first.every.ids
    most = len(ids)
    for one in measured[1:]:
        common = ids.filter(pc.is_in(ids, value_set=one.every.ids))
        if not intersect and not len(common) == len(ids) == len(one.every.ids):
            raise DataError(
                f"the prompts differ: {first.cell.name} has {len(ids):,} and {one.cell.name} has "
                f"{len(one.every.ids):,}, of which {len(common):,} are in both.",
                where=str(one.cell.paths[0]),
                remedy="Take dumps of the same prompts, or go on with those that all have: --intersect.",
            )
        ids = common
        most = max(most, len(one.every.ids))
    if not len(ids):
        raise DataError(
            "no input_id is in the dumps of all models.",
            where=first.cell.task,
            remedy="Take dumps of the same prompts; options.id_field names the field that holds the id.",
        )
    if len(ids) < most:
        remarks.append(f"{first.cell.task}: {len(ids):,} prompts that all dumps have, of up to {most:,}.")
    places = [np.asarray(pc.index_in(ids, value_set=one.every.ids), np.int64) for one in measured]
    return ids, places


def _comparable(
    measured: Sequence[Measured], sizes: Sequence[NDArray[np.int64]], ids: pa.Array, remarks: list[str]
) -> tuple[str, ...]:
    """Return the columns of diversity that may be compared: at unequal K those that do not depend on it."""
    specs = measured[0].metrics
    there = list(measured[0].every.columns)
    columns = {
        spec: [name for name in there if name == spec or name.startswith(f"{spec}@")] for spec in specs
    }
    apart = next((i for i, one in enumerate(sizes) if not np.array_equal(one, sizes[0])), None)
    if apart is None:
        return tuple(name for names in columns.values() for name in names)
    smallest = int(min(one.min() for one in sizes))
    kept: list[str] = []
    left = []
    for spec, names in columns.items():
        if spec == LENGTH or is_its_own_expectation(parse_spec(spec).metric, max(2, smallest)):
            kept += names
            continue
        if len(names) < 2:
            at = int(np.flatnonzero(sizes[apart] != sizes[0])[0])
            fewest = int(min(np.median(one) for one in sizes))
            raise DataError(
                f"{spec} depends on K, which differs: {sizes[0][at]} samples of {ids[at].as_py()!r} from "
                f"{measured[0].cell.name}, {sizes[apart][at]} from {measured[apart].cell.name}.",
                where=str(measured[apart].cell.paths[0]),
                remedy=f"Compare at equal size: options.at_k: [{fewest}]."
                if fewest > 1
                else "Draw as many samples of each prompt from every model.",
            )
        kept += names[1:]
        left.append(spec)
    if left:
        remarks.append(
            f"{measured[0].cell.task}: K differs, and so {', '.join(left)} only at equal size (@k)."
        )
    return tuple(kept)
