"""``ifeval``: the sample follows every instruction of its prompt."""

from __future__ import annotations

import functools
import importlib.util
import json
from collections.abc import Mapping, Sequence
from typing import Any

from divfast.errors import BackendError, MetricError
from divfast.quality import paper_instructions
from divfast.quality.instructions import Follows, Unusable, instruction
from divfast.quality.verifiers import Judge, Question, Settings, Verdict, Verifier, same_for_all

_COLUMNS = ("tests", "instruction_id_list", "kwargs")


def check(settings: Settings) -> None:
    """Raise where what tells languages is not installed, and where there is no loose rule."""
    if settings.preset == "paper" and settings.loose:
        raise MetricError("the preset paper has no loose rule.", remedy="Leave out --loose or --preset.")
    if settings.preset == "default" and importlib.util.find_spec("py3langid") is None:
        raise BackendError("ifeval needs py3langid.", remedy="pip install 'divfast[verify]'")


def named_instructions(columns: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]] | Verdict:
    """Return the names and arguments of the instructions of a prompt, or a verdict that says why there are none.

    They stand in one column, ``tests``, an object with ``instruction_id_list`` and ``kwargs`` or such an object as
    text, or in two columns of these names, as in the file of the authors. Any part of it may be JSON in a text.

    Examples
    --------
    >>> named_instructions({"instruction_id_list": ["en:startend:quotation"], "kwargs": ["{}"]})
    [('startend:quotation', {})]
    """
    found = columns.get("tests")
    try:
        found = columns if found is None else _parsed(found)
        if not isinstance(found, Mapping) or found.get("instruction_id_list") is None:
            return Verdict(None, error="no tests")
        names = _parsed(found["instruction_id_list"])
        given = _parsed(found.get("kwargs"))
        given = [None] * len(names) if given is None else [_parsed(one) for one in given]
        given = [{} if one is None else one for one in given]
    except (TypeError, ValueError, RecursionError):
        return Verdict(None, error="tests cannot be read")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return Verdict(None, error="instruction_id_list is no list of names")
    if not names:
        return Verdict(None, error="no instructions")
    if len(names) != len(given) or not all(isinstance(one, dict) for one in given):
        return Verdict(None, error="kwargs are not one object for each instruction")
    return [(name.removeprefix("en:"), one) for name, one in zip(names, given, strict=True)]


def _parsed(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) else value


def variants(text: str) -> list[str]:
    """Return what the loose rule tries: a sample without its first line, its last, both, and all without asterisks.

    Examples
    --------
    >>> variants("Sure!\\n*Yes*")
    ['Sure!\\n*Yes*', '*Yes*', 'Sure!', 'Sure!\\nYes', 'Yes']
    """
    lines = text.split("\n")
    cut = ["\n".join(part).strip() for part in (lines[1:], lines[:-1], lines[1:-1])]
    tried = [text, *cut]
    tried += [one.replace("*", "") for one in tried]
    return [one for one in dict.fromkeys(tried) if one.strip()]


def judge(question: Question, settings: Settings) -> Judge | Verdict:
    """Test every instruction on a sample as it stands (strict), and on what is like it (loose)."""
    named = named_instructions(question.columns)
    if isinstance(named, Verdict):
        return named
    paper = settings.preset == "paper"
    try:
        tests = [
            functools.partial(paper_instructions.follows, name, values)
            if paper
            else instruction(name, values)
            for name, values in named
        ]
    except Unusable as error:
        return Verdict(None, error=str(error))
    expected = " ".join(name for name, _ in named)

    def verdict(text: str) -> Verdict:
        strict = [bool(paper or text.strip()) and test(text) for test in tests]
        further: dict[str, bool | list[bool]] = {"correct_strict": all(strict), "inst_strict": strict}
        followed = strict
        if not paper:
            loose = _loose(text, tests, strict)
            further |= {"correct_loose": all(loose), "inst_loose": loose}
            followed = loose if settings.loose else strict
        names = " ".join(name for (name, _), yes in zip(named, followed, strict=True) if yes)
        return Verdict(all(followed), names if text.strip() else None, expected, None, further)

    return same_for_all(verdict, question, settings)


def _loose(text: str, tests: Sequence[Follows], strict: Sequence[bool]) -> list[bool]:
    """Return which instructions a variant follows; those that the sample itself follows need no more tests."""
    others = [] if all(strict) else variants(text)
    return [done or any(map(test, others)) for test, done in zip(tests, strict, strict=True)]


VERIFIER = Verifier(
    "ifeval",
    "Every instruction of the prompt is followed, as IFEval tests them; what each sample follows is written too.",
    1,
    judge,
    columns=lambda settings: _COLUMNS,
    presets=("default", "paper"),
    # Its verdicts are kept, so work goes on where it stood; and all cores are used.
    isolated=lambda settings: True,
    packages=("py3langid",),
    check=check,
    recipe=lambda settings: {"rule": "loose" if settings.loose else "strict"},
    written=("correct_strict", "correct_loose", "inst_strict", "inst_loose"),
)
