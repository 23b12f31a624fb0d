"""Verdicts kept on disk while a dump is being verified, so that work which was interrupted goes on where it stood."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

from divfast.errors import OutputError, os_reason
from divfast.quality.verifiers import Judging, Question, Verdict


class Journal:
    """Verdicts in the order of the dump, a line for each prompt, under the recipe by which they were made.

    Those of an earlier run are taken over as long as recipe and prompts are the same; a line that was being written
    when that run ended is dropped, and so is what comes behind a prompt that has changed.

    Parameters
    ----------
    path : Path
        The file, beside the one that is being made; removed once that is done.
    recipe : str
        All that changes a verdict.
    """

    def __init__(self, path: Path, recipe: str) -> None:
        self.path = path
        self.reused = 0
        self._end = 0
        try:
            self._file: IO[bytes] = path.open("r+b" if path.exists() else "w+b")
            first = json.dumps({"recipe": recipe}).encode() + b"\n"
            if self._file.readline() != first:
                self._file.seek(0)
                self._file.truncate()
                self._file.write(first)
            self._end = self._file.tell()
        except OSError as error:
            raise OutputError(f"cannot be written: {os_reason(error)}.", where=str(path)) from None
        self._reading = True

    def verdicts(self, questions: Iterable[Question], judging: Judging) -> Iterator[list[Verdict]]:
        """Yield the verdicts on every question, those that are known from the file."""
        questions = iter(questions)
        for question in questions:
            key = _key(question)
            known = self._known(key, len(question.outputs))
            if known is None:
                yield from self._judged(question, key, questions, judging)
                return
            self.reused += 1
            yield known

    def _judged(
        self, first: Question, key: str, rest: Iterator[Question], judging: Judging
    ) -> Iterator[list[Verdict]]:
        keys = [key]

        def noting() -> Iterator[Question]:
            yield first
            for question in rest:
                keys.append(_key(question))
                yield question

        for at, found in enumerate(judging(noting())):
            self._file.write(json.dumps([keys[at], found]).encode() + b"\n")
            self._file.flush()
            yield found

    def _known(self, key: str, many: int) -> list[Verdict] | None:
        """Return the next verdicts of the file; None from the first on that are not those of this question."""
        if not self._reading:
            return None
        line = self._file.readline()
        found: Sequence[Any] = ()
        with contextlib.suppress(ValueError, TypeError):
            named, found = json.loads(line) if line.endswith(b"\n") else ("", ())
            if named == key and len(found) == many:
                self._end = self._file.tell()
                return [Verdict(*one) for one in found]
        self._file.seek(self._end)
        self._file.truncate()
        self._reading = False
        return None

    def close(self, *, done: bool) -> None:
        """Close the file, and remove it where all is done."""
        self._file.close()
        if done:
            self.path.unlink(missing_ok=True)


def _key(question: Question) -> str:
    text = json.dumps([question.outputs, question.columns, question.prompt])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
