"""Every dump of a study verified and scored, as far as that was not done before."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

import divfast
from divfast.dumps import Progress, stem
from divfast.errors import MetricError
from divfast.planning import LEXICAL_DEFAULT, SEMANTIC_DEFAULT
from divfast.plugins import load_files
from divfast.quality.verified import verify
from divfast.quality.verifiers import find_verifier
from divfast.readers.source import Source
from divfast.registry import parse_spec
from divfast.result import Report
from divfast.scoring import score
from divfast.studies.cells import Cell, Column, Scores, Store, recipe_key
from divfast.studies.keywords import verify_options
from divfast.studies.plan import Study, Task
from divfast.views.answers import WHOLE

LENGTH = "length"
# Of tasks with verdicts, and of those that also have answers.
VERDICTS = ("accuracy", "accuracy_at_1")
VOTES = ("majority", "mv_gain")
# A killed run loses one batch; a model is loaded once a batch.
_BATCH_DUMPS = 16
_BATCH_BYTES = 64 << 20
# Options that tell where programs are, for verifiers too.
_OF_PROGRAMS = ("code_field", "continuation", "stop")
# How a dump is read: of one that was verified, and so written anew, these hold no longer.
_OF_THE_SOURCE = ("reader", "outputs_field", "id_field", "prompt_field", "prompts")


@dataclass
class Measured:
    """What is known of one cell.

    Attributes
    ----------
    metrics : tuple of str
        The specs of diversity.
    every : Scores
        On all samples; beside the metrics the length, and what verdicts tell.
    right : Scores or None
        On right samples; None where the task has no verifier.
    """

    cell: Cell
    metrics: tuple[str, ...]
    every: Scores
    right: Scores | None


@dataclass
class Work:
    """How much was done: dumps that were scored now or known, and such that were verified now or known."""

    scored: int = 0
    known: int = 0
    verified: int = 0
    verified_before: int = 0


@dataclass
class _Job:
    """One dump to score on all its samples, or on the right ones alone."""

    cell: Cell
    paths: tuple[Path, ...]
    digest: str
    options: Mapping[str, Any]
    where: str | None
    wanted: tuple[str, ...]
    recipe: str = ""
    known: Scores | None = None
    missing: tuple[str, ...] = field(default=())


def metrics_of(study: Study, task: str) -> tuple[str, ...]:
    """Return the specs of a task, checked; those of `divfast.score` where the study names none."""
    options = study.scoring(task)
    load_files(options.get("plugins") or ())
    given = study.tasks[task].metrics or study.metrics
    if not given:
        has_vectors = options.get("encoder") is not None or options.get("embeddings") is not None
        given = (*LEXICAL_DEFAULT, *(SEMANTIC_DEFAULT if has_vectors else ()))
    for spec in given:
        try:
            parse_spec(spec, preset=str(options.get("preset", "default")))
        except MetricError as error:
            raise MetricError(error.what, where=str(study.path), remedy=error.remedy) from None
    return given


def measure(
    study: Study,
    cells: Sequence[Cell],
    store: Store,
    *,
    work: Work,
    seed: int = 0,
    threads: int | None = None,
    memory: int | None = None,
    allow_code_execution: bool = False,
    progress: Progress | None = None,
) -> Iterator[list[Measured]]:
    """Yield what is known of the cells of every task, task by task.

    Parameters
    ----------
    study, cells, store
        What to score, and where what is known is kept.
    work : Work
        Is told what was done.
    seed, threads, memory, progress
        As in `divfast.score`.
    allow_code_execution : bool
        As in `divfast.verify`.
    """
    metrics = {task: metrics_of(study, task) for task in study.tasks}
    # Left out where it is not given: not every verifier takes it.
    allowing = {"allow_code_execution": True} if allow_code_execution else {}
    runs = {"seed": seed, "threads": threads, "memory": memory, "progress": progress}
    for name, task in study.tasks.items():
        jobs = []
        for cell in cells:
            if cell.task == name:
                jobs.append(_jobs(study, task, cell, store, metrics[name], work, allowing, runs))
        store.remember()
        flat = [job for pair in jobs for job in pair]
        for job in flat:
            _look_up(job, store, seed)
        for batch in _batches([job for job in flat if job.missing]):
            _score(batch, store, runs)
        for pair in jobs:
            new = any(job.missing for job in pair)
            work.scored += new
            work.known += not new
        yield [
            Measured(pair[0].cell, metrics[name], _known(pair[0]), _known(pair[1]) if len(pair) > 1 else None)
            for pair in jobs
        ]


def _known(job: _Job) -> Scores:
    assert job.known is not None
    return job.known


def _jobs(
    study: Study,
    task: Task,
    cell: Cell,
    store: Store,
    metrics: tuple[str, ...],
    work: Work,
    allowing: Mapping[str, Any],
    runs: Mapping[str, Any],
) -> list[_Job]:
    """Return what to score of a cell, verified where need be."""
    options = {name: value for name, value in study.scoring(task.name).items() if name != "seed"}
    wanted = tuple(dict.fromkeys((*metrics, LENGTH)))
    if task.verify is None:
        return [_Job(cell, cell.paths, store.digest(cell.paths), options, None, wanted)]
    paths, digest = cell.paths, store.digest(cell.paths)
    answers = str(options.get("answers_field", "extracted"))
    if task.verify["verifier"] == "labels":
        options = {**options, "correct_field": task.verify.get("labels", "correct")}
        first = Source(paths[0]).first_record
        has_answers = answers == WHOLE or (first is not None and answers in first)
    else:
        path, made = _verified(task, cell, store, options, allowing, runs)
        work.verified += made
        work.verified_before += not made
        paths, digest, has_answers = (path,), recipe_key({"verified": path.parent.name}), True
        options = {name: value for name, value in options.items() if name not in _OF_THE_SOURCE}
    quality = (*VERDICTS, *(VOTES if has_answers else ()))
    where = str(options.get("correct_field", "correct"))
    diverse = tuple(spec for spec in metrics if parse_spec(spec).metric.view != "answers")
    every = tuple(dict.fromkeys((*wanted, *quality)))
    return [
        _Job(cell, paths, digest, options, None, every),
        _Job(cell, paths, digest, options, where, diverse),
    ]


def _verified(
    task: Task,
    cell: Cell,
    store: Store,
    options: Mapping[str, Any],
    allowing: Mapping[str, Any],
    runs: Mapping[str, Any],
) -> tuple[Path, bool]:
    assert task.verify is not None
    settings = dict(task.verify)
    verifier = find_verifier(settings.pop("verifier"))
    reading = {
        name: options[name] for name in (*_OF_THE_SOURCE, "on_error", "keep_reasoning") if name in options
    }
    settings |= {name: options[name] for name in verify_options() if name in _OF_PROGRAMS and name in options}
    recipe = {
        "verifier": verifier.name,
        "version": verifier.version,
        "packages": {name: importlib.metadata.version(name) for name in verifier.packages},
        "settings": {**settings, **allowing},
        "reading": reading,
    }

    def write(path: Path) -> None:
        verify(list(cell.paths), verifier.name, path, **settings, **reading, **allowing, **runs)

    return store.verified(cell, recipe, write)


def _look_up(job: _Job, store: Store, seed: int) -> None:
    """Find out what is known already."""
    recipe: dict[str, Any] = {"version": divfast.__version__, "where": job.where, "seed": seed}
    recipe |= {name: value for name, value in job.options.items() if name != "cache"}
    for name in ("plugins", "prompts", "embeddings"):
        if job.options.get(name):
            files = [job.options[name]] if isinstance(job.options[name], str) else job.options[name]
            named = [
                Path(file.replace("{stem}", stem(job.paths[0])).partition(".parquet:")[0]) for file in files
            ]
            # A column of a Parquet file is named behind a colon.
            whole = [path if path.suffix else path.with_suffix(".parquet") for path in named]
            recipe[f"{name} hold"] = [store.digest([path]) for path in whole]
    job.recipe = recipe_key(recipe)
    job.known = store.load(job.digest, job.recipe)
    there = () if job.known is None else job.known.columns
    job.missing = tuple(spec for spec in job.wanted if spec not in there)


def _batches(jobs: Sequence[_Job]) -> Iterator[list[_Job]]:
    """Yield jobs that one call of `divfast.score` can do together."""
    batch: list[_Job] = []
    size = 0
    for job in sorted(jobs, key=lambda job: (job.where or "", repr(job.options), job.missing)):
        bytes_ = sum(path.stat().st_size for path in job.paths)
        alike = batch and (batch[0].where, batch[0].options, batch[0].missing) == (
            job.where,
            job.options,
            job.missing,
        )
        single = len(job.paths) == 1 and all(len(other.paths) == 1 for other in batch)
        if batch and not (alike and single and len(batch) < _BATCH_DUMPS and size + bytes_ <= _BATCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(job)
        size += bytes_
    if batch:
        yield batch


def _score(batch: Sequence[_Job], store: Store, runs: Mapping[str, Any]) -> None:
    """Score dumps, and keep what was found of each."""
    first = batch[0]
    report = score(
        [str(path) for job in batch for path in job.paths],
        list(first.missing),
        scopes=["prompt"],
        where=first.where,
        join=len(first.paths) > 1,
        **{**first.options, **runs},
    )
    for job, found in zip(batch, _split(report), strict=True):
        if job.known is not None and job.known.ids.equals(found.ids):
            found.columns = {**job.known.columns, **found.columns}
        job.known = found
        store.save(job.digest, job.recipe, found)


def _split(report: Report) -> Iterator[Scores]:
    """Yield what a report holds of each dump."""
    start = 0
    results = list(report)
    dumps = report.run["dumps"]
    each = len(results) // len(dumps)
    for i, dump in enumerate(dumps):
        rows = report.groups.slice(start, dump["prompts"])
        start += dump["prompts"]
        columns = {
            result.column: Column(result.values, result.unit, str(result.signature))
            for result in results[i * each : (i + 1) * each]
            if not (result.metric == LENGTH and result.k)
        }
        ids = rows["input_id"].cast(pa.large_string()).combine_chunks()
        yield Scores(ids, np.asarray(rows["n"], np.int64), columns)
