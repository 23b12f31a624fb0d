"""Values from the columns of a data set: ``"Q: {question}"``, ``"{answer | after ####}"``. No code is run."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from divfast.errors import DataError, nearest

Record = Mapping[str, Any]

_PART = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]|[^{}]+")
_PATH = re.compile(r"\s*([^\[\]|]+?)\s*((?:\[[^\[\]]+\]\s*)*)")
_DEFINITION = re.compile(r"^def[ \t]+(\w+)", re.MULTILINE)
_CALL = re.compile(r"(\w+)\s*\(")
_BRACE = re.compile(r"\\boxed\{|[{}]")
_STEP = re.compile(r"\[([^\[\]]+)\]")


class Unfit(Exception):
    """A value that a transform cannot take, as the end of a sentence that begins with where it stands."""


@dataclass(frozen=True)
class Template:
    """Text with fields in braces; doubled braces stand for themselves.

    A field is the name of a column, which places in brackets may follow (``{turns[0][content]}``), then transforms,
    each after a bar; what follows a transform may stand in double quotes, to keep blanks. A template that is one field
    alone has the value of that field, be it text, number or list; any other is text, and takes text and numbers.

    Attributes
    ----------
    source : str
        As it was written.

    Examples
    --------
    >>> Template("Q: {question}\\nA:").text({"question": "2 + 2?"})
    'Q: 2 + 2?\\nA:'
    >>> Template("{answer | after ####}").value({"answer": "2 + 2 = 4\\n#### 4"})
    '4'
    >>> Template("{tests | lines}").value({"tests": ["assert f(1)", "assert f(2)"]})
    'assert f(1)\\nassert f(2)'
    """

    source: str

    def __post_init__(self) -> None:
        # Taken apart here, so that a mistake shows when the file is read.
        _ = self._parts

    @cached_property
    def _parts(self) -> tuple[str | _Field, ...]:
        parts: list[str | _Field] = []
        for match in _PART.finditer(self.source):
            if match[1] is not None:
                parts.append(_Field.parse(match[1]))
            elif match[0] in ("{", "}"):
                raise DataError(
                    f"a brace is left open in {self.source!r}.",
                    remedy="Write {{ and }} for braces themselves.",
                )
            else:
                parts.append({"{{": "{", "}}": "}"}.get(match[0], match[0]))
        return tuple(parts)

    @property
    def columns(self) -> list[str]:
        """The columns that it reads, in the order of their first use."""
        fields = (part for part in self._parts if isinstance(part, _Field))
        return list(dict.fromkeys(name for field in fields for name in field.columns))

    def value(self, record: Record) -> Any:
        """Return the value of a field that stands alone, else the text.

        Raises
        ------
        Unfit
            Where the record has no such column, or a value of another kind.
        """
        if len(self._parts) == 1 and isinstance(self._parts[0], _Field):
            return self._parts[0].value(record)
        return self.text(record)

    def text(self, record: Record) -> str:
        """Return the text with all fields filled in.

        Raises
        ------
        Unfit
            As `value`, and where a field is neither text nor a number.
        """
        return "".join(part if isinstance(part, str) else part.text(record) for part in self._parts)

    def is_filled(self, record: Record) -> bool:
        """Return whether none of its fields is null or empty."""
        values = (part.value(record) for part in self._parts if isinstance(part, _Field))
        return all(value is not None and value != "" and value != [] for value in values)


def filled(templates: Sequence[Template], record: Record) -> str:
    """Return the text of the first template none of whose fields is null or empty, else that of the last.

    Raises
    ------
    Unfit
        As `Template.text`.

    Examples
    --------
    >>> filled([Template("{task} on {input}"), Template("{task}")], {"task": "Sing", "input": ""})
    'Sing'
    """
    return next((one for one in templates[:-1] if one.is_filled(record)), templates[-1]).text(record)


@dataclass(frozen=True)
class _Field:
    source: str
    column: str
    steps: tuple[int | str, ...]
    transforms: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, source: str) -> _Field:
        path, *transforms = source.split("|")
        match = _PATH.fullmatch(path.rstrip())
        if match is None:
            raise DataError(
                f"{{{source}}} names no column.", remedy="Write {column}, or {{ and }} for braces."
            )
        steps = tuple(int(step) if _is_whole(step) else step for step in _STEP.findall(match[2]))
        return cls(source, match[1], steps, tuple(_transform(one.strip()) for one in transforms))

    @property
    def columns(self) -> list[str]:
        return [self.column, *(argument for name, argument in self.transforms if TRANSFORMS[name].of_column)]

    def value(self, record: Record) -> Any:
        value = _column(record, self.column)
        for step in self.steps:
            value = _structured(value)
            if isinstance(value, str):
                raise Unfit(f"{{{self.source}}}: there is no [{step}] in a text.")
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                raise Unfit(f"{{{self.source}}}: there is no [{step}] in {kind_of(value)}.") from None
        for name, argument in self.transforms:
            transform = TRANSFORMS[name]
            try:
                value = transform.apply(value, _column(record, argument) if transform.of_column else argument)
            except Unfit as unfit:
                raise Unfit(f"{{{self.source}}}: {unfit}") from None
        return value

    def text(self, record: Record) -> str:
        value = self.value(record)
        if isinstance(value, str):
            return value
        if isinstance(value, (bool, int, float)):
            return str(value)
        raise Unfit(f"{{{self.source}}} is {kind_of(value)}, not text.")


@dataclass(frozen=True)
class Transform:
    """What a transform does.

    Attributes
    ----------
    apply : callable
        ``apply(value, argument)``.
    summary : str
        One line.
    argument : str or None
        What follows the name, in words; None where nothing does.
    """

    apply: Callable[[Any, Any], Any]
    summary: str
    argument: str | None = None

    @property
    def of_column(self) -> bool:
        """Whether what follows is a column, and its value what counts."""
        return self.argument == "a column"


def _transform(written: str) -> tuple[str, str]:
    """Take a transform apart into its name, the longest that fits, and what follows."""
    for name in sorted(TRANSFORMS, key=len, reverse=True):
        if written == name or written.startswith(name + " "):
            argument = written[len(name) :].strip()
            if argument[:1] == argument[-1:] == '"' and len(argument) > 1:
                argument = argument[1:-1]
            if bool(argument) != (TRANSFORMS[name].argument is not None):
                wants = TRANSFORMS[name].argument or "nothing"
                raise DataError(f"the transform {name!r} is followed by {wants}, not by {argument!r}.")
            return name, argument
    raise DataError(f"unknown transform {written!r}.", remedy=nearest(written.split(" ")[0], TRANSFORMS))


def _column(record: Record, name: str) -> Any:
    try:
        return record[name]
    except KeyError:
        raise Unfit(f"there is no column {name!r}.") from None


def _is_whole(text: str) -> bool:
    return text.removeprefix("-").isdecimal()


def kind_of(value: Any) -> str:
    """Return what kind of value something is, in words.

    Examples
    --------
    >>> kind_of([1]), kind_of(None), kind_of("a")
    ('a list', 'null', 'text')
    """
    kinds = {str: "text", bool: "true or false", int: "a number", float: "a number", dict: "an object"}
    if value is None:
        return "null"
    return kinds.get(type(value), "a list" if isinstance(value, Sequence) else type(value).__name__)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Unfit(f"expected text, got {kind_of(value)}.")
    return value


def _structured(value: Any) -> Any:
    """Return a list or an object; of text what it says as JSON, which is how a CSV file holds them."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError, RecursionError):
            read = json.loads(value)
            return read if isinstance(read, (list, dict)) else value
    return value


def _list(value: Any) -> list[Any]:
    value = _structured(value)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise Unfit(f"expected a list, got {kind_of(value)}.")
    return list(value)


def _after(value: Any, mark: str) -> str:
    _, found, behind = _text(value).rpartition(mark)
    if not found:
        raise Unfit(f"there is no {mark} in it.")
    return behind.strip()


def _boxes(text: str) -> list[str]:
    r"""Return every \boxed{...} of a text that is closed, by where they begin; braces within are counted."""
    found, opened = [], []
    for match in _BRACE.finditer(text):
        if match[0] != "}":
            opened.append(match.start() if len(match[0]) > 1 else -1)
        elif opened and (start := opened.pop()) >= 0:
            found.append((start, match.end()))
    return [text[start:stop] for start, stop in sorted(found)]


def _boxed(value: Any, at: int) -> str:
    found = _boxes(_text(value))
    if not found:
        raise Unfit("there is no \\boxed{...} in it.")
    return found[at]


def _first(value: Any, _: str) -> Any:
    values = _list(value)
    if not values:
        raise Unfit("the list is empty.")
    return values[0]


def _join(value: Any, between: str) -> str:
    return between.join(_text(one) for one in _list(value))


def _and(value: Any, more: Any) -> list[Any]:
    values = _list(value)
    return values if more in values else [*values, more]


def _called_in(value: Any, calls: Any) -> str:
    text = calls if isinstance(calls, str) else _join(calls, "\n")
    defined = set(_DEFINITION.findall(_text(value)))
    for name in _CALL.findall(text):
        if name in defined:
            return str(name)
    raise Unfit("it defines no function that is called there.")


def _json(value: Any, _: str) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise Unfit("it is not JSON.") from None


def _without_nulls(value: Any, _: str) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_nulls(one, _) for name, one in value.items() if one is not None}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nulls(one, _) for one in value]
    return value


def _non_ascii(value: Any, _: str) -> float:
    text = _text(value)
    return sum(not character.isascii() for character in text) / len(text) if text else 0.0


TRANSFORMS = {
    "strip": Transform(lambda value, _: _text(value).strip(), "without white space at its ends"),
    "lower": Transform(lambda value, _: _text(value).lower(), "in lower case"),
    "rstrip": Transform(
        lambda value, characters: _text(value).rstrip(characters),
        "without these characters at its end",
        "characters",
    ),
    "after": Transform(_after, "what stands behind the last such text, stripped", "a text"),
    "first boxed": Transform(
        lambda value, _: _boxed(value, 0), r"the first \boxed{...}, with the braces that belong to it"
    ),
    "last boxed": Transform(
        lambda value, _: _boxed(value, -1), r"the last \boxed{...}, with the braces that belong to it"
    ),
    "first": Transform(_first, "the first of a list"),
    "list": Transform(lambda value, _: [value], "a list of it alone"),
    "join": Transform(_join, "the texts of a list with this between them", "a text"),
    "lines": Transform(lambda value, _: _join(value, "\n"), "the texts of a list, each on a line"),
    "and": Transform(_and, "a list, with the value of another column unless it is in it", "a column"),
    "called in": Transform(
        _called_in, "the function that a Python program defines and another column calls", "a column"
    ),
    "json": Transform(_json, "what a JSON text says; other values as they are"),
    "each json": Transform(
        lambda value, _: [_json(one, _) for one in _list(value)], "the same of each of a list"
    ),
    "without nulls": Transform(_without_nulls, "without members that are null, at any depth"),
    "non-ascii share": Transform(_non_ascii, "the share of characters beyond ASCII, for filters"),
}
