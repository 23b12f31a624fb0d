"""A dump with a judge's score for every sample, written beside it and never in its place."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import divfast
from divfast import _core, engine
from divfast.deduplicated import check_files
from divfast.dumps import Progress, block_limits
from divfast.errors import DataError, MetricError, nearest
from divfast.judging.judge import LanguageJudge, Said
from divfast.judging.shown import (
    CHECKLIST,
    COLUMNS,
    REFERENCE,
    checklist_of,
    lacking_references,
    must_have_prompt,
    reference_text,
    references_of,
    request_of,
)
from divfast.judging.templates import Template, fields_of, find_template
from divfast.judging.verdicts import score_verdict
from divfast.output import write_whole
from divfast.quality.rewriting import NAMED, lines_again, opened, questions_of
from divfast.quality.verifiers import Question
from divfast.readers import Blocks, find_dumps, read
from divfast.readers.records import META_FIELDS, PER_PROMPT_FIELDS, PER_SAMPLE_FIELDS
from divfast.result import Signature, json_number, run_facts
from divfast.samples import Samples
from divfast.stats import REPLICATES, bootstrap_intervals, mean_and_std

RUBRICS = ("auto", "score", "checklist", "reference")
# Instead of what an earlier run wrote there.
_WRITTEN = ("scores", "judge_said")


@dataclass
class Scores:
    """What a judge said of a dump, in all.

    Attributes
    ----------
    mean : float
        Mean over prompts of the mean score of their samples, 1 to 10; NaN where there is none.
    interval : (float, float)
        Its 95% bootstrap interval over prompts.
    prompts, samples, judged : int
        How many there are, and how many samples the judge was to score.
    scored : int
        Samples with a score.
    malformed, unusable : int
        Of the different questions, how many were not answered by one score; and samples for which that was so the
        second time too. These have no score.
    without_checklist, without_reference : int
        Samples that were not asked about, since their prompt has no checklist, or no reference, and the question needs
        one.
    """

    mean: float
    interval: tuple[float, float]
    rubric: str
    prompts: int
    samples: int
    judged: int
    scored: int
    malformed: int
    unusable: int
    without_checklist: int
    without_reference: int
    signature: Signature
    model: str | None
    task: str | None
    run: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; NaN is None."""
        return {
            "model": self.model,
            "task": self.task,
            "rubric": self.rubric,
            "score": json_number(self.mean),
            "interval": [json_number(end) for end in self.interval],
            "prompts": self.prompts,
            "samples": self.samples,
            "judged": self.judged,
            "scored": self.scored,
            "malformed": self.malformed,
            "unusable": self.unusable,
            "without_checklist": self.without_checklist,
            "without_reference": self.without_reference,
            "signature": str(self.signature),
            "run": self.run,
        }


def score_samples(
    source: str | Path | Sequence[str | Path],
    judge: LanguageJudge,
    output: str | Path,
    *,
    rubric: str = "auto",
    template: str | Path | None = None,
    gold: str | None = None,
    samples: int | None = None,
    explain: bool = False,
    seed: int = 0,
    memory: int | None = None,
    progress: Progress | None = None,
    **reading: Any,
) -> Scores:
    """Have a judge score the samples of a dump, and write the dump again with the scores.

    Parameters
    ----------
    source : str, Path, or a sequence of these
        A dump; several are parts of one.
    judge : LanguageJudge
        See `divfast.judging.judge.open_language_judge`.
    output : str or Path
        A file of JSON Lines, as `divfast.quality.verified.verify` writes it: all fields of the dump, and ``scores``, a
        number from 1 to 10 for every sample, null where there is none.
    rubric : {"auto", "score", "checklist", "reference"}
        With ``checklist`` the judge goes through the questions of that column of the dump first, with ``reference`` it
        holds each sample against the references of its prompt; prompts without are left out. ``auto`` takes the
        checklist where the dump begins with prompts that have one; of a `template` it takes what that has fields for.
    template : str or Path, optional
        A file with the question, instead of that of the package; see `divfast.judging.templates.find_template`.
    gold : str, optional
        The column with the references, instead of ``references`` and ``gold``.
    samples : int, optional
        Only the first so many of every prompt.
    explain : bool
        Write what the judge said as well, as ``judge_said``.
    seed : int
        Of the bootstrap.
    memory, progress, **reading
        As in `divfast.score`.

    Returns
    -------
    Scores

    Raises
    ------
    DivfastError
        Where the dump has no prompts, checklists or references, cannot be read, the server gives no answers, or the
        file cannot be written. Answers so far are kept.

    Notes
    -----
    The texts are those that were read: reasoning is stripped unless it was kept.
    """
    started = time.perf_counter()
    if rubric not in RUBRICS:
        raise MetricError(f"unknown rubric {rubric!r}.", remedy=nearest(rubric, RUBRICS))
    if samples is not None and samples < 1:
        raise MetricError(f"must be at least 1, got {samples}.", where="samples")
    dumps = [source] if isinstance(source, (str, Path)) else list(source)
    check_files(dumps, output, None, join=True)
    own = () if gold is None else (gold,)
    known = (*PER_SAMPLE_FIELDS, *PER_PROMPT_FIELDS, *META_FIELDS, *COLUMNS, *own)
    kept = [name for name in dict.fromkeys(known) if name not in _WRITTEN]
    with engine.use_memory(memory):
        blocks = read(
            find_dumps(dumps),
            columns=kept,
            as_json=True,
            all_but=[*NAMED, *kept, *_WRITTEN],
            **{**block_limits(memory), **reading},
        )
        reader = iter(blocks)
        first = next(reader)
        if rubric == "auto":
            rubric = _rubric(first, template)
        asking = _Asking(judge, find_template(rubric, template), samples, gold)

        def write(temporary: Path) -> None:
            with opened(temporary, Path(output)) as file:
                for block in chain([first], reader):
                    questions = list(questions_of(block))
                    said = asking.block(block, questions, blocks.name, progress)
                    file.writelines(
                        lines_again(block, questions, (_added(one, explain) for one in said), kept)
                    )
            for name in asking.needs:
                if asking.counts[name] == asking.counts["samples"]:
                    raise _lacking(name, gold, blocks.name)

        write_whole({Path(output): write})
    return asking.result(blocks, seed, rubric, time.perf_counter() - started)


def _added(said: Sequence[Said[float] | None], explain: bool) -> dict[str, Any]:
    """Return what is written of the samples of a prompt."""
    added: dict[str, Any] = {"scores": [one and one.verdict for one in said]}
    return added | ({"judge_said": [one and one.text for one in said]} if explain else {})


def _rubric(first: Samples, template: str | Path | None) -> str:
    """Return which question is meant, by the fields of a template, or by what a dump begins with."""
    if template is not None:
        fields = fields_of(template)
        return next((name for name in (CHECKLIST, REFERENCE) if name in fields), "score")
    has = any(checklist_of(question) for question in questions_of(first))
    return CHECKLIST if has else "score"


def _lacking(name: str, gold: str | None, where: str) -> DataError:
    if name == CHECKLIST:
        return DataError(
            "no prompt has a checklist.", where=where, remedy="Judge without one: --rubric score."
        )
    return lacking_references(where, gold, "judge without one: --rubric score")


class _Asking:
    """Questions to the judge, and what came of them so far."""

    def __init__(
        self, judge: LanguageJudge, template: Template, samples: int | None, gold: str | None
    ) -> None:
        self.judge, self.template, self.samples, self._gold = judge, template, samples, gold
        # What a prompt must have to be asked about.
        self.needs = [name for name in (CHECKLIST, REFERENCE) if name in template.fields]
        self.counts: Counter[str] = Counter()
        self._means: list[float] = []
        self._print = 0

    def block(
        self, block: Samples, questions: Sequence[Question], name: str, progress: Progress | None
    ) -> Iterator[list[Said[float] | None]]:
        """Yield what was said of the samples of every prompt of a block; None where nothing was asked."""
        self._print = _core.fingerprint(block.text.values, block.text.offsets, block.groups, self._print)
        asked: list[list[str]] = []
        for question in questions:
            request = request_of(question)
            if request is None:
                raise must_have_prompt(question, name)
            self.counts["samples"] += len(question.outputs)
            fields = {"prompt": request} | self._beside(question)
            lacking = next((one for one in self.needs if one not in fields), None)
            if lacking is not None:
                self.counts[lacking] += len(question.outputs)
                asked.append([])
                continue
            outputs = question.outputs[: self.samples]
            asked.append([self.template.filled(**fields, response=output) for output in outputs])
        said = iter(self.judge(list(chain.from_iterable(asked)), score_verdict, progress))
        for question, texts in zip(questions, asked, strict=True):
            mine = [next(said) for _ in texts]
            scores = [one.verdict for one in mine if one.verdict is not None]
            self.counts["judged"] += len(mine)
            self.counts["scored"] += len(scores)
            self._means.append(float(np.mean(scores)) if scores else np.nan)
            yield [*mine, *[None] * (len(question.outputs) - len(mine))]

    def _beside(self, question: Question) -> dict[str, str]:
        """Return what the question needs beside the prompt, as far as the dump has it."""
        found = {
            CHECKLIST: checklist_of(question),
            REFERENCE: reference_text(references_of(question, self._gold)),
        }
        return {name: text for name in self.needs if (text := found[name]) is not None}

    def result(self, blocks: Blocks, seed: int, rubric: str, seconds: float) -> Scores:
        """Return it all."""
        values: NDArray[np.float64] = np.array(self._means)
        parts: dict[str, Any] = {"prompts": len(values), "samples": self.counts["judged"], "rubric": rubric}
        parts |= self.judge.recipe(self.template.digest)
        if self._gold is not None:
            parts["gold"] = self._gold
        parts |= {"data": f"{self._print >> 32:08x}", "bs": REPLICATES, "rs": seed, "v": divfast.__version__}
        ((low, high),) = bootstrap_intervals([values], seed=seed)
        return Scores(
            mean=mean_and_std(values)[0],
            interval=(low, high),
            rubric=rubric,
            prompts=len(values),
            samples=self.counts["samples"],
            judged=self.counts["judged"],
            scored=self.counts["scored"],
            malformed=self.judge.counts["malformed"],
            unusable=self.counts["judged"] - self.counts["scored"],
            without_checklist=self.counts[CHECKLIST],
            without_reference=self.counts[REFERENCE],
            signature=Signature("judge_score", parts),
            model=blocks.meta.get("model"),
            task=blocks.meta.get("task"),
            run=run_facts(seconds)
            | {"dumps": [facts_of(blocks)], "judge": dict(self.judge.facts), "seed": seed},
        )


def facts_of(blocks: Blocks) -> Mapping[str, Any]:
    """Return what was met in reading a dump."""
    facts: dict[str, Any] = {"dump": blocks.name, "reader": blocks.reader, "counts": dict(blocks.counts)}
    return facts | ({"skipped_records": list(blocks.skipped)} if blocks.skipped else {})
