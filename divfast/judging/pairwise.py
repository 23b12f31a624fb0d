"""Which of two dumps a judge prefers, prompt by prompt, each pair of samples shown in both orders."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import divfast
from divfast import _core, engine
from divfast.deduplicated import check_files
from divfast.dumps import Progress, block_limits, short_names
from divfast.errors import DataError, MetricError
from divfast.judging.judge import LanguageJudge, Said
from divfast.judging.scores import CHECKLIST, checklist_of, facts_of
from divfast.judging.templates import Template, find_template
from divfast.judging.verdicts import TIE, A, B, pair_verdict
from divfast.output import write_whole
from divfast.quality.rewriting import opened, questions_of
from divfast.quality.verifiers import Question
from divfast.readers import Blocks, find_dumps, read
from divfast.result import Signature, json_number, run_facts
from divfast.stats import REPLICATES, bootstrap_intervals, mean_and_std

# What a verdict is worth to the answer that was shown first.
_WORTH = {A: 1.0, TIE: 0.5, B: 0.0}
# Questions that are held at a time.
_TOGETHER = 4096
_CONVERSE = {A: B, TIE: TIE, B: A}


@dataclass
class Preference:
    """What a judge said of two dumps, in all.

    Attributes
    ----------
    a, b : str
        Names of the dumps.
    win_rate : float
        Mean over prompts of how often the sample of A is preferred, a tie counting one half; NaN where there is no
        verdict.
    interval : (float, float)
        Its 95% bootstrap interval over prompts.
    prompts, undefined : int
        Prompts in both dumps, and how many of them have no verdict.
    pairs, wins, losses, ties, without_verdict : int
        Pairs of samples; of those with verdicts, how many A wins, loses, and neither: where it wins in one order and
        loses in the other, the pair is a tie. A pair without a verdict in one order counts in neither.
    contradicted : int
        Pairs of which the judge preferred the same place in both orders.
    shown_first, shown_second, called_tie : int
        Verdicts by the place of the answer that was preferred.
    position_bias : float
        Mean over prompts of the share of the answer shown first among the verdicts that prefer one; 0.5 where the place
        plays no part.
    position_interval : (float, float)
        Its 95% bootstrap interval over prompts.
    identical : int
        Pairs of equal texts, ties without having been asked about.
    malformed, unusable : int
        Of the different questions, how many were not answered by one verdict; and verdicts that are lacking after the
        second time.
    only_a, only_b, different_prompts : int
        Prompts that one dump alone has; prompts of the same id whose texts differ, of which the judge saw that of A.
    """

    a: str
    b: str
    win_rate: float
    interval: tuple[float, float]
    prompts: int
    undefined: int
    pairs: int
    wins: int
    losses: int
    ties: int
    without_verdict: int
    contradicted: int
    shown_first: int
    shown_second: int
    called_tie: int
    position_bias: float
    position_interval: tuple[float, float]
    identical: int
    malformed: int
    unusable: int
    only_a: int
    only_b: int
    different_prompts: int
    signature: Signature
    run: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; NaN is None."""
        found = dict(self.__dict__)
        for name in ("win_rate", "position_bias"):
            found[name] = json_number(found[name])
        for name in ("interval", "position_interval"):
            found[name] = [json_number(end) for end in found[name]]
        return found | {"signature": str(self.signature), "run": found.pop("run")}


@dataclass
class _Pair:
    """Sample `i` of A and sample `j` of B; both verdicts are on which of the two is better, not on places."""

    i: int
    j: int
    said: list[Said[str]] = field(default_factory=list)
    identical: bool = False

    @property
    def verdicts(self) -> tuple[str | None, str | None]:
        if self.identical:
            return TIE, TIE
        first, second = (one.verdict for one in self.said)
        return first, None if second is None else _CONVERSE[second]

    @property
    def worth(self) -> float:
        """How far A is preferred, over both orders: 0 to 1; NaN where one has no verdict."""
        worths = [np.nan if verdict is None else _WORTH[verdict] for verdict in self.verdicts]
        return float(np.mean(worths))


def prefer(
    a: str | Path,
    b: str | Path,
    judge: LanguageJudge,
    output: str | Path | None = None,
    *,
    pairs: str | int = "first",
    template: str | Path | None = None,
    seed: int = 0,
    memory: int | None = None,
    progress: Progress | None = None,
    **reading: Any,
) -> Preference:
    """Have a judge compare the samples of two dumps of the same prompts.

    Parameters
    ----------
    a, b : str or Path
        Dumps; prompts are matched by their ids.
    judge : LanguageJudge
        See `divfast.judging.judge.open_language_judge`.
    output : str or Path, optional
        A file of JSON Lines with a line for each pair: ``input_id``, ``a`` and ``b`` (which samples), ``verdicts`` with
        A shown first and with B shown first, ``win`` (1, 0.5 or 0 on average over both) and ``judge_said``.
    pairs : {"first", "all"} or int
        The first sample of A with the first of B; every one with every one; or the first so many, each with the one in
        its own place.
    template : str or Path, optional
        A file with the question, instead of that of the package.
    seed : int
        Of the bootstrap.
    memory, progress, **reading
        As in `divfast.score`.

    Returns
    -------
    Preference

    Raises
    ------
    DivfastError
        Where the dumps have no prompt in common, cannot be read, or the server gives no answers. Answers so far are
        kept.

    Notes
    -----
    Each pair is asked about twice, with either answer shown first, and counts with the mean of both, so that a judge
    that likes one place better adds nothing to either side. Both dumps are held in memory.
    """
    started = time.perf_counter()
    if pairs not in ("first", "all") and (isinstance(pairs, str) or pairs < 1):
        raise MetricError(
            f"must be first, all, or a whole number of at least 1, got {pairs!r}.", where="pairs"
        )
    if output is not None:
        check_files([a, b], output, None, join=True)
    chosen = find_template("pair", template)
    with engine.use_memory(memory):
        dumps = [_read(path, memory, reading) for path in (a, b)]
        match = _Match(dumps[0].questions, dumps[1].questions)
        if not match.ids:
            raise DataError(
                f"no input_id is in both {dumps[0].blocks.name} and {dumps[1].blocks.name}.",
                remedy="Judge dumps of the same prompts; --id-field names the field that holds the id.",
            )
        judged = _judged(match, pairs, chosen, judge, progress)
        if output is not None:
            path = Path(output)

            def write(temporary: Path) -> None:
                with opened(temporary, path) as file:
                    file.writelines(f"{line}\n" for line in _lines(match, judged))

            write_whole({path: write})
    parts: dict[str, Any] = {"prompts": len(match.ids), "pairs": pairs, **judge.recipe(chosen.digest)}
    parts |= {
        "data": ",".join(dump.print for dump in dumps),
        "bs": REPLICATES,
        "rs": seed,
        "v": divfast.__version__,
    }
    return _result(
        dumps, match, judged, judge, Signature("win_rate", parts), seed, time.perf_counter() - started
    )


@dataclass
class _Dump:
    blocks: Blocks
    questions: dict[str, Question]
    print: str


def _read(path: str | Path, memory: int | None, reading: Mapping[str, Any]) -> _Dump:
    limits = {**block_limits(memory), **reading}
    blocks = read(find_dumps([path]), columns=["model", "task", CHECKLIST], as_json=True, **limits)
    questions: dict[str, Question] = {}
    print_ = 0
    for block in blocks:
        print_ = _core.fingerprint(block.text.values, block.text.offsets, block.groups, print_)
        for question in questions_of(block):
            if question.id in questions:
                raise DataError(
                    f"has several prompts of the input_id {question.id!r}, which cannot be paired.",
                    where=blocks.name,
                    remedy="Give every prompt an id of its own, or judge one model and task at a time.",
                )
            questions[question.id] = question
    return _Dump(blocks, questions, f"{print_ >> 32:08x}")


class _Match:
    """The prompts of both dumps."""

    def __init__(self, a: Mapping[str, Question], b: Mapping[str, Question]) -> None:
        self.ids = [id for id in a if id in b]
        self.a, self.b = a, b
        self.different = 0
        for id in self.ids:
            prompts = [one for one in (a[id].prompt, b[id].prompt) if one is not None]
            self.different += len(set(prompts)) > 1

    def prompt(self, id: str) -> str:
        """Return what the judge is shown: what A says, or B where A says nothing."""
        for question in (self.a[id], self.b[id]):
            if question.prompt is not None:
                return question.prompt
        raise DataError(
            f"the record {id!r} has no prompt, and a judge must see one.",
            remedy="Name its field with --prompt-field, or a file that has the prompts with --prompts.",
        )


def _paired(a: int, b: int, pairs: str | int) -> list[_Pair]:
    if pairs == "all":
        return [_Pair(i, j) for i in range(a) for j in range(b)]
    return [_Pair(i, i) for i in range(min(a, b, 1 if pairs == "first" else int(pairs)))]


def _judged(
    match: _Match, pairs: str | int, template: Template, judge: LanguageJudge, progress: Progress | None
) -> list[list[_Pair]]:
    """Return the pairs of every prompt, both orders of each asked about."""
    judged = [_paired(len(match.a[id].outputs), len(match.b[id].outputs), pairs) for id in match.ids]
    total, done = 2 * sum(map(len, judged)), 0
    prompts: list[str] = []
    waiting: list[_Pair] = []

    def ask() -> None:
        nonlocal done
        before = done

        def told(now: int, _: int | None, unit: str) -> None:
            if progress is not None:
                progress(before + now, total, unit)

        said = judge(prompts, pair_verdict, told)
        for at, pair in enumerate(waiting):
            pair.said = said[2 * at : 2 * at + 2]
        done += len(prompts)
        prompts.clear()
        waiting.clear()

    for id, mine in zip(match.ids, judged, strict=True):
        a, b = match.a[id], match.b[id]
        fields = {
            "prompt": match.prompt(id) if mine else "",
            CHECKLIST: checklist_of(a) or checklist_of(b) or "",
        }
        for pair in mine:
            one, other = a.outputs[pair.i], b.outputs[pair.j]
            pair.identical = one == other
            if not pair.identical:
                waiting.append(pair)
                prompts.append(template.filled(**fields, response_a=one, response_b=other))
                prompts.append(template.filled(**fields, response_a=other, response_b=one))
            if len(prompts) >= _TOGETHER:
                ask()
    ask()
    return judged


def _lines(match: _Match, judged: Sequence[Sequence[_Pair]]) -> Iterator[str]:
    for id, pairs in zip(match.ids, judged, strict=True):
        for pair in pairs:
            record = {
                "input_id": id,
                "a": pair.i,
                "b": pair.j,
                "verdicts": pair.verdicts,
                "win": json_number(pair.worth),
                "judge_said": [one.text for one in pair.said],
            }
            yield json.dumps(record, ensure_ascii=False)


def _result(
    dumps: Sequence[_Dump],
    match: _Match,
    judged: Sequence[Sequence[_Pair]],
    judge: LanguageJudge,
    signature: Signature,
    seed: int,
    seconds: float,
) -> Preference:
    counts: Counter[str | None] = Counter()
    wins = np.full(len(judged), np.nan)
    first = np.full(len(judged), np.nan)
    for at, pairs in enumerate(judged):
        worths = np.array([pair.worth for pair in pairs])
        known = worths[~np.isnan(worths)]
        if len(known):
            wins[at] = known.mean()
        of_prompt: Counter[str | None] = Counter()
        counts["pairs"] += len(pairs)
        counts["wins"] += int((known > 0.5).sum())
        counts["losses"] += int((known < 0.5).sum())
        counts["ties"] += int((known == 0.5).sum())
        for pair in pairs:
            counts["identical"] += pair.identical
            shown = [one.verdict for one in pair.said]
            counts["contradicted"] += shown in ([A, A], [B, B])
            counts.update(shown)
            of_prompt.update(shown)
        if either := of_prompt[A] + of_prompt[B]:
            first[at] = of_prompt[A] / either
    win_interval, first_interval = bootstrap_intervals([wins, first], seed=seed)
    a, b = short_names([Path(dump.blocks.name) for dump in dumps])
    return Preference(
        a=a,
        b=b,
        win_rate=mean_and_std(wins)[0],
        interval=win_interval,
        prompts=len(judged),
        undefined=int(np.isnan(wins).sum()),
        pairs=counts["pairs"],
        wins=counts["wins"],
        losses=counts["losses"],
        ties=counts["ties"],
        without_verdict=counts["pairs"] - counts["wins"] - counts["losses"] - counts["ties"],
        contradicted=counts["contradicted"],
        shown_first=counts[A],
        shown_second=counts[B],
        called_tie=counts[TIE],
        position_bias=mean_and_std(first)[0],
        position_interval=first_interval,
        identical=counts["identical"],
        malformed=judge.counts["malformed"],
        unusable=counts[None],
        only_a=len(dumps[0].questions) - len(judged),
        only_b=len(dumps[1].questions) - len(judged),
        different_prompts=match.different,
        signature=signature,
        run=run_facts(seconds)
        | {"dumps": [facts_of(dump.blocks) for dump in dumps], "judge": dict(judge.facts)},
    )
