"""The one call that users make: dumps or texts or embeddings in, a report out."""

from __future__ import annotations

import inspect
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from divfast import engine
from divfast.backends import fallback, place
from divfast.dumps import AllDumps, Progress, block_limits, short_names, tell_apart
from divfast.errors import DataError, MetricError, nearest
from divfast.loop import Scored, score_blocks
from divfast.planning import SEMANTIC_DEFAULT, Plan, make_plan
from divfast.plugins import load_files
from divfast.readers import find_dumps, read
from divfast.result import Report, run_facts
from divfast.samples import Ragged, Samples, samples_or_paths
from divfast.scope import one_group
from divfast.stats import INTERVAL
from divfast.views.opening import Sources


def score(
    source: Any = None,
    metrics: Sequence[str] | None = None,
    *,
    scopes: Sequence[str] = (),
    preset: str = "default",
    tokenizer: str | None = None,
    vocab_size: int | None = None,
    encoder: str | None = None,
    dtype: str = "float32",
    embeddings: Any = None,
    judge: str | None = None,
    judge_dtype: str = "float32",
    judge_engine: str = "transformers",
    groups: Any = None,
    partition: str = "partition",
    partition_scope: str = "prompt",
    reward: str = "scores",
    at_k: Sequence[int] = (),
    at_n: Sequence[int] = (),
    draws: int | None = None,
    seed: int = 0,
    backend: str = "auto",
    threads: int | None = None,
    memory: int | None = None,
    cache: bool = True,
    language: str = "python",
    parser: str = "auto",
    code_field: str | None = None,
    continuation: str = "auto",
    stop: Sequence[str] = (),
    embed: str = "text",
    progress: Progress | None = None,
    join: bool = False,
    per_sample: bool = False,
    where: str | None = None,
    correct_field: str = "correct",
    answers_field: str = "extracted",
    plugins: Sequence[str | Path] = (),
    **reading: Any,
) -> Report:
    """Score the diversity of the outputs in one or more dumps, or in memory.

    Parameters
    ----------
    source : str, Path, Samples, list of list of str, table, or a list of paths
        What to score: a dump on disk (``-`` is standard input), a pattern such as ``runs/*.jsonl.gz``, several of
        them (each becomes rows of its own in the report), or texts in memory, one list of strings a prompt or a table
        of pyarrow, pandas or polars. May be left out where `embeddings` says it all.
    metrics : sequence of str, optional
        Specs such as ``"ead"`` or ``"vendi:q=2"``. By default the lexical set, the semantic one where there is
        an encoder or embeddings, and ``nli`` where there is a judge.
    scopes : sequence of {"prompt", "first", "pooled"}
        Every prompt's samples; the first sample of every prompt together; all samples together. By
        default prompt and, for the metrics that are defined over a corpus, pooled.
    preset : {"default", "paper"}
        ``paper`` reproduces the published code of arXiv 2604.16027, quirks included.
    tokenizer : str, optional
        ``whitespace``, ``paper``, ``words``, ``chars``, ``13a``, ``code``, or a Hugging Face tokenizer by name or
        folder. By default what each metric and preset defines.
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
    judge : str, optional
        For metrics over judged pairs: a transformers classifier of entailment, neutral and contradiction, by name or
        folder.
    judge_dtype : {"float32", "bfloat16", "float16"}
        Of the judge.
    judge_engine : {"transformers", "vllm"}
        What runs the judge.
    groups : array of int64[g + 1], optional
        With `embeddings` in memory and no `source`: rows of each prompt. By default one group.
    partition : str
        Column of the dump with the class of every sample, for the metrics over partitions, such as ``distinct_k``.
    partition_scope : {"prompt", "pooled"}
        Whether a label names a class among the samples of its prompt alone, or the same class everywhere, as labels of
        ``divfast cluster --scope pooled`` do; only then are these metrics defined over a corpus.
    reward : str
        Column of the dump with the reward of every sample, for ``utility_k`` and ``best_of``.
    at_k : sequence of int
        Rarefaction: for every k also the expectation of each metric on k of a prompt's samples, for prompts of
        unequal K. The results are named ``"ead@k=4"``; NaN for prompts of fewer than k samples.
    at_n : sequence of int
        The same for the scopes ``first`` and ``pooled``: on n rows of the corpus, named ``"ead@n=500"``.
    draws : int, optional
        Random subsets where there is no formula and there are more: by default 32 of a prompt's samples, 8 of a
        corpus.
    seed : int
        Of the bootstrap and of these draws.
    backend : {"auto", "cpu", "cuda", "reference"}
        Where metrics run. A named one works or raises; ``auto`` takes the GPU for those that have a kernel where
        there is one, and says in the report's ``run`` where it did not.
    threads : int, optional
        By default all cores this process may use.
    memory : int, optional
        About how many bytes to work in; smaller blocks are read at a time. Changes no number.
    cache : bool
        Keep embeddings and judgments on disk between calls.
    language : str
        Of the programs, for metrics such as ``ast``: ``python``, ``javascript``, ``typescript``, ``java``, ``c``,
        ``cpp``, ``go``, ``rust``, or ``auto``: what the fence in a sample says, else Python.
    parser : {"auto", "tree-sitter"}
        ``auto`` takes Python's own parser for Python, tree-sitter for the others.
    code_field : str, optional
        Field that holds the program of every sample. By default it is taken from the sample: the longest block
        between fences of markdown, else the whole.
    continuation : {"auto", "always", "never"}
        Whether samples without a fence go on from their prompt and are joined to it. ``auto``: where the prompt is
        the beginning of a program, and the sample does not begin the same anew.
    stop : sequence of str
        Where such samples are cut. By default, for Python, at what comes after a function.
    embed : {"text", "code"}
        What an encoder is given: the samples, or the programs in them, as for a code encoder.
    progress : callable, optional
        Called as ``progress(done, total, unit)``; nothing is ever printed.
    join : bool
        Several dumps are parts of one: samples with the same id are one group.
    per_sample : bool
        Also keep the value of every sample, for the metrics that are made of such parts: ``samples`` of the report.
    where : str, optional
        A column with true or false for every sample: only those that are true are scored, such as ``correct``; or a
        number compared, ``scores>=7``. A prompt without any stays, and its values are undefined.
    correct_field, answers_field : str
        For the metrics of quality: the columns with the verdict and the text of the answer of every sample; the answers
        ``outputs`` are the samples themselves.
    plugins : sequence of str or Path
        Python files that register metrics of your own with `divfast.metric`.
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
    _check_options(reading)
    metrics, scopes = _one_or_more(metrics), _one_or_more(scopes)
    load_files(plugins)
    with engine.use_threads(threads), engine.use_memory(memory):
        given = _given(source, embeddings, groups)
        plan = make_plan(
            metrics,
            scopes,
            preset,
            backend,
            seed,
            Sources(
                tokenizer,
                encoder,
                dtype,
                embeddings,
                cache,
                partition,
                partition_scope,
                reward,
                correct_field,
                answers_field,
                progress,
                language=language,
                parser=parser,
                code_field=code_field,
                continuation=continuation,
                stop=tuple(stop),
                embed=embed,
                judge=judge,
                judge_dtype=judge_dtype,
                judge_engine=judge_engine,
            ),
            vocab_size,
            _one_or_more(at_k),
            _one_or_more(at_n),
            draws,
            per_sample,
            where,
        )
        if source is None and any(spec.metric.view != "vectors" for spec in plan.specs):
            raise MetricError(
                "there are only embeddings, no texts.",
                remedy="Ask for metrics over vectors, such as cosine.",
            )
        if isinstance(given, Samples):
            scored = [score_blocks(plan, [given], given.meta, None, None, None)]
        else:
            scored = _score_dumps(plan, given, join, memory, progress, reading)
    return _report(plan, scored, metrics, time.perf_counter() - started, several=len(scored) > 1)


def _given(source: Any, embeddings: Any, groups: Any) -> Samples | list[str | Path]:
    """Return samples that need no reading, without texts where there are only embeddings, or the paths of dumps."""
    if source is None:
        if embeddings is None or isinstance(embeddings, str):
            raise DataError(
                "there is nothing to score.", remedy="Give a dump, lists of texts, or an array of embeddings."
            )
        n = len(embeddings)
        offsets = one_group(n) if groups is None else np.asarray(groups, np.int64)
        g = len(offsets) - 1
        empty = Ragged(np.zeros(0, np.uint8), np.zeros(n + 1, np.int64))
        ids = pa.array([str(i) for i in range(g)], pa.large_string())
        return Samples(empty, offsets, ids, pa.nulls(g, pa.large_string()), np.arange(n))
    return samples_or_paths(source)


def _one_or_more(given: Any) -> Any:
    """Return a list; what stands alone, which is easily done, is a list of one."""
    return [given] if isinstance(given, (str, int)) else given


def _check_options(reading: Mapping[str, Any]) -> None:
    """Raise as Python does for a keyword that nobody takes: in memory nothing is read, and no one else would."""
    known = inspect.signature(read).parameters
    for name in reading:
        if name not in known:
            close = nearest(name, [*inspect.signature(score).parameters, *known])
            raise TypeError(f"score() got an unexpected keyword argument {name!r}. {close}")


def _score_dumps(
    plan: Plan,
    sources: Sequence[str | Path],
    join: bool,
    memory: int | None,
    progress: Progress | None,
    reading: Mapping[str, Any],
) -> list[Scored]:
    paths = find_dumps(sources)
    dumps: list[list[Path]] = [paths] if join else [[path] for path in paths]
    limits = block_limits(memory)
    # A model serves all dumps, one after the other; without one several dumps are scored at a time.
    together = len(dumps) > 1 and not plan.is_shared
    names = short_names([dump[0] for dump in dumps])
    told = AllDumps(dumps, progress) if progress is not None else None

    def one(i: int) -> Scored:
        blocks = read(
            dumps[i] if join else dumps[i][0],
            columns=plan.columns,
            sample_columns=plan.sample_columns,
            **limits,
            **reading,
        )
        return score_blocks(plan, blocks, None, dumps[i][0], names[i], told.of(i) if told else None)

    out = []
    for scored in engine.map_ordered(one, range(len(dumps))) if together else map(one, range(len(dumps))):
        out.append(scored)
        if progress is not None and len(dumps) > 1:
            progress(len(out), len(dumps), "dumps")
    _rename(out, names)
    return out


def _rename(scored: Sequence[Scored], names: Sequence[str]) -> None:
    """Put the dump's name beside the model where several dumps are of the same model and task."""
    labels = [(part.results[0].model, part.results[0].task) for part in scored]
    for part, model in zip(scored, tell_apart(labels, names), strict=True):
        part.results = [replace(result, model=model) for result in part.results]
        part.facts["model"] = model


def _report(
    plan: Plan, scored: Sequence[Scored], asked: Sequence[str] | None, seconds: float, *, several: bool
) -> Report:
    groups = pa.concat_tables([_labelled(part, part.groups, several) for part in scored])
    samples = None
    if plan.per_sample:
        samples = pa.concat_tables([_labelled(part, part.samples, several) for part in scored])
    run = run_facts(seconds) | {
        "backend": " and ".join(dict.fromkeys(place(spec.metric, plan.backend) for spec in plan.specs)),
        "seed": plan.seed,
        "interval": INTERVAL.format("prompts"),
        "dumps": [part.facts for part in scored],
    }
    if plan.backend == "auto" and (told := fallback(spec.metric for spec in plan.specs)):
        run["fallback"] = told
    left_out = []
    if not asked and "vectors" not in plan.of_dump:
        left_out.append(
            f"{' and '.join(SEMANTIC_DEFAULT)} need vectors: name --encoder minilm, or bring --embeddings."
        )
    for scope in plan.scopes:
        if missing := [spec for spec in plan.specs if not plan.covers(spec, scope)]:
            why = {plan.no_corpus.get(spec.metric.view, "") if spec.metric.corpus else "" for spec in missing}
            told = "".join(f": {reason}" for reason in sorted(filter(None, why)))
            named = " and ".join(spec.given for spec in missing)
            are = "is" if len(missing) == 1 else "are"
            left_out.append(f"{scope} {named}, which {are} not defined over a corpus{told}.")
    if left_out:
        run["left_out"] = " ".join(left_out)
    if plan.per_sample and (
        without := [
            s.given for s in plan.specs if not any(plan.has_samples(s, scope) for scope in plan.scopes)
        ]
    ):
        run["no_values_per_sample"] = without
    return Report([result for part in scored for result in part.results], groups, run, several, samples)


def _labelled(part: Scored, table: pa.Table, several: bool) -> pa.Table:
    """Return a table of one dump, with its model and task where there are several dumps."""
    if several:
        first = part.results[0]
        for name, value in (("task", first.task), ("model", first.model)):
            table = table.add_column(0, name, pa.array([value] * len(table), pa.large_string()))
    return table
