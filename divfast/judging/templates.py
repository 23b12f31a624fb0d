"""What a judge is asked: texts with fields, those of the package or one's own."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from divfast.errors import DataError, nearest, os_reason

_OF_PAIRS, _OF_SCORES = ("verdict:", "[["), ("score:", "rating:", "[[", '"score"')
# For each kind: the fields that it must have, those that it may have, and how a verdict is asked for.
_KINDS: Mapping[str, tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = {
    "pair": (("prompt", "response_a", "response_b"), ("checklist", "reference"), _OF_PAIRS),
    "score": (("prompt", "response"), ("reference",), _OF_SCORES),
    "checklist": (("prompt", "response", "checklist"), ("reference",), _OF_SCORES),
    "reference": (("prompt", "response", "reference"), ("checklist",), _OF_SCORES),
}
KINDS = tuple(_KINDS)
# Texts of the package that a task may name, and what each is; the others are called like their kinds.
OF_TASKS = {"summary": "pair", "story": "pair", **dict(zip(KINDS, KINDS, strict=True))}
_FIELD = re.compile(r"\{([A-Za-z_]+)\}")


@dataclass(frozen=True)
class Template:
    """A text with fields such as ``{prompt}``; other braces are braces.

    Examples
    --------
    >>> Template("score", "{prompt} -> {response}?").filled(prompt="{response}", response='{"a": 1}')
    '{response} -> {"a": 1}?'
    """

    kind: str
    text: str

    @property
    def digest(self) -> str:
        """Eight hexadecimal digits of SHA-256 of the text."""
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()[:8]

    @property
    def fields(self) -> frozenset[str]:
        """Names of its fields."""
        return frozenset(_FIELD.findall(self.text))

    def filled(self, **fields: str) -> str:
        """Return the text with its fields replaced; what stands in a field is not looked at again."""
        return _FIELD.sub(lambda match: fields.get(match[1], match[0]), self.text)


def packaged(name: str) -> str:
    """Return a text of the package: one of `OF_TASKS`, or ``reminder``."""
    return files("divfast.judging").joinpath("prompts", f"{name}.txt").read_text("utf-8")


def find_template(kind: str, path: str | Path | None = None) -> Template:
    """Return the template of a kind, one of the package by its name, or that of a file after a look at its fields.

    Raises
    ------
    DataError
        Where the file cannot be read, lacks a field, has one that is unknown, or does not say how a verdict is written.
    """
    if path is None or OF_TASKS.get(str(path)) == kind:
        return Template(kind, packaged(str(path or kind)))
    text = _text(path)
    needed, possible, forms = _KINDS[kind]
    found = set(_FIELD.findall(text))
    for name in needed:
        if name not in found:
            raise DataError(
                f"has no field {{{name}}}.",
                where=str(path),
                remedy=f"A template for this needs {' '.join(f'{{{one}}}' for one in needed)}.",
            )
    for name in sorted(found.difference(needed, possible)):
        raise DataError(
            f"has an unknown field {{{name}}}.", where=str(path), remedy=nearest(name, (*needed, *possible))
        )
    if not any(form in text.lower() for form in forms):
        wanted = "Verdict: A, Verdict: B or Verdict: tie" if kind == "pair" else "Score: N"
        raise DataError(
            "does not say how the verdict is to be written.",
            where=str(path),
            remedy=f"Ask for a last line {wanted}.",
        )
    return Template(kind, text)


def fields_of(path: str | Path) -> frozenset[str]:
    """Return the names of the fields of a text, whatever they are."""
    return Template("", packaged(str(path)) if str(path) in OF_TASKS else _text(path)).fields


def _text(path: str | Path) -> str:
    try:
        return Path(path).read_text("utf-8")
    except OSError as error:
        raise DataError(f"cannot be read: {os_reason(error)}.", where=str(path)) from None
    except UnicodeDecodeError:
        raise DataError("is not UTF-8.", where=str(path)) from None
