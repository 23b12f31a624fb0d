"""A dump with a verdict on every sample, written beside it and never in its place."""

from __future__ import annotations

import importlib.metadata
import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import divfast
from divfast import _core, engine
from divfast.deduplicated import check_files
from divfast.dumps import Progress, block_limits
from divfast.errors import DataError, MetricError
from divfast.output import write_whole
from divfast.quality.journal import Journal
from divfast.quality.problems import Problems
from divfast.quality.rewriting import NAMED, lines_again, opened, questions_of
from divfast.quality.verification import Verification
from divfast.quality.verifiers import (
    PRESETS,
    Question,
    Settings,
    Verdict,
    Verifier,
    find_verifier,
    open_judging,
)
from divfast.readers import Blocks, find_dumps, read
from divfast.readers.records import META_FIELDS, PER_PROMPT_FIELDS, PER_SAMPLE_FIELDS
from divfast.readers.source import Source
from divfast.result import Signature, run_facts
from divfast.samples import Ragged, Samples
from divfast.stats import REPLICATES, bootstrap_intervals, mean_and_std

# What is written of every sample, instead of what an earlier run wrote there.
_WRITTEN = ("correct", "error")
# Only by what looks for an answer: else those that are there stay.
_EXTRACTED = ("extracted", "expected")


def verify(
    source: str | Path | Sequence[str | Path],
    verifier: str,
    output: str | Path,
    *,
    preset: str = "default",
    pattern: str | None = None,
    labels: str = "correct",
    gold: str | None = None,
    problems: str | Path | None = None,
    json_field: str | None = None,
    loose: bool = False,
    limit: float | None = None,
    allow_code_execution: bool = False,
    sandbox: str = "auto",
    code_field: str | None = None,
    continuation: str = "auto",
    stop: Sequence[str] = (),
    seed: int = 0,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
    **reading: Any,
) -> Verification:
    """Judge every sample of a dump, and write the dump again with the verdicts.

    Parameters
    ----------
    source : str, Path, or a sequence of these
        A dump; several are parts of one.
    verifier : str
        ``math``, ``gsm8k``, ``code``, ``ifeval``, ``cruxeval``, ``truthfulqa``, ``exact``, ``regex`` or ``labels``.
    output : str or Path
        A file of JSON Lines, compressed where its name ends in ``.gz``: ``input_id``, ``prompt``, ``outputs``, all
        other fields of the dump, ``correct``, ``extracted``, ``expected`` and ``error``, and what the verifier writes
        besides; ``labels``, which looks for no answer, leaves ``extracted`` and ``expected`` as they are. There whole
        or not at all.
    preset : {"default", "paper"}
        ``paper`` reproduces the published code of arXiv 2604.16027.
    pattern : str, optional
        For ``regex``: a regular expression with one group.
    labels : str
        For ``labels``: the column with the verdicts.
    gold : str, optional
        The column with the right answer, or a list of them, instead of ``gold`` and ``references``; for ``code`` that
        with the tests, instead of ``tests``.
    problems : str or Path, optional
        A file of the problems, JSON Lines, a JSON list or Parquet, from which what a prompt of the dump lacks is taken
        by its id, or else its text: the right answer, the tests, the prompt itself.
    json_field : str, optional
        Judge this field of samples that are JSON objects.
    loose : bool
        For ``ifeval``: ``correct`` is what the loose rule says.
    limit : float, optional
        Seconds of processor time that a verifier which parses or runs programs may take for one sample; by default 3
        where programs are run, else 10.
    allow_code_execution : bool
        Run programs that a model wrote: ``code`` needs it, and ``cruxeval`` then takes any answer that is right instead
        of the one that is written.
    sandbox : {"auto", "bwrap", "namespaces", "rlimits"}
        Where they are run; see `divfast.sandbox.ways`.
    code_field, continuation, stop : str, str, sequence of str
        For ``code``: how the program of a sample is found, as in `divfast.score`.
    seed : int
        Of the bootstrap.
    threads, memory, progress, **reading
        As in `divfast.score`.

    Returns
    -------
    Verification

    Raises
    ------
    DivfastError
        Where the dump has no gold answers, cannot be read, or the file cannot be written; where programs would have to
        be run and must not or cannot.

    Notes
    -----
    Samples are judged a block at a time. Verifiers that parse what a model wrote run in processes of their own, one for
    each thread: a sample that takes longer than `limit`, or ends the process, counts as wrong and says why. Their
    verdicts are kept beside the file until it is whole, so the same call goes on where an interrupted one stood.
    The texts are those that were read: reasoning is stripped unless it was kept.
    """
    started = time.perf_counter()
    chosen = find_verifier(verifier)
    settings = Settings(
        preset=preset,
        pattern=pattern,
        labels=labels,
        json_field=json_field,
        loose=loose,
        allow_code_execution=allow_code_execution,
        sandbox=sandbox,
        code_field=code_field,
        continuation=continuation,
        stop=tuple(stop),
    )
    settings = replace(settings, limit=chosen.limit(settings) if limit is None else limit)
    _check(chosen, settings)
    dumps = [source] if isinstance(source, (str, Path)) else list(source)
    check_files(dumps, output, None, join=True)
    paths = find_dumps(dumps)
    # Of samples without a verdict the old one is not kept either.
    written = (*_WRITTEN, *(_EXTRACTED if chosen.extracts else ()), *chosen.written)
    known = (*PER_SAMPLE_FIELDS, *PER_PROMPT_FIELDS, *META_FIELDS, *chosen.columns(settings), *chosen.beside)
    needed = (gold,) if gold is not None and chosen.columns(settings) else chosen.columns(settings)
    sample_columns = chosen.sample_columns(settings)
    kept = [name for name in dict.fromkeys((*known, *needed, *sample_columns)) if name not in written]
    with engine.use_threads(threads), engine.use_memory(memory):
        blocks = read(
            paths,
            columns=list(dict.fromkeys([*kept, *needed])),
            sample_columns=sample_columns,
            as_json=True,
            all_but=[*NAMED, *kept, *written],
            **{**block_limits(memory), **reading},
        )
        tally = _Tally(chosen, settings)
        known_problems = None
        if problems is not None:
            names = {name: reading.get(name) for name in ("id_field", "prompt_field")}
            known_problems = Problems(problems, [*needed, *chosen.beside], **names)

        def write(temporary: Path) -> None:
            with opened(temporary, Path(output)) as file:
                file.writelines(_lines(blocks, tally, kept, gold, known_problems, Path(output), progress))
            if tally.found == 0:
                if known_problems is not None:
                    known_problems.check(blocks.name)
                raise _lacking(blocks, chosen.name, [*needed, *sample_columns], paths[0])

        write_whole({Path(output): write})
        _journal_path(Path(output)).unlink(missing_ok=True)
    return tally.result(blocks, seed, time.perf_counter() - started)


def _check(verifier: Verifier, settings: Settings) -> None:
    if settings.preset not in PRESETS:
        raise MetricError(
            f"unknown preset {settings.preset!r}.", remedy=f"There are {' and '.join(PRESETS)}."
        )
    if settings.preset not in verifier.presets:
        raise MetricError(f"{verifier.name} has no preset {settings.preset}.", remedy="Leave out --preset.")
    if settings.pattern is not None and verifier.name != "regex":
        raise MetricError("a pattern is for regex.", remedy="Say --as regex, or leave out --pattern.")
    if settings.loose and verifier.name != "ifeval":
        raise MetricError("a loose rule is for ifeval.", remedy="Say --as ifeval, or leave out --loose.")
    if not settings.limit > 0:
        raise MetricError(f"the limit must be greater than 0 seconds, got {settings.limit:g}.")
    verifier.check(settings)


def _journal_path(output: Path) -> Path:
    return output.with_name(f".{output.name}.verdicts")


def _lines(
    blocks: Blocks,
    tally: _Tally,
    kept: Sequence[str],
    gold: str | None,
    problems: Problems | None,
    output: Path,
    progress: Progress | None,
) -> Iterator[str]:
    journal = None
    if tally.verifier.isolated(tally.settings):
        journal = Journal(_journal_path(output), str(tally.recipe))
    try:
        with open_judging(tally.verifier, tally.settings) as judging:
            for block in blocks:
                found: list[list[Verdict]] = []
                questions = list(questions_of(block))
                if problems is not None:
                    questions = [problems.completed(one) for one in questions]
                asked = questions if gold is None else [_with_gold(one, gold, tally) for one in questions]
                tally.ask(asked)
                for verdicts in journal.verdicts(asked, judging) if journal else judging(asked):
                    found.append(verdicts)
                    if progress is not None:
                        progress(*blocks.position, "bytes")
                tally.add(block, found)
                added = (_record(verdicts, tally.verifier) for verdicts in found)
                yield from lines_again(block, questions, added, kept)
    finally:
        if journal is not None:
            tally.reused = journal.reused
            journal.close(done=False)


def _with_gold(question: Question, name: str, tally: _Tally) -> Question:
    kept = (*tally.verifier.beside, *tally.verifier.sample_columns(tally.settings))
    beside = {key: question.columns.get(key) for key in kept}
    # Where the verifier looks: a gold answer is no test.
    places = tally.verifier.columns(tally.settings)
    place = "gold" if "gold" in places or not places else places[0]
    return replace(question, columns={**beside, place: question.columns.get(name)})


def _record(verdicts: Sequence[Verdict], verifier: Verifier) -> dict[str, Any]:
    record: dict[str, Any] = {"correct": [verdict.correct for verdict in verdicts]}
    if verifier.extracts:
        record["extracted"] = [verdict.extracted for verdict in verdicts]
        record["expected"] = next((one.expected for one in verdicts if one.expected is not None), None)
    if any(verdict.error for verdict in verdicts):
        record["error"] = [verdict.error for verdict in verdicts]
    for name in verifier.written:
        values = [(verdict.further or {}).get(name) for verdict in verdicts]
        if any(value is not None for value in values):
            record[name] = values
    return record


class _Tally:
    """What was said so far."""

    def __init__(self, verifier: Verifier, settings: Settings) -> None:
        self.verifier = verifier
        self.settings = settings
        self.reused = 0
        self.found = 0
        self._counts: Counter[str] = Counter()
        self._errors: Counter[str] = Counter()
        self._true: Counter[str] = Counter()
        self._given: Counter[str] = Counter()
        self._accuracy: list[NDArray[np.float64]] = []
        self._print = self._gold = 0

    @property
    def recipe(self) -> Signature:
        """All that changes a verdict, beside the data."""
        settings = self.settings
        parts: dict[str, Any] = {"verifier": self.verifier.version, "preset": settings.preset}
        if self.verifier.name == "regex":
            parts["pattern"] = json.dumps(settings.pattern).replace("|", "\\u007c")
        if self.verifier.name == "labels":
            parts["labels"] = settings.labels
        if settings.json_field is not None:
            parts["json"] = settings.json_field
        if self.verifier.isolated(settings):
            parts["limit"] = f"{settings.limit:g}s"
        if settings.preset == "default":
            parts |= {name: importlib.metadata.version(name) for name in self.verifier.packages}
        parts |= self.verifier.recipe(settings)
        return Signature(self.verifier.name, parts)

    def ask(self, questions: Sequence[Question]) -> None:
        """Take what the samples of one block are judged by: gold answers, labels, tests, and prompts."""
        chosen = self.verifier
        names = (*chosen.columns(self.settings), *chosen.sample_columns(self.settings), *chosen.beside)
        by = [[one.prompt, *(one.columns.get(name) for name in names)] for one in questions]
        texts = Ragged.from_strings([json.dumps(one) for one in by])
        self._gold = _core.fingerprint(texts.values, texts.offsets, np.arange(len(by) + 1), self._gold)

    def add(self, block: Samples, found: Sequence[Sequence[Verdict]]) -> None:
        """Take the verdicts on one block."""
        flat = [verdict for verdicts in found for verdict in verdicts]
        self._print = _core.fingerprint(block.text.values, block.text.offsets, block.groups, self._print)
        self._counts["prompts"] += len(block)
        self._counts["samples"] += block.rows
        self._counts["correct"] += sum(verdict.correct is True for verdict in flat)
        self._counts["incorrect"] += sum(verdict.correct is False for verdict in flat)
        if self.verifier.extracts:
            self._counts["unparseable"] += sum(v.correct is False and v.extracted is None for v in flat)
        self._errors.update(verdict.error for verdict in flat if verdict.error)
        self.found += sum(verdict.error not in ("no gold", "no label", "no tests") for verdict in flat)
        for name, value in (pair for verdict in flat for pair in (verdict.further or {}).items()):
            values = value if isinstance(value, list) else [value]
            self._true[name] += sum(values)
            self._given[name] += len(values)
        for verdicts in found:
            known = [verdict.correct for verdict in verdicts if verdict.correct is not None]
            self._accuracy.append(np.array([np.mean(known) if known else np.nan]))

    def result(self, blocks: Blocks, seed: int, seconds: float) -> Verification:
        """Return it all."""
        values = np.concatenate(self._accuracy)
        parts: dict[str, Any] = {"prompts": self._counts["prompts"], "samples": self._counts["samples"]}
        parts |= self.recipe.parts
        parts |= {
            "data": f"{self._print >> 32:08x}",
            "gold": f"{self._gold >> 32:08x}",
            "bs": REPLICATES,
            "rs": seed,
            "v": divfast.__version__,
        }
        ((low, high),) = bootstrap_intervals([values], seed=seed)
        dump: dict[str, Any] = {"dump": blocks.name, "reader": blocks.reader, "counts": dict(blocks.counts)}
        if blocks.skipped:
            dump["skipped_records"] = list(blocks.skipped)
        return Verification(
            verifier=self.verifier.name,
            accuracy=mean_and_std(values)[0],
            interval=(low, high),
            prompts=self._counts["prompts"],
            samples=self._counts["samples"],
            correct=self._counts["correct"],
            incorrect=self._counts["incorrect"],
            unparseable=self._counts["unparseable"],
            errors=dict(self._errors.most_common()),
            shares={
                name: self._true[name] / self._given[name]
                for name in self.verifier.written
                if self._given[name]
            },
            signature=Signature(self.verifier.name, parts),
            model=blocks.meta.get("model"),
            task=blocks.meta.get("task"),
            run=run_facts(seconds)
            | {"dumps": [dump], "prompts_resumed": self.reused, "seed": seed}
            | self.verifier.facts(self.settings),
        )


def _lacking(blocks: Blocks, verifier: str, wanted: Sequence[str], path: Path) -> DataError:
    """Return what to say where no sample could be judged for want of a column."""
    first = None if str(path) == "-" else Source(path).first_record
    there = f"; the fields of its first record are {', '.join(map(str, first))}" if first else ""
    *others, last = (f'"{name}"' for name in wanted)
    names = f"{', '.join(others)} or {last}" if others else last
    remedy = "Name the field with --labels NAME."
    if verifier != "labels":
        remedy = "Name the field with --gold NAME, or a file that has it for every id with --problems FILE."
    return DataError(
        f"{verifier} needs the field {names}, and no record has one{there}.", where=blocks.name, remedy=remedy
    )
