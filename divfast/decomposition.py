"""Lost diversity taken apart: how much of it is fewer wrong answers, and how much is narrower right ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from divfast.errors import DataError
from divfast.planning import SEMANTIC_DEFAULT
from divfast.rarefaction import is_its_own_expectation
from divfast.readers import find_dumps
from divfast.registry import parse_spec
from divfast.result import Report, json_number
from divfast.scoring import score
from divfast.stats import NOTHING, Interval, bootstrap_intervals, mean_and_std

# The diversity of right samples is that of two or more.
FEWEST = 2
_PARTS = ("loss", "residual", "quality_control", "share")
_SIDES = ("base_all", "model_all", "base_correct", "model_correct")

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Decomposition:
    """What became of one metric between two models.

    Attributes
    ----------
    metric : str
        The spec, with ``@k=4`` at equal size.
    over : {"own", "paired"}
        ``own``: each mean is over the prompts on which that model has a value; ``paired``: all four are over the
        prompts on which both models have all their values.
    base_all, model_all, base_correct, model_correct : float
        Means over prompts of the metric on all samples and on the right ones.
    loss, residual, quality_control, share : float
        ``base_all - model_all``; ``base_correct - model_correct``, what is lost among right samples too; ``loss -
        residual``, what is lost because there are fewer wrong ones; ``residual / loss``, NaN where the interval of the
        loss has 0 in it, or there is none.
    intervals : Mapping[str, (float, float)]
        95% bootstrap intervals over prompts of these four.
    computable : (int, int)
        Prompts with a value on right samples, of the base and of the model.
    prompts : (int, int)
        All prompts of each.
    signatures : Mapping[str, str]
        Of the four means over own prompts.
    """

    metric: str
    over: str
    base_all: float
    model_all: float
    base_correct: float
    model_correct: float
    loss: float
    residual: float
    quality_control: float
    share: float
    intervals: Mapping[str, Interval]
    computable: tuple[int, int]
    prompts: tuple[int, int]
    signatures: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return JSON types, null for what is undefined."""
        return {
            "metric": self.metric,
            "over": self.over,
            **{name: json_number(getattr(self, name)) for name in (*_SIDES, *_PARTS)},
            "intervals": {name: [json_number(end) for end in ends] for name, ends in self.intervals.items()},
            "computable_base": self.computable[0],
            "computable_model": self.computable[1],
            "prompts_base": self.prompts[0],
            "prompts_model": self.prompts[1],
            "signatures": dict(self.signatures),
        }


def decompose(
    base: str | Path,
    model: str | Path,
    metrics: Sequence[str] | None = None,
    *,
    where: str = "correct",
    seed: int = 0,
    **scoring: Any,
) -> list[Decomposition]:
    """Take apart what a model has lost in diversity against another: right samples on their own.

    Parameters
    ----------
    base, model : str or Path
        Two dumps of the same prompts with a verdict on every sample.
    metrics : sequence of str, optional
        As in `divfast.score`; by default ``cosine`` and ``vendi``.
    where : str
        The column of verdicts.
    seed : int
        Of the bootstrap.
    **scoring
        Options of `divfast.score`: ``encoder``, ``preset``, ``at_k``, ...

    Returns
    -------
    list of Decomposition
        Two a metric: over own prompts and over paired ones.

    Raises
    ------
    DivfastError
        Where `divfast.score` raises, ids repeat, or the dumps share no prompt.

    Notes
    -----
    A prompt counts for right samples where two or more are right. Over own prompts a model that solves other prompts is
    measured on other prompts; over paired ones it is not, but these are the easier ones. Look at both. The bootstrap
    draws prompts, the same for all four means; the interval of a share is that of the ratio. A metric that depends on
    the number of samples, as `vendi` does, sees fewer of them where fewer are right: compare at equal K with `at_k`.

    References
    ----------
    Karouzos, Tan and Aletras (2026), "Where does output diversity collapse in post-training?", arXiv 2604.16027.
    """
    paths = find_dumps([base, model])
    if len(paths) != 2:
        raise DataError(
            f"two dumps are needed, and these are {len(paths)}.", remedy="Name one base and one other model."
        )
    wanted = SEMANTIC_DEFAULT if metrics is None else metrics
    every = score(paths, wanted, scopes=["prompt"], seed=seed, **scoring)
    right = score(paths, wanted, scopes=["prompt"], seed=seed, where=where, **scoring)
    tables = [table for report in (every, right) for table in _tables(report)]
    ids = _joint_ids([tables[0], tables[1]], [str(path) for path in paths])
    half = len(every) // 2
    out = []
    for i, result in enumerate(every.results[:half]):
        results = (result, every.results[half + i], right.results[i], right.results[half + i])
        values = [_aligned(table, result.column, ids) for table in tables]
        signatures = {side: str(one.signature) for side, one in zip(_SIDES, results, strict=True)}
        sizes = (len(tables[0]), len(tables[1]))
        for over in ("own", "paired"):
            out.append(take_apart(result.column, over, values, sizes, signatures, seed=seed))
    return out


def take_apart(
    metric: str,
    over: str,
    values: Sequence[Floats],
    prompts: tuple[int, int],
    signatures: Mapping[str, str],
    *,
    seed: int = 0,
) -> Decomposition:
    """Return the decomposition of values per prompt.

    Parameters
    ----------
    metric, over, prompts, signatures
        As in `Decomposition`.
    values : sequence of float64[m]
        On the same m prompts, NaN where undefined: base and model on all samples, base and model on right ones.
    seed : int
        Of the bootstrap.

    Examples
    --------
    >>> base, model = np.array([0.4, 0.6]), np.array([0.2, 0.2])
    >>> right = np.array([0.3, np.nan]), np.array([0.2, 0.1])
    >>> found = take_apart("cosine", "own", [base, model, *right], (2, 2), {})
    >>> [round(value, 3) for value in (found.loss, found.residual, found.quality_control)]
    [0.3, 0.15, 0.15]
    """
    columns = np.ascontiguousarray(np.stack(values))
    if over == "paired":
        columns = np.ascontiguousarray(columns[:, ~np.isnan(columns).any(axis=0)])
    computable = np.count_nonzero(~np.isnan(columns[2:]), axis=1)
    means = np.array([mean_and_std(column)[0] for column in columns])
    parts = _parts(means[:, None])[:, 0]
    intervals = dict(zip(_PARTS, bootstrap_intervals(list(columns), of=_parts, seed=seed), strict=True))
    if np.isnan(intervals["loss"][0]):
        # Where too little is right for all the parts, there is still a loss.
        (intervals["loss"],) = bootstrap_intervals(
            list(columns[:2]), of=lambda means: means[:1] - means[1:], seed=seed
        )
    low, high = intervals["loss"]
    if not (low > 0 or high < 0):
        parts[3] = np.nan
        intervals["share"] = NOTHING
    return Decomposition(
        metric=metric,
        over=over,
        **{side: float(mean) for side, mean in zip(_SIDES, means, strict=True)},
        **{name: float(part) for name, part in zip(_PARTS, parts, strict=True)},
        intervals=intervals,
        computable=(int(computable[0]), int(computable[1])),
        prompts=prompts,
        signatures=signatures,
    )


def of_unequal_size(columns: Iterable[str]) -> str | None:
    """Return a sentence on the metrics whose parts are of unequal size; None where there are none.

    Examples
    --------
    >>> of_unequal_size(["cosine", "vendi", "vendi@k=4"])
    'vendi depends on K, and not all samples are right: compare at equal size (@k).'
    """
    found = [
        name
        for name in dict.fromkeys(columns)
        if "@" not in name and not is_its_own_expectation(parse_spec(name).metric, FEWEST)
    ]
    if not found:
        return None
    verb = "depends" if len(found) == 1 else "depend"
    return f"{', '.join(found)} {verb} on K, and not all samples are right: compare at equal size (@k)."


def _parts(means: Floats) -> Floats:
    """Return loss, residual, quality control and share of means, ``float64[4, r]`` to the same."""
    loss, residual = means[0] - means[1], means[2] - means[3]
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.stack([loss, residual, loss - residual, residual / loss])


def _tables(report: Report) -> Iterator[pa.Table]:
    """Yield the rows of each dump."""
    start = 0
    for dump in report.run["dumps"]:
        yield report.groups.slice(start, dump["prompts"])
        start += dump["prompts"]


def _joint_ids(tables: Sequence[pa.Table], names: Sequence[str]) -> pa.Array:
    ids = [table["input_id"].cast(pa.large_string()).combine_chunks() for table in tables]
    for name, column in zip(names, ids, strict=True):
        if len(pc.unique(column)) != len(column):
            raise DataError(
                "has several prompts of the same input_id, which cannot be paired.",
                where=name,
                remedy="Give every prompt an id of its own.",
            )
    joint = pc.unique(pa.concat_arrays(ids))
    if len(joint) == sum(map(len, ids)):
        raise DataError(
            f"no input_id is in both {names[0]} and {names[1]}.",
            remedy="Take dumps of the same prompts; --id-field names the field that holds the id.",
        )
    return joint


def _aligned(table: pa.Table, column: str, ids: pa.Array) -> Floats:
    """Return the values of a column for every id, NaN where there is none or there are too few samples."""
    values = np.asarray(table[column], np.float64)
    values = np.where(np.asarray(table["n"], np.int64) >= FEWEST, values, np.nan)
    at = pc.index_in(ids, value_set=table["input_id"].cast(pa.large_string()).combine_chunks())
    found = at.is_valid().to_numpy(zero_copy_only=False)
    out = np.full(len(ids), np.nan)
    out[found] = values[pc.drop_null(at).to_numpy(zero_copy_only=False)]
    return out
