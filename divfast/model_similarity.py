"""How alike are several models: the similarity of their samples for the same prompts, each with each."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import divfast
from divfast import engine
from divfast.dumps import AllDumps, Progress, block_limits, short_names, tell_apart, total_counts
from divfast.errors import DataError, MetricError, nearest
from divfast.model_vectors import ModelVectors, mean_similarity, nearest_match, shared_prompts
from divfast.output import save_report
from divfast.planning import SCOPE_DEFAULT
from divfast.readers import Blocks, find_dumps, read
from divfast.result import Signature, json_number, run_facts
from divfast.samples import Samples
from divfast.scope import SCOPES, check_scope
from divfast.stats import INTERVAL, REPLICATES, bootstrap_intervals, mean_and_std
from divfast.views.opening import KINDS, Sources

STATISTICS = {"mean": mean_similarity, "nearest": nearest_match}


@dataclass(frozen=True, eq=False)
class Similarity:
    """How alike two models are in one scope.

    Attributes
    ----------
    a, b : str
        The models; the same twice for the similarity within one.
    statistic, scope : str
        ``mean`` or ``nearest``; ``prompt``, ``first`` or ``pooled``.
    value, std : float
        Mean and standard deviation over prompts, or the value itself in the scopes ``first`` and ``pooled``.
    interval : (float, float)
        95% bootstrap interval of the mean over prompts; NaN outside the scope ``prompt``.
    groups, undefined : int
        How many groups there are, and for how many the value is undefined (these are not in the mean).
    signature : Signature
        The recipe.
    values : numpy.ndarray
        ``float64[groups]``.
    """

    a: str
    b: str
    statistic: str
    scope: str
    value: float
    std: float
    interval: tuple[float, float]
    groups: int
    undefined: int
    signature: Signature
    values: NDArray[np.float64] = field(repr=False)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of ``similarity.json``: JSON types, null for what is undefined."""
        return {
            "a": self.a,
            "b": self.b,
            "statistic": self.statistic,
            "scope": self.scope,
            "value": json_number(self.value),
            "std": json_number(self.std),
            "interval": [json_number(end) for end in self.interval],
            "groups": self.groups,
            "undefined": self.undefined,
            "signature": str(self.signature),
        }


@dataclass(frozen=True, eq=False)
class Similarities:
    """The similarity of all models to each other.

    Attributes
    ----------
    models : list of str
        In the order of the dumps.
    results : list of Similarity
        One for every pair of models and scope; both orders where the statistic has a direction.
    prompts : pyarrow.Table
        One row a prompt that all models have: ``input_id`` and one column ``A|B`` for each pair in the scope
        ``prompt``.
    run : Mapping
        ``dumps``, ``left_out`` (by model: how many prompts, and the first ids), versions, seconds.
    """

    models: Sequence[str]
    results: Sequence[Similarity]
    prompts: pa.Table
    run: Mapping[str, Any]

    def __iter__(self) -> Iterator[Similarity]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, key: tuple[str, str] | tuple[str, str, str]) -> Similarity:
        """Return the similarity of two models, as ``report["A", "B"]`` or ``report["A", "B", "pooled"]``."""
        a, b, *scope = key
        for x, y in ((a, b), (b, a)):
            for result in self.results:
                if (result.a, result.b) == (x, y) and (not scope or result.scope == scope[0]):
                    return result
        unknown = [name for name in (a, b) if name not in self.models]
        if unknown:
            raise MetricError(f"there is no model {unknown[0]!r}.", remedy=nearest(unknown[0], self.models))
        raise MetricError(f"there is no scope {scope[0]!r}.", remedy=nearest(scope[0], self.scopes))

    @property
    def scopes(self) -> list[str]:
        """The scopes that there are."""
        return list(dict.fromkeys(result.scope for result in self.results))

    @property
    def counts(self) -> dict[str, int]:
        """What readers changed or left out, over all dumps."""
        return total_counts(self.run["dumps"])

    def matrix(self, scope: str = "prompt") -> NDArray[np.float64]:
        """Return all values of a scope, ``float64[m, m]``: row A, column B."""
        return np.array([[self[a, b, scope].value for b in self.models] for a in self.models])

    def to_dict(self) -> dict[str, Any]:
        """Return ``similarity.json`` as Python objects."""
        matrices = {
            scope: [[json_number(value) for value in row] for row in self.matrix(scope).tolist()]
            for scope in self.scopes
        }
        return {
            "models": list(self.models),
            "matrix": matrices,
            "results": [result.to_dict() for result in self.results],
            "run": dict(self.run),
        }

    def save(self, folder: str | Path) -> None:
        """Write ``prompts.parquet`` and ``similarity.json`` into `folder`, whole or not at all.

        Raises
        ------
        OutputError
            Where the folder or a file cannot be written.
        """
        save_report(folder, self.to_dict(), {"prompts.parquet": self.prompts}, name="similarity.json")


def similarity(
    dumps: Sequence[str | Path | Samples],
    *,
    statistic: str = "mean",
    scopes: Sequence[str] = (),
    encoder: str | None = None,
    dtype: str = "float32",
    embeddings: str | None = None,
    seed: int = 0,
    threads: int | None = None,
    memory: int | None = None,
    cache: bool = True,
    progress: Progress | None = None,
    **reading: Any,
) -> Similarities:
    """Measure how alike the samples of several models are for the same prompts.

    Parameters
    ----------
    dumps : sequence of str, Path or Samples
        At least two: dumps on disk and patterns, or samples in memory, one model each. Prompts are matched by id.
    statistic : {"mean", "nearest"}
        ``mean``: the mean cosine over all pairs of a sample of the one and a sample of the other model.
        ``nearest``: the mean over the samples of A of the cosine with the nearest sample of B, which has a
        direction.
    scopes : sequence of {"prompt", "first", "pooled"}
        Within every prompt; among the first samples of all prompts; among all samples. By default prompt and pooled.
    encoder, dtype, cache : optional
        What makes the vectors; see `divfast.score`.
    embeddings : str, optional
        Vectors instead of an encoder, a file for each dump: ``{stem}`` in its name stands for the name of the dump.
    seed : int
        Of the bootstrap.
    threads, memory, progress, **reading
        As for `divfast.score`.

    Returns
    -------
    Similarities
        A matrix of models, and how each of its numbers was made.

    Raises
    ------
    DivfastError
        One sentence: where, what, and the remedy.

    Notes
    -----
    Only prompts that all dumps have samples of are compared, so that every number of the matrix is of the same
    prompts; those that are left out are counted and named. A model beside itself is compared over pairs of two
    samples, and so one minus its value is the metric `cosine` (or `chamfer` with ``nearest``) over these prompts;
    it is undefined for a prompt of one sample.

    ``mean`` has a closed form, the product of the sums of both: O(n d) time for each dump, O(g d) memory for g
    prompts, and O(g d) for each pair of models. ``nearest`` looks at every pair of samples, O(K^2 d) time a prompt,
    and holds the vectors, 4 d bytes a sample. In float64, except that the nearest of more than 2048 samples is
    found in float32. The expectation of ``mean`` does not depend on how many samples there are; ``nearest`` grows
    with those of B.

    The mean between models is the inter-model homogeneity of the Artificial Hivemind.

    References
    ----------
    Jiang et al. (2025), "Artificial Hivemind: The Open-Ended Homogeneity of Language Models (and Beyond)", arXiv
    2510.22954.

    Examples
    --------
    >>> import numpy as np
    >>> from divfast import Samples
    >>> from divfast.model_similarity import similarity
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     place = pathlib.Path(folder)
    ...     for name, rows in (("a", [[1, 0], [1, 0]]), ("b", [[1, 0], [0, 1]])):
    ...         _ = (place / f"{name}.jsonl").write_text('{"id": 1, "outputs": ["x", "y"]}')
    ...         np.save(place / f"{name}.npy", np.array(rows, np.float32))
    ...     found = similarity([place / "a.jsonl", place / "b.jsonl"], embeddings=f"{folder}/{{stem}}.npy")
    >>> found.matrix().tolist()  # both of a are alike; two of the four pairs of a and b are
    [[1.0, 0.5], [0.5, 0.0]]
    """
    started = time.perf_counter()
    if statistic not in STATISTICS:
        raise MetricError(f"unknown statistic {statistic!r}.", remedy=nearest(statistic, STATISTICS))
    wanted = [check_scope(name) for name in scopes or SCOPE_DEFAULT]
    sources = Sources(encoder=encoder, dtype=dtype, embeddings=embeddings, cache=cache, progress=progress)
    sources.check()
    if remedy := KINDS["vectors"].lacking(sources):
        raise MetricError("the similarity of models needs vectors.", remedy=remedy)
    with engine.use_threads(threads), engine.use_memory(memory):
        models, facts, parts = _gather(dumps, sources, statistic == "nearest", memory, reading)
        left_out = shared_prompts(models)
        results = _results(models, statistic, [scope for scope in SCOPES if scope in wanted], parts, seed)
    columns = {f"{each.a}|{each.b}": each.values for each in results if each.scope == "prompt"}
    run = run_facts(time.perf_counter() - started) | {
        "seed": seed,
        "interval": INTERVAL.format("prompts"),
        "prompts": len(models[0].ids),
        "left_out": left_out,
        "dumps": facts,
    }
    return Similarities(
        [model.name for model in models], results, pa.table({"input_id": models[0].ids, **columns}), run
    )


def _gather(
    dumps: Sequence[str | Path | Samples],
    sources: Sources,
    keep_rows: bool,
    memory: int | None,
    reading: Mapping[str, Any],
) -> tuple[list[ModelVectors], list[dict[str, Any]], list[tuple[str, str]]]:
    """Return what is held of every dump, facts about it, and how its vectors were made, as in a signature."""
    found = [[dump] if isinstance(dump, Samples) else find_dumps([dump]) for dump in dumps]
    given: list[Path | Samples] = list(dict.fromkeys(dump for some in found for dump in some))
    if len(given) < 2:
        raise DataError("there is nothing to compare with.", remedy="Give the dumps of two models or more.")
    paths = [dump for dump in given if isinstance(dump, Path)]
    names = dict(zip(paths, short_names(paths), strict=True))
    told = AllDumps([[path] for path in paths], sources.progress) if sources.progress is not None else None
    opened = KINDS["vectors"].open(sources)
    models: list[ModelVectors] = []
    facts: list[dict[str, Any]] = []
    parts = []
    for dump in given:
        fact: dict[str, Any] = {"dump": None}
        if isinstance(dump, Samples):
            name, view = f"dump {len(models) + 1}", opened(None)
            model, meta = ModelVectors([dump], view, name, keep_rows=keep_rows), dump.meta
        else:
            name, view = names[dump], opened(dump)
            blocks = read(dump, columns=(), **block_limits(memory), **reading)
            tell = told.of(paths.index(dump)) if told is not None else None
            model, meta = ModelVectors(_telling(blocks, tell), view, name, keep_rows=keep_rows), blocks.meta
            fact = {"dump": blocks.name, "reader": blocks.reader, "counts": dict(blocks.counts)}
            if blocks.skipped:
                fact["skipped_records"] = list(blocks.skipped)
        fact |= {"model": meta.get("model") or name, "task": meta.get("task")}
        fact |= {"prompts": len(model.sizes), "samples": int(model.sizes.sum()), "data": model.fingerprint}
        models.append(model)
        facts.append(fact)
        key, _, text = view.signature.partition(":")
        parts.append((key, text))
    labels = [(fact["model"], None) for fact in facts]
    for model, fact, label in zip(models, facts, tell_apart(labels, [m.name for m in models]), strict=True):
        model.name = fact["model"] = str(label)
    return models, facts, parts


def _telling(blocks: Blocks, progress: Progress | None) -> Iterator[Samples]:
    """Yield blocks, and tell how far they have been read."""
    for block in blocks:
        yield block
        if progress is not None:
            progress(*blocks.position, "bytes")


def _results(
    models: Sequence[ModelVectors],
    statistic: str,
    scopes: Sequence[str],
    parts: Sequence[tuple[str, str]],
    seed: int,
) -> list[Similarity]:
    directed = statistic == "nearest"
    nothing = (float("nan"), float("nan"))
    results = []
    for scope in scopes:
        cells = [
            (i, j, STATISTICS[statistic](a, b, scope))
            for i, a in enumerate(models)
            for j, b in enumerate(models)
            if i <= j or directed
        ]
        intervals = [nothing] * len(cells)
        if scope == "prompt":
            intervals = bootstrap_intervals([values for _, _, values in cells], seed=seed)
        for (i, j, values), interval in zip(cells, intervals, strict=True):
            value, std = mean_and_std(values)
            rows = [len(models[k].ids) if scope == "first" else int(models[k].sizes.sum()) for k in (i, j)]
            recipe: dict[str, Any] = {"scope": scope, "groups": len(values), "rows": _both(*rows)}
            recipe[parts[i][0]] = _both(parts[i][1], parts[j][1])
            recipe["data"] = _both(models[i].fingerprint, models[j].fingerprint)
            if scope == "prompt":
                recipe |= {"bs": REPLICATES, "rs": seed}
            recipe["v"] = divfast.__version__
            results.append(
                Similarity(
                    models[i].name,
                    models[j].name,
                    statistic,
                    scope,
                    value,
                    std,
                    interval,
                    len(values),
                    int(np.isnan(values).sum()),
                    Signature(f"similarity:statistic={statistic}", recipe),
                    values,
                )
            )
    return results


def _both(a: Any, b: Any) -> str:
    """Return two parts of a signature as one."""
    return str(a) if a == b else f"{a},{b}"
