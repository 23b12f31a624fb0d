"""Which of two dumps a judge prefers, prompt by prompt, each pair of samples shown in both orders."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import divfast
from divfast import engine
from divfast.deduplicated import check_files
from divfast.dumps import Progress, short_names
from divfast.errors import MetricError
from divfast.judging.judge import LanguageJudge, Said
from divfast.judging.preference import Preference
from divfast.judging.sides import Match, Side, read_side, references_as_side
from divfast.judging.templates import Template, find_template
from divfast.judging.verdicts import TIE, A, B, pair_verdict
from divfast.output import write_whole
from divfast.quality.rewriting import opened
from divfast.result import Signature, json_number, run_facts
from divfast.stats import REPLICATES, bootstrap_intervals, mean_and_std

# What a verdict is worth to the answer that was shown first.
_WORTH = {A: 1.0, TIE: 0.5, B: 0.0}
# Questions that are held at a time.
_TOGETHER = 4096
_CONVERSE = {A: B, TIE: TIE, B: A}


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
    b: str | Path | None,
    judge: LanguageJudge,
    output: str | Path | None = None,
    *,
    pairs: str | int = "first",
    template: str | Path | None = None,
    gold: str | None = None,
    seed: int = 0,
    memory: int | None = None,
    progress: Progress | None = None,
    **reading: Any,
) -> Preference:
    """Have a judge compare the samples of two dumps of the same prompts.

    Parameters
    ----------
    a, b : str or Path
        Dumps; prompts are matched by their ids. Without `b`, the samples of A are compared with its references.
    judge : LanguageJudge
        See `divfast.judging.judge.open_language_judge`.
    output : str or Path, optional
        A file of JSON Lines with a line for each pair: ``input_id``, ``a`` and ``b`` (which samples), ``verdicts`` with
        A shown first and with B shown first, ``win`` (1, 0.5 or 0 on average over both) and ``judge_said``.
    pairs : {"first", "all"} or int
        The first sample of A with the first of B; every one with every one; or the first so many, each with the one in
        its own place.
    template : str or Path, optional
        A file with the question, instead of that of the package, or the name of one that is there; with a field
        ``{reference}`` prompts without one are left out.
    gold : str, optional
        The column with the references, instead of ``references`` and ``gold``.
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
        check_files([a] if b is None else [a, b], output, None, join=True)
    chosen = find_template("pair", template)
    with engine.use_memory(memory):
        one = read_side(a, gold, memory, reading)
        other = references_as_side(one, gold) if b is None else read_side(b, gold, memory, reading)
        sides = (one, other)
        match = Match(one, other, chosen, gold)
        judged = _judged(match, pairs, chosen, judge, progress)
        if output is not None:
            path = Path(output)

            def write(temporary: Path) -> None:
                with opened(temporary, path) as file:
                    file.writelines(f"{line}\n" for line in _lines(match, judged))

            write_whole({path: write})
    parts: dict[str, Any] = {"prompts": len(match.ids), "pairs": pairs, **judge.recipe(chosen.digest)}
    if gold is not None:
        parts["gold"] = gold
    parts |= {
        "data": ",".join(side.print for side in sides),
        "bs": REPLICATES,
        "rs": seed,
        "v": divfast.__version__,
    }
    return _result(
        sides, match, judged, judge, Signature("win_rate", parts), seed, time.perf_counter() - started
    )


def _paired(a: int, b: int, pairs: str | int) -> list[_Pair]:
    if pairs == "all":
        return [_Pair(i, j) for i in range(a) for j in range(b)]
    return [_Pair(i, i) for i in range(min(a, b, 1 if pairs == "first" else int(pairs)))]


def _judged(
    match: Match, pairs: str | int, template: Template, judge: LanguageJudge, progress: Progress | None
) -> list[list[_Pair]]:
    """Return the pairs of every prompt, both orders of each asked about."""
    judged = [
        _paired(len(match.a[id].outputs), len(match.b[id].outputs), pairs) if match.is_asked(id) else []
        for id in match.ids
    ]
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
        fields = match.fields(id) if mine else {}
        for pair in mine:
            one, other = match.a[id].outputs[pair.i], match.b[id].outputs[pair.j]
            pair.identical = one == other
            if not pair.identical:
                waiting.append(pair)
                prompts.append(template.filled(**fields, response_a=one, response_b=other))
                prompts.append(template.filled(**fields, response_a=other, response_b=one))
            if len(prompts) >= _TOGETHER:
                ask()
    ask()
    return judged


def _lines(match: Match, judged: Sequence[Sequence[_Pair]]) -> Iterator[str]:
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
    sides: Sequence[Side],
    match: Match,
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
    if sides[1].are_references:
        a, b = *short_names([Path(sides[0].name)]), "references"
    else:
        a, b = short_names([Path(side.name) for side in sides])
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
        only_a=len(sides[0].questions) - len(judged),
        only_b=len(sides[1].questions) - len(judged),
        different_prompts=match.different,
        without_reference=match.without_reference,
        signature=signature,
        run=run_facts(seconds)
        | {"dumps": [fact for side in sides for fact in side.facts], "judge": dict(judge.facts)},
    )
