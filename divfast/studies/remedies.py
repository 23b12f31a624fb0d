"""Errors of scoring and verifying in the words of a study file: its keys in place of flags of other commands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from divfast.errors import DivfastError
from divfast.studies.keywords import score_options, verify_options
from divfast.studies.plan import Study

# What stands behind a flag in a remedy is its value where it is in quotes, a number, or one of these.
_VALUES = (
    *("skip", "fail", "minilm", "code", "always", "never", "auto", "cpu", "cuda", "pooled"),
    *("regex", "ifeval", "labels", "transformers", "vllm", "paper", "default", "NAME"),
)
_FLAG = re.compile(rf"--([a-z][a-z-]*)(?: ('[^']*'|[\d.]*\d|(?:{'|'.join(_VALUES)})\b))?")
# Flags of other names than the keyword that they set.
_NAMES = {"plugin": "plugins"}
_COMMANDS = {
    "with divfast verify": "with tasks.{task}.verify",
    # What a study has no key for.
    " or --where": "",
    ", or a file that has it for every id with --problems FILE": "",
    "the column of verdicts": "the column of verdicts with tasks.{task}.verify: {{as: labels, labels: NAME}}",
}


@contextmanager
def in_its_words(study: Study, task: str, *, verifying: bool) -> Iterator[None]:
    """Raise errors of `divfast.score` or `divfast.verify` as errors of a task of a study.

    A remedy that names a flag names the key of the study file instead, from its beginning on; flags of ``divfast
    study`` itself stay. What says nothing of where is of the study file.
    """
    try:
        yield
    except DivfastError as error:
        where, what = error.where, error.what
        keys = _keys(study, task, verifying=verifying)
        if where is None or where in keys:
            where, what = str(study.path), f"{keys.get(where or '', f'tasks.{task}')}: {what}"
        remedy = error.remedy and translated(study, task, error.remedy, verifying=verifying)
        raise type(error)(what, where=where, remedy=remedy) from error


def translated(study: Study, task: str, remedy: str, *, verifying: bool) -> str:
    """Return a remedy with keys of the study file in place of flags and commands."""
    keys = _keys(study, task, verifying=verifying)

    def key(found: re.Match[str]) -> str:
        name = _NAMES.get(found[1], found[1].replace("-", "_"))
        if name not in keys:
            return found[0]
        return f"{keys[name]}: {found[2]}" if found[2] else keys[name]

    for command, words in _COMMANDS.items():
        remedy = remedy.replace(command, words.format(task=task))
    return _FLAG.sub(key, remedy)


def _keys(study: Study, task: str, *, verifying: bool) -> dict[str, str]:
    """Return where in the study file a keyword stands, or would."""
    own = study.tasks[task].options
    keys = {name: f"tasks.{task}.{name}" if name in own else f"options.{name}" for name in score_options()}
    if verifying:
        keys |= {name: f"tasks.{task}.verify.{name}" for name in ("as", *verify_options())}
    return keys
