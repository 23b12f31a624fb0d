"""The program in every sample: out of markdown, out of a column, or joined to the prompt that it goes on from."""

from __future__ import annotations

import ast
import hashlib
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from divfast import _core
from divfast.errors import DataError, MetricError, nearest
from divfast.samples import Ragged, Samples

# The words behind an opening fence of markdown that stand for each language.
TAGS = {
    "python": ("python", "py", "python3", "py3"),
    "javascript": ("javascript", "js", "jsx", "mjs", "node"),
    "typescript": ("typescript", "ts", "tsx"),
    "java": ("java",),
    "c": ("c", "h"),
    "cpp": ("cpp", "c++", "cc", "cxx", "hpp"),
    "go": ("go", "golang"),
    "rust": ("rust", "rs"),
}
LANGUAGES = tuple(TAGS)
CONTINUATION = ("auto", "always", "never")
# Where a completion of a Python function has gone on to something else (Chen et al. 2021, arXiv 2107.03374).
STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")

_LANGUAGE_OF = {tag: language for language, tags in TAGS.items() for tag in tags}
# One that is not closed, as where a sample was cut, reaches to the end.
_FENCE = re.compile(r"```(?:([\w+#.-]+)[^\n`]*|[^\S\n]*)\n(?:\s*\n)?(.*?)(?:```|\Z)", re.DOTALL)
_DEFINITION = re.compile(r"^[ \t]*(?:async[ \t]+)?(?:def|class)[ \t]+(\w+)", re.MULTILINE)
# What begins so is not in the body of a function, even where leading blanks were cut off.
_NO_BODY = re.compile(r"\s|(?:def|class|import|from|async def)\b|@|#|if __name__|\Z")


@dataclass(frozen=True)
class Code:
    """How the program of a sample is found.

    Attributes
    ----------
    language : str
        One of `LANGUAGES`, or ``auto``: what the fence says, else Python.
    column : str, optional
        Column of the dump that holds the programs; the samples themselves are then not looked at.
    continuation : {"auto", "always", "never"}
        Whether a sample goes on from its prompt.
    stop : sequence of str
        Where such a sample is cut; by default `STOP` for Python.
    """

    language: str = "python"
    column: str | None = None
    continuation: str = "auto"
    stop: tuple[str, ...] = ()
    counts: Counter[str] = field(default_factory=Counter, compare=False)

    def check(self) -> None:
        """Raise `MetricError` where an option is none of those known."""
        for what, value, known in (
            ("language", self.language, (*LANGUAGES, "auto")),
            ("continuation", self.continuation, CONTINUATION),
        ):
            if value not in known:
                raise MetricError(f"unknown {what} {value!r}.", remedy=nearest(value, known))

    @property
    def columns(self) -> Sequence[str]:
        """Columns of a dump that are needed."""
        return () if self.column is None else (self.column,)

    @property
    def signature(self) -> str:
        """``python/auto``: the language, where the programs are, what ends a sample that goes on from its prompt."""
        words = [self.language]
        if self.column is not None:
            words.append(f"field.{self.column}")
        if self.column is None or self.continuation == "always":
            words.append(self.continuation)
        if self.stop:
            words.append(f"stop.{hashlib.sha256(repr(self.stop).encode()).hexdigest()[:4]}")
        return "/".join(words)

    def programs(self, samples: Samples) -> tuple[Ragged, NDArray[np.int64]]:
        """Return the program in every sample, and which of `LANGUAGES` it is in."""
        text = samples.text if self.column is None else Ragged.from_strings(self._column(samples))
        default = LANGUAGES.index("python" if self.language == "auto" else self.language)
        languages = np.full(len(text), default)
        changed: dict[int, str] = {}
        fenced = _with_backticks(text) if self.column is None else np.zeros(0, np.int64)
        for row, sample in zip(fenced.tolist(), text.take(fenced).strings(), strict=True):
            if blocks := _FENCE.findall(sample):
                language, changed[row] = self._longest(blocks)
                languages[row] = LANGUAGES.index(language)
        self.counts["fenced"] += len(changed)
        for prompt, start, stop in self._prompts(samples):
            outputs = text.slice(start, stop).strings()
            # Where none begins with blanks, they were cut off by what wrote the dump.
            stripped = not any(sample.startswith((" ", "\t")) for sample in outputs)
            for row, sample in enumerate(outputs, start):
                if row not in changed and self._goes_on(sample, prompt):
                    self.counts["joined"] += 1
                    changed[row] = self._joined(sample, prompt, stripped)
        if changed:
            order = np.arange(len(text))
            order[list(changed)] = len(text) + np.arange(len(changed))
            text = Ragged.concat([text, Ragged.from_strings(list(changed.values()))]).take(order)
        return Ragged(*_core.strip_rows(text.values, text.offsets)), languages

    def _prompts(self, samples: Samples) -> Iterator[tuple[str, int, int]]:
        """Yield the prompts that samples may go on from, and the first and last row of each."""
        if self.continuation == "never" or (self.continuation == "auto" and self.column is not None):
            return
        prompts = samples.prompts.to_pylist()
        if self.continuation == "always" and None in prompts:
            raise DataError(
                "there are no prompts that samples could go on from.",
                remedy="Name their field with --prompt-field, or leave out --continuation always.",
            )
        bounds = samples.groups.tolist()
        for prompt, start, stop in zip(prompts, bounds[:-1], bounds[1:], strict=True):
            if prompt is not None and (self.continuation == "always" or _is_open(prompt, self.language)):
                yield prompt, start, stop

    def _column(self, samples: Samples) -> list[str]:
        assert self.column is not None
        column = samples.per_sample.get(self.column)
        if column is None:
            raise DataError(
                f"there is no field {self.column!r} with a program for every sample.",
                remedy="Name a field of lists as long as the outputs, or leave out --code-field.",
            )
        return ["" if value is None else str(value) for value in column.to_pylist()]

    def _longest(self, blocks: Sequence[tuple[str, str]]) -> tuple[str, str]:
        if self.language == "auto":
            tag, body = max(blocks, key=lambda block: len(block[1]))
            return _LANGUAGE_OF.get(tag.lower(), "python"), body
        tags = ("", *TAGS[self.language])
        own = [block for block in blocks if block[0].lower() in tags]
        return self.language, max(own or blocks, key=lambda block: len(block[1]))[1]

    def _goes_on(self, text: str, prompt: str) -> bool:
        """Whether a sample goes on from its prompt, and does not begin anew what that begins."""
        if self.continuation == "always":
            return True
        begun = _DEFINITION.findall(prompt)
        return not begun or not re.search(rf"\b(?:def|class)[ \t]+{begun[-1]}\b", text)

    def _joined(self, text: str, prompt: str, stripped: bool) -> str:
        python = self.language in ("python", "auto")
        for stop in self.stop or (STOP if python else ()):
            text = text.partition(stop)[0]
        if python and stripped and prompt.endswith("\n") and not _NO_BODY.match(text):
            self.counts["indented"] += 1
            text = _indentation(prompt) + text
        return prompt + text


def _with_backticks(text: Ragged) -> NDArray[np.int64]:
    """Return the rows in which there is a backtick."""
    at = np.flatnonzero(text.values[text.offsets[0] : text.offsets[-1]] == ord("`")) + text.offsets[0]
    return np.unique(np.searchsorted(text.offsets, at, side="right") - 1)


@cache
def _is_open(prompt: str, language: str) -> bool:
    """Whether a prompt is the beginning of a program that a sample may go on from."""
    if language not in ("python", "auto"):
        return "```" not in prompt and prompt.count("{") > prompt.count("}")
    if not _DEFINITION.search(prompt):
        return False
    body = f"{prompt}\n{_indentation(prompt)}pass\n"
    with warnings.catch_warnings(action="ignore"):
        for text in (prompt, body):
            try:
                ast.parse(text)
            except (SyntaxError, ValueError, MemoryError, RecursionError):
                continue
            return True
    return False


def _indentation(prompt: str) -> str:
    """Return the blanks that the next line of a prompt begins with."""
    last = prompt.rstrip().rpartition("\n")[2]
    blanks = last[: len(last) - len(last.lstrip())]
    return f"{blanks}    " if last.endswith(":") else blanks
