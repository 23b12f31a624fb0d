"""The loop: read a block, build each view once, run each metric, accumulate, sign."""

from __future__ import annotations

import importlib
import os
import platform
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import divfast
from divfast import _core, engine
from divfast.backends import BACKENDS, why_not
from divfast.errors import BackendError, DataError, MetricError, nearest
from divfast.readers import Blocks, find_dumps, read
from divfast.registry import PRESETS, MetricSpec, Preset, parse_spec
from divfast.result import Report, Result, Signature
from divfast.samples import Ragged, Samples
from divfast.scope import SCOPES, Scope, check_scope, first_rows, one_group
from divfast.stats import REPLICATES, bootstrap_intervals, mean_and_std
from divfast.views import View

LEXICAL_DEFAULT = ("ead", "distinct:n=1", "distinct:n=2", "distinct:n=3")
SEMANTIC_DEFAULT = ("cosine", "vendi")
SCOPE_DEFAULT: tuple[Scope, ...] = ("prompt", "pooled")

Backend = Literal["auto", "cpu", "cuda", "reference"]
Progress = Callable[[int, int | None, str], None]


@dataclass(frozen=True)
class Plan:
    """What to compute, checked before anything is read."""

    specs: Sequence[MetricSpec]
    scopes: Sequence[Scope]
    preset: Preset
    backend: Backend
    seed: int
    tokens: Mapping[str, View]
    vectors: Callable[[Path | None], View] | None
    shares_vectors: bool

    def parameters(self, spec: MetricSpec) -> dict[str, Any]:
        """Return the keyword arguments of a metric."""
        extra = {"preset": self.preset} if spec.metric.takes_preset else {}
        return {**spec.parameters, **extra}

    def tokenizer(self, spec: MetricSpec) -> str:
        """Return the key of the tokens view that a metric eats."""
        return spec.metric.tokenizers.get(self.preset, "whitespace") if "" not in self.tokens else ""


@dataclass
class _Scored:
    """One dump's share of a report."""

    results: list[Result]
    groups: pa.Table
    facts: dict[str, Any] = field(default_factory=dict)


class _ReferenceCorpus:
    """The reference over a whole corpus: all rows as one group."""

    def __init__(self, function: Callable[..., NDArray[np.float64]], parameters: Mapping[str, Any]) -> None:
        self._function = function
        self._parameters = parameters
        self._rows: list[Any] = []

    def add(self, rows: Any) -> None:
        self._rows.extend(_plain(rows))

    def result(self) -> float:
        rows: Any = np.array(self._rows) if self._rows and isinstance(self._rows[0], np.ndarray) else self._rows
        return float(self._function(rows, [0, len(rows)], **self._parameters)[0])


def _plain(rows: Any) -> Any:
    """Return rows as the reference takes them: lists of tokens, or float64 vectors."""
    return [row.tolist() for row in rows] if isinstance(rows, Ragged) else np.asarray(rows, np.float64)


def _reference(spec: MetricSpec) -> Callable[..., NDArray[np.float64]]:
    module = importlib.import_module(f"divfast.reference.{spec.metric.name}")
    function: Callable[..., NDArray[np.float64]] = getattr(module, spec.metric.name)
    return function


def score(
    source: Any = None,
    metrics: Sequence[str] | None = None,
    *,
    scopes: Sequence[str] = SCOPE_DEFAULT,
    preset: str = "default",
    tokenizer: str | None = None,
    vocab_size: int | None = None,
    encoder: str | None = None,
    dtype: str = "float32",
    embeddings: Any = None,
    groups: Any = None,
    seed: int = 0,
    backend: str = "auto",
    threads: int | None = None,
    memory: int | None = None,
    cache: bool = True,
    progress: Progress | None = None,
    join: bool = False,
    **reading: Any,
) -> Report:
    """Score the diversity of the outputs in one or more dumps, or in memory.

    Parameters
    ----------
    source : str, Path, Samples, list of list of str, or a list of paths
        What to score: a dump on disk (``-`` is standard input), a pattern such as ``runs/*.jsonl.gz``, several of
        them (each becomes rows of its own in the report), or texts in memory, one list of strings a prompt. May be
        left out where `embeddings` says it all.
    metrics : sequence of str, optional
        Specs such as ``"ead"`` or ``"vendi:q=2"``. By default the lexical set, and the semantic one where there is
        an encoder or embeddings.
    scopes : sequence of {"prompt", "first", "pooled"}
        Every prompt's samples; the first sample of every prompt together; all samples together.
    preset : {"default", "paper"}
        ``paper`` reproduces the published code of arXiv 2604.16027, quirks included.
    tokenizer : str, optional
        ``whitespace``, ``paper``, ``words``, ``chars``, ``13a``, or a Hugging Face tokenizer by name or folder.
        By default what each metric and preset defines.
    vocab_size : int, optional
        V of EAD; by default 50257, or the size of a Hugging Face tokenizer's vocabulary.
    encoder : str, optional
        ``minilm`` (needs no network), or a sentence-transformers or transformers encoder by name or folder.
    dtype : {"float32", "bfloat16", "float16"}
        Of the encoder.
    embeddings : str, numpy.ndarray or torch.Tensor, optional
        Vectors instead of an encoder, one for each sample in the order of the dump: a ``.npy`` file, a Parquet
        column as ``file.parquet:column``, or an array ``float[n, d]``. ``{stem}`` in a name stands for the name of
        the dump without its suffixes.
    groups : array of int64[g + 1], optional
        With `embeddings` in memory and no `source`: rows of each prompt. By default one group.
    seed : int
        Of the bootstrap.
    backend : {"auto", "cpu", "cuda", "reference"}
        Where metrics run. A named one works or raises.
    threads : int, optional
        By default all cores this process may use.
    memory : int, optional
        About how many bytes to work in; smaller blocks are read at a time. Changes no number.
    cache : bool
        Keep embeddings on disk between calls.
    progress : callable, optional
        Called as ``progress(done, total, unit)``; nothing is ever printed.
    join : bool
        Several dumps are parts of one: samples with the same id are one group.
    **reading
        Options of `divfast.read`: ``reader``, ``outputs_field``, ``id_field``, ``prompt_field``, ``prompts``,
        ``on_error``, ``keep_reasoning``.

    Returns
    -------
    Report

    Raises
    ------
    DivfastError
        One sentence: where, what, and the remedy.

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["a b", "a c"], ["x", "x"]], ["distinct:n=1"])
    >>> report["distinct:n=1"].mean                # (3/4 + 1/2) / 2
    0.625
    >>> report["distinct:n=1", "pooled"].value     # a b c x among six words
    0.6666666666666666
    """
    started = time.perf_counter()
    with engine.use_threads(threads):
        in_memory = _in_memory(source, embeddings, groups)
        plan = _plan(
            metrics, scopes, preset, backend, seed, tokenizer, vocab_size, encoder, dtype, embeddings, cache, progress
        )
        if in_memory is not None:
            if in_memory[1] and any(spec.metric.view == "tokens" for spec in plan.specs):
                raise MetricError(
                    "there are only embeddings, no texts.", remedy="Ask for metrics over vectors, such as cosine."
                )
            scored = [_score_blocks(plan, [in_memory[0]], in_memory[0].meta, None, None, None)]
        else:
            scored = _score_dumps(plan, source, join, memory, progress, reading)
    return _report(plan, scored, metrics, time.perf_counter() - started, several=len(scored) > 1)


def _in_memory(source: Any, embeddings: Any, groups: Any) -> tuple[Samples, bool] | None:
    """Return samples that need no reading, and whether they have no texts; None where there is a dump to read."""
    if isinstance(source, Samples):
        return source, False
    if source is None:
        if embeddings is None or isinstance(embeddings, str):
            raise DataError("there is nothing to score.", remedy="Give a dump, lists of texts, or an array of embeddings.")
        n = len(embeddings)
        offsets = one_group(n) if groups is None else np.asarray(groups, np.int64)
        g = len(offsets) - 1
        empty = Ragged(np.zeros(0, np.uint8), np.zeros(n + 1, np.int64))
        ids = pa.array([str(i) for i in range(g)], pa.large_string())
        return Samples(empty, offsets, ids, pa.nulls(g, pa.large_string()), np.arange(n)), True
    if isinstance(source, (str, Path)):
        return None
    items = list(source)
    if items and all(isinstance(item, (str, Path)) for item in items):
        return None
    return Samples.from_lists(items), False


def _plan(
    metrics: Sequence[str] | None,
    scopes: Sequence[str],
    preset: str,
    backend: str,
    seed: int,
    tokenizer: str | None,
    vocab_size: int | None,
    encoder: str | None,
    dtype: str,
    embeddings: Any,
    cache: bool,
    progress: Progress | None,
) -> Plan:
    if preset not in PRESETS:
        raise MetricError(f"unknown preset {preset!r}.", remedy=nearest(preset, PRESETS))
    if backend not in ("auto", *BACKENDS):
        raise BackendError(f"unknown backend {backend!r}.", remedy=nearest(backend, ["auto", *BACKENDS]))
    if encoder is not None and embeddings is not None:
        raise MetricError("an encoder and embeddings were both given.", remedy="Give one of --encoder and --embeddings.")
    has_vectors = encoder is not None or embeddings is not None
    given = metrics or (*LEXICAL_DEFAULT, *(SEMANTIC_DEFAULT if has_vectors else ()))
    opened = {"": _open_tokenizer(tokenizer)} if tokenizer is not None else {}
    if vocab_size is None and tokenizer is not None:
        vocab_size = opened[""].vocab_size
    defaults = {} if vocab_size is None else {"vocab_size": vocab_size}
    specs = list({spec: parse_spec(spec, defaults=defaults) for spec in given}.values())
    if backend != "auto":
        for spec in specs:
            if reason := why_not(spec.metric, backend):
                raise BackendError(reason, remedy="Use --backend auto; an encoder takes the GPU by itself.")
    for spec in specs:
        if spec.metric.view == "vectors" and not has_vectors:
            raise MetricError(
                f"{spec.metric.name} needs vectors.",
                remedy="Name an encoder with --encoder (minilm needs no network), or bring vectors with --embeddings.",
            )
    wanted: list[Scope] = [check_scope(name) for name in scopes]
    for spec in specs:
        if spec.metric.corpus is None and any(scope != "prompt" for scope in wanted):
            raise MetricError(
                f"{spec.metric.name} is not defined over a corpus.", remedy="Ask for it with --scope prompt alone."
            )
    checked: Preset = "paper" if preset == "paper" else "default"
    if not opened:
        names = {spec.metric.tokenizers[checked] for spec in specs if spec.metric.view == "tokens"}
        opened = {name: _open_tokenizer(name) for name in sorted(names)}
    vectors = None
    if any(spec.metric.view == "vectors" for spec in specs):
        vectors = _vectors_opener(encoder, dtype, embeddings, cache, progress)
    return Plan(
        specs,
        [scope for scope in SCOPES if scope in wanted],
        checked,
        backend,  # type: ignore[arg-type]
        seed,
        opened,
        vectors,
        encoder is not None,
    )


def _open_tokenizer(name: str) -> Any:
    from divfast.views.tokens import open_tokenizer

    return open_tokenizer(name)


def _vectors_opener(
    encoder: str | None, dtype: str, embeddings: Any, cache: bool, progress: Progress | None
) -> Callable[[Path | None], View]:
    from divfast.views import vectors

    if encoder is not None:
        shared = vectors.open_encoder(encoder, dtype=dtype, cache=cache, progress=progress)
        return lambda path: shared

    def brought(path: Path | None) -> View:
        where = embeddings
        if isinstance(where, str) and path is not None:
            where = where.replace("{stem}", stem(path))
        return vectors.open_embeddings(where)

    return brought


def stem(path: Path) -> str:
    """Return the name of a file without the suffixes of formats and compression."""
    name = path.name
    for suffix in (".gz", ".zst", ".xz", ".jsonl", ".json", ".parquet", ".arrow", ".eval", ".txt"):
        name = name.removesuffix(suffix)
    return name


def _score_dumps(
    plan: Plan,
    source: Any,
    join: bool,
    memory: int | None,
    progress: Progress | None,
    reading: Mapping[str, Any],
) -> list[_Scored]:
    sources = [source] if isinstance(source, (str, Path)) else list(source)
    paths = find_dumps(sources)
    dumps: list[list[Path]] = [paths] if join else [[path] for path in paths]
    limits: dict[str, Any] = {}
    if memory is not None:
        # A block, its tokens (8 bytes each) and the scratch of a metric are alive at once: about 16 times its text.
        limits = {"block_bytes": max(1 << 16, min(32 << 20, memory // 16)), "block_rows": max(256, min(1 << 17, memory >> 14))}
    # One encoder serves all dumps, one after the other; without it several dumps are scored at a time.
    together = len(dumps) > 1 and not plan.shares_vectors
    names = _short_names([dump[0] for dump in dumps])
    told = _AllDumps(dumps, progress) if progress is not None else None

    def one(i: int) -> _Scored:
        blocks = read(dumps[i] if join else dumps[i][0], columns=(), **limits, **reading)
        return _score_blocks(plan, blocks, None, dumps[i][0], names[i], told.of(i) if told else None)

    out = []
    for scored in engine.map_ordered(one, range(len(dumps))) if together else map(one, range(len(dumps))):
        out.append(scored)
        if progress is not None and len(dumps) > 1:
            progress(len(out), len(dumps), "dumps")
    _tell_apart(out, names)
    return out


class _AllDumps:
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


def _short_names(paths: Sequence[Path]) -> list[str]:
    """Return the name of every dump without suffixes, with as many of its folders as tell the dumps apart."""
    folders = [path.absolute().parts[1:-1] for path in paths]
    depth = [0] * len(paths)
    while True:
        names = [
            _printable("/".join([*parts[len(parts) - many :], stem(path)]))
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


def _printable(name: str) -> str:
    """Return a file name as valid Unicode; names on disk may hold any bytes."""
    return os.fsencode(name).decode("utf-8", "replace")


def _tell_apart(scored: Sequence[_Scored], names: Sequence[str]) -> None:
    """Put the dump's name beside the model where several dumps are of the same model and task."""
    seen = Counter((part.results[0].model, part.results[0].task) for part in scored)
    for part, name in zip(scored, names, strict=True):
        model = part.results[0].model
        if seen[model, part.results[0].task] > 1:
            unique = name if model == name else f"{model} ({name})"
            part.results = [replace(result, model=unique) for result in part.results]
            part.facts["model"] = unique


def _score_blocks(
    plan: Plan,
    blocks: Iterable[Samples],
    meta: Mapping[str, Any] | None,
    path: Path | None,
    name: str | None,
    progress: Progress | None,
) -> _Scored:
    """Score one dump, called `name` unless it names its model."""
    views: dict[str, Any] = dict(plan.tokens)
    if plan.vectors is not None:
        views["vectors"] = plan.vectors(path)
    keys = ["vectors" if spec.metric.view == "vectors" else plan.tokenizer(spec) for spec in plan.specs]
    corpora = {scope: [_accumulator(plan, spec) for spec in plan.specs] for scope in plan.scopes if scope != "prompt"}
    values: list[list[NDArray[np.float64]]] = [[] for _ in plan.specs]
    ids, sizes = [], []
    print_ = 0
    stream = engine.ahead(blocks) if engine.threads() > 1 and isinstance(blocks, Blocks) else blocks
    for block in stream:
        print_ = _core.fingerprint(block.text.values, block.text.offsets, block.groups, print_)
        ids.append(block.ids)
        sizes.append(np.diff(block.groups))
        first = first_rows(block.groups)
        if list(plan.scopes) == ["first"]:
            block = _only(block, first)
            first = np.arange(len(first))
        rows = {key: views[key].build(block) for key in dict.fromkeys(keys)}
        if "prompt" in plan.scopes:
            for spec, key, column in zip(plan.specs, keys, values, strict=True):
                column.append(_per_group(plan, spec, rows[key], block.groups))
        for scope, accumulators in corpora.items():
            chosen = rows
            if scope == "first":
                chosen = {key: view.take(first) if isinstance(view, Ragged) else view[first] for key, view in rows.items()}
            for accumulator, key in zip(accumulators, keys, strict=True):
                accumulator.add(chosen[key])
        if progress is not None and isinstance(blocks, Blocks):
            progress(*blocks.position, "bytes")
    counts = np.concatenate(sizes) if sizes else np.zeros(0, np.int64)
    for view in views.values():
        if hasattr(view, "finish"):
            view.finish(int(counts.sum()))
    if meta is None and isinstance(blocks, Blocks):
        meta = blocks.meta
    meta = dict(meta or {})
    meta["model"] = meta.get("model") or name
    columns = [np.concatenate(column) if column else np.full(len(counts), np.nan) for column in values]
    results = _results(plan, views, keys, columns, corpora, counts, print_, meta)
    table = {"input_id": pa.chunked_array(ids, pa.large_string()), "n": counts}
    if "prompt" in plan.scopes:
        table.update({spec.given: column for spec, column in zip(plan.specs, columns, strict=True)})
    facts: dict[str, Any] = {"model": meta["model"], "task": meta.get("task")}
    facts |= {"prompts": len(counts), "samples": int(counts.sum())}
    if isinstance(blocks, Blocks):
        facts |= {"dump": blocks.name, "reader": blocks.reader, "counts": dict(blocks.counts)}
        if blocks.skipped:
            facts["skipped_records"] = list(blocks.skipped)
    facts |= {key: dict(view.facts) for key, view in views.items() if view.facts}
    return _Scored(results, pa.table(table), facts)


def _only(block: Samples, rows: NDArray[np.int64]) -> Samples:
    """Return the named rows, one a group."""
    g = len(rows)
    names = pa.nulls(g, pa.large_string())
    return Samples(block.text.take(rows), np.arange(g + 1), names, names, block.positions[rows])


def _accumulator(plan: Plan, spec: MetricSpec) -> Any:
    if plan.backend == "reference":
        return _ReferenceCorpus(_reference(spec), plan.parameters(spec))
    assert spec.metric.corpus is not None
    return spec.metric.corpus(**plan.parameters(spec))


def _per_group(plan: Plan, spec: MetricSpec, rows: Any, groups: NDArray[np.int64]) -> NDArray[np.float64]:
    if plan.backend == "reference":
        return _reference(spec)(_plain(rows), groups, **plan.parameters(spec))
    return spec.metric.function(rows, groups, **plan.parameters(spec))


def _results(
    plan: Plan,
    views: Mapping[str, Any],
    keys: Sequence[str],
    columns: Sequence[NDArray[np.float64]],
    corpora: Mapping[Scope, Sequence[Any]],
    counts: NDArray[np.int64],
    data: int,
    meta: Mapping[str, Any],
) -> list[Result]:
    nan = float("nan")
    results = []
    for scope in plan.scopes:
        intervals = bootstrap_intervals(columns, seed=plan.seed) if scope == "prompt" else [(nan, nan)] * len(columns)
        if scope == "first":
            groups, rows = 1, int(np.count_nonzero(counts))
        else:
            groups, rows = (len(counts) if scope == "prompt" else 1), int(counts.sum())
        for i, spec in enumerate(plan.specs):
            column = columns[i] if scope == "prompt" else np.array([corpora[scope][i].result()])
            value, std = mean_and_std(column)
            parts: dict[str, Any] = {"scope": scope, "groups": groups, "rows": rows}
            if plan.preset != "default":
                parts["preset"] = plan.preset
            key, _, text = views[keys[i]].signature.partition(":")
            parts[key] = text
            parts["data"] = f"{data >> 32:08x}"
            if scope == "prompt":
                parts |= {"bs": REPLICATES, "rs": plan.seed}
            parts["v"] = divfast.__version__
            results.append(
                Result(
                    metric=spec.given,
                    scope=scope,
                    value=value,
                    std=std if scope == "prompt" else nan,
                    interval=intervals[i],
                    groups=groups,
                    undefined=int(np.isnan(column).sum()),
                    unit=spec.metric.unit,
                    signature=Signature(spec.canonical, parts),
                    values=column,
                    model=meta.get("model"),
                    task=meta.get("task"),
                )
            )
    return results


def _report(
    plan: Plan, scored: Sequence[_Scored], asked: Sequence[str] | None, seconds: float, *, several: bool
) -> Report:
    tables = []
    for part in scored:
        table = part.groups
        if several:
            first = part.results[0]
            for name, value in (("task", first.task), ("model", first.model)):
                table = table.add_column(0, name, pa.array([value] * len(table), pa.large_string()))
        tables.append(table)
    run: dict[str, Any] = {
        "version": divfast.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "threads": engine.threads(),
        "backend": "cpu" if plan.backend == "auto" else plan.backend,
        "seed": plan.seed,
        "interval": f"95% percentile bootstrap over prompts, {REPLICATES} replicates",
        "seconds": round(seconds, 3),
        "command": list(sys.argv),
        "dumps": [part.facts for part in scored],
    }
    if not asked and plan.vectors is None:
        run["left_out"] = f"{' and '.join(SEMANTIC_DEFAULT)} need vectors: name --encoder minilm, or bring --embeddings."
    return Report([result for part in scored for result in part.results], pa.concat_tables(tables), run, several)
