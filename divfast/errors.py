"""What divfast raises: one sentence that says where, what, and the remedy."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable


class DivfastError(Exception):
    """Base of every error that a user can cause.

    Parameters
    ----------
    what : str
        What is wrong, one sentence.
    where : str, optional
        File, ``file:line``, or the name of an argument.
    remedy : str, optional
        What to do about it, one sentence.
    """

    def __init__(self, what: str, *, where: str | None = None, remedy: str | None = None) -> None:
        super().__init__(what, where, remedy)
        self.what = what
        self.where = where
        self.remedy = remedy

    def __str__(self) -> str:
        sentence = f"{self.where}: {self.what}" if self.where else self.what
        return f"{sentence}\n{self.remedy}" if self.remedy else sentence


class DataError(DivfastError):
    """The input cannot be read as what it should be."""


class MetricError(DivfastError):
    """An unknown metric or parameter, or a value that it cannot take."""


class ModelError(DivfastError):
    """An encoder or tokenizer that cannot be had."""


class BackendError(DivfastError):
    """A backend was asked for by name and cannot run here."""


class ServerError(DivfastError):
    """A server that is not there, refuses what it is asked, or gives no answer that can be used."""


class OutputError(DivfastError):
    """A result cannot be written."""


class DivfastWarning(UserWarning):
    """Something was left out or replaced; the result says the same in its ``run`` facts."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a remedy that suggests the known names closest to `name`, or lists them all."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(close)}?"
    return f"Known names: {', '.join(names)}."


def os_reason(error: OSError) -> str:
    """Return the operating system's words for an error, as the end of a sentence."""
    # By number: the text of an error that pyarrow raises also tells what it was writing.
    return (os.strerror(error.errno) if error.errno else str(error)).lower()
