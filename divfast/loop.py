"""The loop: read a block, build each view once, run each metric, accumulate, sign."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import divfast
from divfast import _core, engine
from divfast.backends import accumulator, adopting, per_group
from divfast.dumps import Progress
from divfast.per_sample import SampleValues
from divfast.planning import Plan
from divfast.rarefaction import CorpusSubsets, PromptSubsets, Rarefied
from divfast.readers import Blocks
from divfast.registry import BUILT_IN
from divfast.result import Result, Signature
from divfast.samples import Samples
from divfast.scope import Scope, first_rows
from divfast.stats import REPLICATES, bootstrap_intervals, mean_and_std
from divfast.viewed import take_rows
from divfast.views.answers import holds


@dataclass
class Scored:
    """One dump's share of a report."""

    results: list[Result]
    groups: pa.Table
    samples: pa.Table | None = None
    facts: dict[str, Any] = field(default_factory=dict)


def score_blocks(
    plan: Plan,
    blocks: Iterable[Samples],
    meta: Mapping[str, Any] | None,
    path: Path | None,
    name: str | None,
    progress: Progress | None,
) -> Scored:
    """Score one dump, called `name` unless it names its model."""
    views: dict[str, Any] = {**plan.views, **{key: opened(path) for key, opened in plan.of_dump.items()}}
    keys = [plan.view(spec) for spec in plan.specs]
    corpora: dict[Scope, Sequence[Any]] = {
        scope: [accumulator(spec.metric, plan.parameters(spec), plan.backend) for spec in plan.specs]
        for scope in plan.scopes
        if scope != "prompt"
    }
    takers = {scope: adopting(accumulators, keys) for scope, accumulators in corpora.items()}
    calls = [(spec.metric, plan.parameters(spec), key) for spec, key in zip(plan.specs, keys, strict=True)]
    values: list[list[NDArray[np.float64]]] = [[] for _ in plan.specs]
    at_k = PromptSubsets(plan, keys)
    at_n = {scope: CorpusSubsets(plan, keys) for scope in corpora}
    ids, sizes = [], []
    print_ = 0
    samples = SampleValues(plan) if plan.per_sample else None
    stream = engine.ahead(blocks) if engine.threads() > 1 and isinstance(blocks, Blocks) else blocks
    rows_read = 0
    for block in stream:
        rows_read += block.rows
        if plan.where is not None:
            block = where(block, plan.where)
        print_ = _core.fingerprint(block.text.values, block.text.offsets, block.groups, print_)
        ids.append(block.ids)
        sizes.append(np.diff(block.groups))
        first = first_rows(block.groups)
        if list(plan.scopes) == ["first"]:
            block = _only(block, first)
            first = np.arange(len(first))
        rows = {key: views[key].build(block) for key in dict.fromkeys(keys)}
        if "prompt" in plan.scopes:
            for column, found in zip(values, per_group(calls, plan.backend, rows, block.groups), strict=True):
                column.append(found)
            at_k.add(block, rows, [column[-1] for column in values])
        for scope, accumulators in takers.items():
            chosen = rows
            if scope == "first":
                chosen = {key: take_rows(of, first) for key, of in rows.items()}
            for corpus, key in accumulators:
                corpus.add(chosen[key])
            at_n[scope].add(chosen)
        if samples is not None:
            samples.add(block, [rows[key] for key in keys])
        if progress is not None and isinstance(blocks, Blocks):
            progress(*blocks.position, "bytes")
    counts = np.concatenate(sizes) if sizes else np.zeros(0, np.int64)
    for view in views.values():
        if hasattr(view, "finish"):
            view.finish(rows_read)
    if meta is None and isinstance(blocks, Blocks):
        meta = blocks.meta
    meta = dict(meta or {})
    meta["model"] = meta.get("model") or name
    columns = [np.concatenate(column) if column else np.full(len(counts), np.nan) for column in values]
    results = _results(plan, views, keys, columns, corpora, at_k, at_n, counts, print_, meta)
    table = {"input_id": pa.chunked_array(ids, pa.large_string()), "n": counts}
    table.update({result.column: result.values for result in results if result.scope == "prompt"})
    facts: dict[str, Any] = {"model": meta["model"], "task": meta.get("task")}
    facts |= {"prompts": len(counts), "samples": int(counts.sum())}
    if isinstance(blocks, Blocks):
        facts |= {"dump": blocks.name, "reader": blocks.reader, "counts": dict(blocks.counts)}
        if blocks.skipped:
            facts["skipped_records"] = list(blocks.skipped)
    facts |= {key: dict(view.facts) for key, view in views.items() if view.facts}
    per_sample = None if samples is None else samples.table(corpora.get("pooled", ()))
    return Scored(results, pa.table(table), per_sample, facts)


def where(block: Samples, condition: str) -> Samples:
    """Return the samples for which a condition holds; every prompt stays, if need be without samples."""
    kept = holds(block, condition)
    taken = np.flatnonzero(kept)
    return replace(
        block,
        text=block.text.take(taken),
        groups=np.concatenate([[0], np.cumsum(kept)])[block.groups].astype(np.int64),
        positions=block.positions[taken],
        per_sample={key: column.take(pa.array(taken)) for key, column in block.per_sample.items()},
    )


def _only(block: Samples, rows: NDArray[np.int64]) -> Samples:
    """Return the named rows, one a group, each with what the dump says of it and of its prompt."""
    taken, groups = pa.array(rows), pa.array(np.searchsorted(block.groups, rows, side="right") - 1)
    return Samples(
        block.text.take(rows),
        np.arange(len(rows) + 1),
        block.ids.take(groups),
        block.prompts.take(groups),
        block.positions[rows],
        {name: column.take(taken) for name, column in block.per_sample.items()},
        {name: column.take(groups) for name, column in block.per_prompt.items()},
        block.meta,
    )


def _results(
    plan: Plan,
    views: Mapping[str, Any],
    keys: Sequence[str],
    values: Sequence[NDArray[np.float64]],
    corpora: Mapping[Scope, Sequence[Any]],
    at_k: PromptSubsets,
    at_n: Mapping[Scope, CorpusSubsets],
    counts: NDArray[np.int64],
    data: int,
    meta: Mapping[str, Any],
) -> list[Result]:
    nothing = (float("nan"), float("nan"))
    results = []
    for scope in plan.scopes:
        columns = []
        for i, spec in enumerate(plan.specs):
            if not plan.covers(spec, scope):
                continue
            column = values[i] if scope == "prompt" else np.array([corpora[scope][i].result()])
            sizes = at_k.of(i) if scope == "prompt" else at_n[scope].of(i, float(column[0]))
            columns += [(i, spec, rarefied) for rarefied in (Rarefied({}, column, ""), *sizes)]
        intervals = [nothing] * len(columns)
        if scope == "prompt":
            intervals = bootstrap_intervals([each.values for _, _, each in columns], seed=plan.seed)
        if scope == "first":
            groups, rows = 1, int(np.count_nonzero(counts))
        else:
            groups, rows = (len(counts) if scope == "prompt" else 1), int(counts.sum())
        for (i, spec, rarefied), interval in zip(columns, intervals, strict=True):
            column = rarefied.values
            value, std = mean_and_std(column)
            parts: dict[str, Any] = {"scope": scope, "groups": groups, "rows": rows, **rarefied.size}
            if rarefied.draws:
                parts["draws"] = rarefied.draws
            if plan.where is not None:
                parts["where"] = plan.where
            if plan.preset != "default":
                parts["preset"] = plan.preset
            key, _, text = views[keys[i]].signature.partition(":")
            parts[key] = text
            parts["data"] = f"{data >> 32:08x}"
            if scope == "prompt":
                parts |= {"bs": REPLICATES, "rs": plan.seed}
            elif rarefied.draws not in ("", "exact"):
                parts["rs"] = plan.seed
            if spec.metric.origin != BUILT_IN:
                parts["by"] = spec.metric.origin
            parts["v"] = divfast.__version__
            results.append(
                Result(
                    metric=spec.given,
                    scope=scope,
                    value=value,
                    std=std,
                    interval=interval,
                    groups=groups,
                    undefined=int(np.isnan(column).sum()) if scope == "prompt" else int(np.isnan(value)),
                    unit=spec.metric.unit,
                    signature=Signature(spec.canonical, parts),
                    values=column,
                    model=meta.get("model"),
                    task=meta.get("task"),
                    k=rarefied.size.get("k"),
                    n=rarefied.size.get("n"),
                )
            )
    return results
