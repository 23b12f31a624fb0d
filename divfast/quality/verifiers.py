"""The table of verifiers: what each needs of a dump, and how it judges the samples of one prompt.

A verifier is a module of this package with a `Verifier` called ``VERIFIER``. To add one, write the module and name it
in `_VERIFIERS`.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from divfast.errors import MetricError, nearest

PRESETS = ("default", "paper")
# In the order in which they are listed; the names are those of the modules.
_VERIFIERS = ("math", "gsm8k", "code", "ifeval", "cruxeval", "truthfulqa", "exact", "regex", "labels")
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True)
class Settings:
    """What changes a verdict, beside the verifier: all of it stands in the signature.

    Attributes
    ----------
    preset : {"default", "paper"}
        ``paper`` reproduces the published code of arXiv 2604.16027, for the verifiers that it has.
    pattern : str, optional
        Regular expression with one group, for `regex`.
    labels : str
        Column with the verdicts, for `labels`.
    json_field : str, optional
        Judge this field of samples that are JSON objects, others as they are.
    limit : float
        Seconds of processor time for one sample.
    loose : bool
        For `ifeval`: whether `correct` is what the loose rule says.
    allow_code_execution : bool
        Whether programs that a model wrote may be run.
    sandbox : {"auto", "bwrap", "namespaces", "rlimits"}
        Where they are; changes no verdict.
    code_field, continuation, stop : str, str, sequence of str
        How the program of a sample is found: see `divfast.views.code.Code`.
    """

    preset: str = "default"
    pattern: str | None = None
    labels: str = "correct"
    json_field: str | None = None
    limit: float = 10.0
    loose: bool = False
    allow_code_execution: bool = False
    sandbox: str = "auto"
    code_field: str | None = None
    continuation: str = "auto"
    stop: Sequence[str] = ()


@dataclass(frozen=True)
class Question:
    """One prompt and its samples.

    Attributes
    ----------
    columns : Mapping[str, Any]
        What the dump says of the prompt, as it stood there; of a column with a value per sample a list.
    """

    outputs: Sequence[str]
    columns: Mapping[str, Any] = field(default_factory=dict)
    id: str = ""
    prompt: str | None = None


class Verdict(NamedTuple):
    """What is said of one sample.

    Attributes
    ----------
    correct : bool or None
        None where nothing can be said, as without a gold answer.
    extracted : str or None
        The answer found in the sample, so written that equal answers are equal texts; None where there is none.
    expected : str or None
        What it was compared with.
    error : str or None
        What went wrong, in few words: they are counted.
    further : Mapping[str, bool or list of bool], optional
        Verdicts besides, by the column in which they are written; the verifier names these columns in `written`.
    """

    correct: bool | None
    extracted: str | None = None
    expected: str | None = None
    error: str | None = None
    further: Mapping[str, bool | list[bool]] | None = None


# Gives the verdict on sample i of a question; making it prepares what the samples share, such as the gold answer.
Judge = Callable[[int], Verdict]
Judging = Callable[[Iterable[Question]], Iterator[list[Verdict]]]


@dataclass(frozen=True)
class Verifier:
    """A way to tell whether samples are right.

    Attributes
    ----------
    name : str
        What users write after ``--as``.
    summary : str
        One line.
    version : int
        Raised with every change that can change a verdict.
    judge : callable
        ``judge(question, settings)`` prepares and returns what gives the verdict on each sample. It may return a
        `Verdict` instead, which then holds for all samples.
    columns : callable
        Which columns of a dump are read: any one of them is enough.
    sample_columns : callable
        The same for columns with a value per sample.
    beside : tuple of str
        Columns that are read besides, where they are there.
    presets : tuple of str
        Which presets there are.
    isolated : callable
        Whether samples may take long or bring the process down: they are then judged in processes of their own.
    packages : tuple of str
        Distributions whose version can change a verdict.
    check : callable
        Raises where the settings will not do, or something is not installed.
    judging : callable, optional
        Instead of `judge`, for what brings processes of its own: ``judging(settings)`` is a context that gives a
        function from questions to the verdicts on their samples, in the same order. Or None, where these settings need
        no such processes.
    limit : callable
        Seconds of processor time for one sample, where none are named.
    recipe : callable
        What else changes a verdict under these settings, as parts of the signature.
    facts : callable
        What of the machine should be told and changes none.
    written : tuple of str
        Columns that it writes besides.
    extracts : bool
        Whether it looks for an answer in the samples; else none of them is counted as one without.
    """

    name: str
    summary: str
    version: int
    judge: Callable[[Question, Settings], Judge | Verdict]
    columns: Callable[[Settings], Sequence[str]] = lambda settings: ("gold", "references")
    sample_columns: Callable[[Settings], Sequence[str]] = lambda settings: ()
    beside: Sequence[str] = ()
    presets: Sequence[str] = ("default",)
    isolated: Callable[[Settings], bool] = lambda settings: False
    packages: Sequence[str] = ()
    check: Callable[[Settings], None] = lambda settings: None
    judging: Callable[[Settings], AbstractContextManager[Judging] | None] = lambda settings: None
    limit: Callable[[Settings], float] = lambda settings: 10.0
    recipe: Callable[[Settings], dict[str, Any]] = lambda settings: {}
    facts: Callable[[Settings], dict[str, Any]] = lambda settings: {}
    written: Sequence[str] = ()
    extracts: bool = True


def verifiers() -> dict[str, Verifier]:
    """Return all verifiers by name."""
    return {name: _of(name) for name in _VERIFIERS}


def find_verifier(name: str) -> Verifier:
    """Return a verifier by name.

    Raises
    ------
    MetricError
        Where there is none.
    """
    if name not in _VERIFIERS:
        raise MetricError(f"unknown verifier {name!r}.", remedy=nearest(name, _VERIFIERS))
    return _of(name)


def _of(name: str) -> Verifier:
    found: Verifier = importlib.import_module(f"divfast.quality.{name}").VERIFIER
    return found


@contextmanager
def open_judging(verifier: Verifier, settings: Settings) -> Iterator[Judging]:
    """Give a function from questions to the verdicts on their samples, wherever these are judged."""
    own = verifier.judging(settings)
    if own is not None:
        with own as judging:
            yield judging
    elif verifier.isolated(settings):
        from divfast.quality.workers import Workers

        with Workers(verifier.name, settings) as workers:
            yield workers.verdicts
    else:
        yield lambda questions: (judge_here(verifier, question, settings) for question in questions)


def judge_here(verifier: Verifier, question: Question, settings: Settings) -> list[Verdict]:
    """Return the verdicts on all samples of a question, judged in this process.

    Examples
    --------
    >>> question = Question(["Paris", " paris ", "Rome"], {"gold": "Paris"})
    >>> [verdict.correct for verdict in judge_here(find_verifier("exact"), question, Settings())]
    [True, True, False]
    """
    judge = verifier.judge(question, settings)
    if isinstance(judge, Verdict):
        return [judge] * len(question.outputs)
    return [judge(i) for i in range(len(question.outputs))]


def gold_answers(question: Question) -> list[str] | Verdict:
    """Return the right answers to a question: its ``gold``, else its ``references``; a verdict where there is none."""
    for name in ("gold", "references"):
        value = question.columns.get(name)
        if value is None or value == []:
            continue
        values = value if isinstance(value, list) else [value]
        if any(isinstance(one, (dict, list)) or one is None for one in values):
            return Verdict(None, error=f"{name} is not text")
        return [one if isinstance(one, str) else json.dumps(one) for one in values]
    return Verdict(None, error="no gold")


def folded(text: str) -> str:
    """Return a text in lower case, with each run of white space as one blank and none at the ends."""
    return _SPACE.sub(" ", text).strip().casefold()


def same_for_all(judge: Callable[[str], Verdict], question: Question, settings: Settings) -> Judge:
    """Return what judges each sample by its text alone, or by a JSON field where one is named and is there."""
    name = settings.json_field
    if name is None:
        return lambda i: judge(question.outputs[i])

    def judge_field(i: int) -> Verdict:
        text = json_field(question.outputs[i], name)
        return judge(question.outputs[i] if text is None else text)

    return judge_field


def json_field(text: str, name: str) -> str | None:
    """Return a field of a JSON object in a text; of one that is broken or cut off, what stands behind its name.

    Examples
    --------
    >>> json_field('{"reasoning": "2 + 2", "answer": 4}', "answer")
    '4'
    >>> json_field('{"reasoning": "so "4"", "answer": "4 ', "answer")
    '4'
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if isinstance(found, dict) and name in found:
        value = found[name]
        return value if isinstance(value, str) else json.dumps(value)
    at = text.rfind(f'"{name}"')
    behind = re.match(r'\s*:\s*("(?:[^"\\]|\\.)*"|[^\n]*)', text[at + len(name) + 2 :]) if at >= 0 else None
    if behind is None:
        return None
    value = behind[1]
    try:
        value = json.loads(value)
    except (ValueError, RecursionError):
        value = value.strip().rstrip("},").strip().strip('"').strip()
    return value if isinstance(value, str) else json.dumps(value)
