"""``code``: the program in the sample passes the tests of its prompt, run in a sandbox."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pyarrow as pa

from divfast.quality import executing
from divfast.quality.executing import Program
from divfast.quality.verifiers import Judge, Judging, Question, Settings, Verdict, Verifier
from divfast.samples import Samples
from divfast.views.code import Code

_TESTS = ("tests", "test", "test_list")
# What stands before the tests of MBPP.
_SETUP = ("test_imports", "test_setup_code")
_CHECK = re.compile(r"^def check\(", re.MULTILINE)
_DEFINITION = re.compile(r"^(?:async[ \t]+)?def[ \t]+(\w+)", re.MULTILINE)


def _code(settings: Settings) -> Code:
    return Code("python", settings.code_field, settings.continuation, tuple(settings.stop))


def programs(question: Question, settings: Settings) -> list[str]:
    """Return the program of every sample, as the metrics over programs see it.

    Examples
    --------
    >>> from divfast.quality.verifiers import Question, Settings
    >>> question = Question(["    return x", "```python\\ndef f(x):\\n    return 2\\n```"], prompt="def f(x):\\n")
    >>> programs(question, Settings())
    ['def f(x):\\n    return x', 'def f(x):\\n    return 2']
    """
    samples = Samples.from_lists([question.outputs], prompts=[question.prompt])
    if settings.code_field is not None:
        column = pa.array(
            [_text(value) for value in question.columns[settings.code_field]], pa.large_string()
        )
        samples = replace(samples, per_sample={settings.code_field: column})
    return _code(settings).programs(samples)[0].strings()


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def tests(question: Question) -> str | Verdict:
    """Return the tests of a question as one program, a verdict where there are none.

    Examples
    --------
    >>> from divfast.quality.verifiers import Question
    >>> columns = {"tests": "def check(candidate):\\n    assert candidate(1) == 1", "entry_point": "f"}
    >>> print(tests(Question([], columns)))
    def check(candidate):
        assert candidate(1) == 1
    check(f)
    """
    given = [question.columns.get(name) for name in _TESTS]
    value = next((one for one in given if one not in (None, [], "")), None)
    if value is None:
        return Verdict(None, error="no tests")
    lines = [_lines(question.columns.get(name)) for name in _SETUP]
    lines.append(_lines(value))
    if None in lines:
        return Verdict(None, error="tests are not text")
    program = "\n".join(text for text in lines if text)
    if not _CHECK.search(program):
        return program
    name = question.columns.get("entry_point")
    if not isinstance(name, str):
        begun = _DEFINITION.findall(question.prompt or "")
        if not begun:
            return Verdict(None, error="no entry_point")
        name = begun[-1]
    return f"{program}\ncheck({name})"


def _lines(value: Any) -> str | None:
    """Return a program, or a list of lines of one; None where it is neither."""
    values = value if isinstance(value, list) else [] if value is None else [value]
    return "\n".join(values) if all(isinstance(one, str) for one in values) else None


def bound(program: str, name: str) -> str:
    """Return a program in which `name` is its first function, where nothing in it has that name.

    A prompt that describes a function need not name it, as those of MBPP do not; its tests do. The published code of
    arXiv 2604.16027 renames the first function as well.

    Examples
    --------
    >>> print(bound("def add(a, b):\\n    return a + b", "sum_of"))
    def add(a, b):
        return a + b
    sum_of = add
    >>> bound("sum_of = sum", "sum_of")
    'sum_of = sum'
    """
    first = _DEFINITION.search(program)
    if first is None or re.search(rf"\b{re.escape(name)}\b", program):
        return program
    return f"{program}\n{name} = {first[1]}"


def prepare(question: Question, settings: Settings) -> Sequence[Program | Verdict] | Verdict:
    """Return what is run for every sample."""
    after = tests(question)
    if isinstance(after, Verdict):
        return after
    name = question.columns.get("entry_point")
    # Tests that take the function as an argument belong to a prompt that names it.
    called = name if isinstance(name, str) and not _CHECK.search(after) else None
    return [
        Program((("program", text if called is None else bound(text, called)), ("tests", after)), text)
        for text in programs(question, settings)
    ]


def judge(question: Question, settings: Settings) -> Judge | Verdict:
    """Say nothing of any sample: no program is run in the process that asks."""
    return Verdict(None, error="not run")


def judging(settings: Settings) -> AbstractContextManager[Judging]:
    """Run programs in sandboxes."""
    return executing.executing(prepare, settings)


def check(settings: Settings) -> None:
    """Raise where programs must or can not be run, or an option is none of those known."""
    _code(settings).check()
    executing.check_permission("code", settings)


VERIFIER = Verifier(
    "code",
    "The program in the sample passes the tests of its prompt, run in a sandbox (needs --allow-code-execution).",
    2,
    judge,
    columns=lambda settings: _TESTS,
    beside=("entry_point", *_SETUP),
    sample_columns=lambda settings: () if settings.code_field is None else (settings.code_field,),
    isolated=lambda settings: True,
    check=check,
    judging=judging,
    limit=lambda settings: executing.SECONDS,
    recipe=lambda settings: {"prog": _code(settings).signature, **executing.recipe(settings)},
    facts=executing.facts,
)
