"""Verdicts by execution: what a model wrote is run in a sandbox, equal programs of a prompt once."""

from __future__ import annotations

import platform
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any, NamedTuple

from divfast import engine
from divfast.errors import MetricError
from divfast.quality.verifiers import Judging, Question, Settings, Verdict
from divfast.sandbox.pool import Sandboxes
from divfast.sandbox.ways import Limits, describe, find_way
from divfast.sandbox.worker import Outcome, Part

# That of the published harnesses of HumanEval and CRUXEval.
SECONDS = 3.0
# Programs that one sandbox is given at a time.
_AT_A_TIME = 16
_UNPARSEABLE = ("SyntaxError", "IndentationError", "TabError")


class Program(NamedTuple):
    """What is run for one sample.

    Attributes
    ----------
    parts : tuple of Part
        The first is the sample's own.
    extracted : str
        What the sample gave.
    expected : str or None
        What it is compared with.
    """

    parts: tuple[Part, ...]
    extracted: str
    expected: str | None = None


# Gives a program or a verdict for every sample of a question, or one verdict for all.
Prepare = Callable[[Question, Settings], Sequence[Program | Verdict] | Verdict]


def check_permission(name: str, settings: Settings) -> None:
    """Raise `MetricError` unless programs may be run, and `BackendError` where there is no sandbox for them."""
    if not settings.allow_code_execution:
        raise MetricError(
            f"{name} runs programs that a model wrote.",
            remedy="Say --allow-code-execution (in Python, allow_code_execution=True) to run them in a sandbox.",
        )
    find_way(settings.sandbox)


def facts(settings: Settings) -> dict[str, Any]:
    """Return how programs are closed off here."""
    return {"sandbox": describe(find_way(settings.sandbox))}


def recipe(settings: Settings) -> dict[str, Any]:
    """Return what changes verdicts by execution."""
    return {"python": platform.python_version(), "ram": f"{Limits.memory >> 20}MiB"}


@contextmanager
def executing(prepare: Prepare, settings: Settings) -> Iterator[Judging]:
    """Give a function from questions to verdicts, for as long as the sandboxes stand."""
    with Sandboxes(settings.sandbox, Limits(seconds=settings.limit)) as sandboxes:

        def judging(questions: Iterable[Question]) -> Iterator[list[Verdict]]:
            pending: deque[tuple[Sequence[Program | Verdict], list[Program], list[Future[list[Outcome]]]]]
            pending = deque()
            for question in questions:
                found = prepare(question, settings)
                every = [found] * len(question.outputs) if isinstance(found, Verdict) else found
                distinct = list(dict.fromkeys(one for one in every if isinstance(one, Program)))
                parts = [one.parts for one in distinct]
                batches = [parts[i : i + _AT_A_TIME] for i in range(0, len(parts), _AT_A_TIME)]
                pending.append((every, distinct, [sandboxes.submit(batch) for batch in batches]))
                if len(pending) > 4 * engine.threads():
                    yield _collected(*pending.popleft())
            while pending:
                yield _collected(*pending.popleft())

        yield judging


def _collected(
    every: Sequence[Program | Verdict], distinct: Sequence[Program], futures: Sequence[Future[list[Outcome]]]
) -> list[Verdict]:
    outcomes = [outcome for future in futures for outcome in future.result()]
    said = {one: _verdict(one, outcome) for one, outcome in zip(distinct, outcomes, strict=True)}
    return [said[one] if isinstance(one, Program) else one for one in every]


def _verdict(program: Program, outcome: Outcome) -> Verdict:
    unparseable = outcome.part == 0 and outcome.error in _UNPARSEABLE
    return Verdict(
        outcome.passed,
        None if unparseable else program.extracted or None,
        program.expected,
        outcome.error,
    )
