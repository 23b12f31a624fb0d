"""JSON taken apart one level at a time: what a format does not ask for is checked, but never built."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import _core

Json = bytes | memoryview


class Malformed(Exception):
    """A record that cannot be used, as the end of a sentence that begins with where it stands.

    Parameters
    ----------
    what : str
        What is wrong.
    remedy : str, optional
        What else to do than to skip the record.
    at : int
        Byte of the text at which it is wrong.
    """

    def __init__(self, what: str, remedy: str | None = None, at: int = 0) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy
        self.at = at


class Fields(Mapping[str, Any]):
    """A JSON object whose values are parsed when they are asked for; of equal names the last counts.

    Examples
    --------
    >>> record = Fields(b'{"id": 7, "resps": [["a", "b"]]}')
    >>> list(record), record["resps"]
    (['id', 'resps'], [['a', 'b']])
    """

    def __init__(self, data: Json, *, allow_nan: bool = False) -> None:
        kind, names, bounds = _split(data, allow_nan)
        if kind != "{":
            raise Malformed(f"expected a JSON object, got {kind_of(parse(data))}.")
        self._data = data
        self._allow_nan = allow_nan
        spans = bounds.tolist()
        self._spans = dict(zip(names or (), spans, strict=True))

    def __getitem__(self, name: str) -> Any:
        return parse(self.raw(name))

    def __iter__(self) -> Iterator[str]:
        return iter(self._spans)

    def __len__(self) -> int:
        return len(self._spans)

    def __contains__(self, name: object) -> bool:
        return name in self._spans

    def raw(self, name: str) -> Json:
        """Return the JSON text of a value."""
        start, stop = self._spans[name]
        return self._data[start:stop]

    def nested(self, name: str) -> Mapping[str, Any]:
        """Return a value that is an object as `Fields`, anything else as an object without members."""
        if name in self._spans and bytes(self.raw(name)[:1]) == b"{":
            return Fields(self.raw(name), allow_nan=self._allow_nan)
        return {}


def elements(data: Json, *, allow_nan: bool = False) -> NDArray[np.int64]:
    """Return where the elements of a JSON list begin and end, ``int64[n, 2]``."""
    kind, _, bounds = _split(data, allow_nan)
    if kind != "[":
        raise Malformed("expected a JSON list.")
    return bounds


def members(data: Json, *, allow_nan: bool = False) -> tuple[list[str], NDArray[np.int64]]:
    """Return the names of a JSON object and where its values begin and end, ``int64[n, 2]``."""
    kind, names, bounds = _split(data, allow_nan)
    if kind != "{" or names is None:
        raise Malformed("expected a JSON object.")
    return names, bounds


def _split(data: Json, allow_nan: bool) -> tuple[str, list[str] | None, NDArray[np.int64]]:
    found = _core.json_children(data, allow_nan)
    if found[0] is None:
        raise Malformed(found[2], at=found[1])
    return found[0], found[1], found[2].reshape(-1, 2)


def parse(data: Json) -> Any:
    """Return the value of JSON text that has been checked before."""
    try:
        return json.loads(str(data, "utf-8"))
    except RecursionError:
        raise Malformed("values are nested too deeply.") from None
    except ValueError:
        raise Malformed("a number has too many digits.") from None


def dig(value: Any, *path: str | int) -> Any:
    """Return what stands at a path of names and positions, None where there is nothing of that shape."""
    for step in path:
        if isinstance(step, str):
            value = value.get(step) if isinstance(value, Mapping) else None
        else:
            value = value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None
    return value


def kind_of(value: Any) -> str:
    """Return the kind of a JSON value, as the end of a sentence."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    names = {str: "a string", list: "a list", Mapping: "an object"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "a number")


def scalar(value: Any) -> str | None:
    """Return an id or a prompt as text: a string as it is, anything else as JSON, None for null."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def text_list(value: Any, name: str) -> list[str | None]:
    """Return a list of strings and nulls, or raise `Malformed`."""
    remedy = "Name another field with --outputs-field."
    if not isinstance(value, list):
        raise Malformed(f'"{name}" must be a list of strings, got {kind_of(value)}.', remedy)
    for at, item in enumerate(value):
        if item is not None and not isinstance(item, str):
            raise Malformed(
                f'"{name}" must be a list of strings, got {kind_of(item)} at position {at}.', remedy
            )
    return value


def message_text(content: Any) -> str | None:
    """Return the text of a chat message's content: a string, or the text parts of a list."""
    if isinstance(content, list):
        texts = [
            dig(part, "text")
            for part in content
            if dig(part, "type") in ("text", "output_text", "input_text")
        ]
        return "".join(text for text in texts if isinstance(text, str)) if texts else None
    return content if isinstance(content, str) else None


def last_message(messages: Any, role: str) -> str | None:
    """Return the text of the last chat message of a role; a prompt that is a string is one already."""
    if isinstance(messages, str):
        return messages
    if not isinstance(messages, list):
        return None
    spoken = [dig(message, "content") for message in messages if dig(message, "role") == role]
    return message_text(spoken[-1]) if spoken else None
