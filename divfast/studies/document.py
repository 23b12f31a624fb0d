"""A YAML file as plain values, with the line of every entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from divfast.errors import DataError, nearest, os_reason

Place = tuple[str | int, ...]


class Document:
    """What a YAML file says, and where.

    Parameters
    ----------
    path : Path
        The file.

    Raises
    ------
    DataError
        Where it cannot be read, is no YAML, or says the same key twice.

    Attributes
    ----------
    values : Any
        Plain Python values.
    """

    def __init__(self, path: Path) -> None:
        import yaml

        self.path = path
        self._lines: dict[Place, int] = {}
        try:
            text = path.read_text(encoding="utf-8")
            self._walk(yaml.compose(text, yaml.SafeLoader), (), set())
            self.values = yaml.safe_load(text)
        except OSError as error:
            raise DataError(
                f"cannot be read: {os_reason(error)}.", where=str(path), remedy="Check the path."
            ) from None
        except UnicodeDecodeError:
            raise DataError("is not UTF-8.", where=str(path), remedy="Save it as UTF-8.") from None
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            mark = getattr(error, "problem_mark", None)
            line = "" if mark is None else f":{mark.line + 1}"
            told = getattr(error, "problem", None) or type(error).__name__
            raise DataError(
                f"is no YAML ({told}).",
                where=f"{path}{line}",
                remedy="Check indents, colons and quotes there.",
            ) from None

    def _walk(self, node: Any, place: Place, seen: set[int]) -> None:
        """Note the line of every entry, and refuse a key that is there twice, of which YAML keeps the last."""
        if node is None or id(node) in seen:
            return
        seen.add(id(node))
        self._lines[place] = node.start_mark.line + 1
        if node.id == "mapping":
            keys: set[str] = set()
            for key, value in node.value:
                name = str(key.value)
                at = (*place, name)
                if name in keys:
                    self._lines[at] = key.start_mark.line + 1
                    raise self.error(at, "is there twice.", "Keep one of them.")
                keys.add(name)
                self._walk(value, at, seen)
                self._lines[at] = key.start_mark.line + 1
        elif node.id == "sequence":
            for i, value in enumerate(node.value):
                self._walk(value, (*place, i), seen)

    def error(self, place: Place, what: str, remedy: str | None = None) -> DataError:
        """Return what to raise about an entry."""
        line = next(
            (self._lines[place[:n]] for n in range(len(place), -1, -1) if place[:n] in self._lines), 1
        )
        name = ".".join(str(part) if str(part).isprintable() else repr(part) for part in place)
        return DataError(f"{name} {what}" if name else what, where=f"{self.path}:{line}", remedy=remedy)

    def mapping(self, value: Any, place: Place, of: str) -> Mapping[str, Any]:
        """Return a mapping with names as keys; nothing is an empty one."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.error(place, f"must be {of}, got {kind(value)}.", "Write it as NAME: ... lines.")
        for key in value:
            self.text(key, (*place, str(key)), "a name")
        return value

    def known(self, value: Any, place: Place, names: Iterable[str], of: str) -> Mapping[str, Any]:
        """Return a mapping whose keys are all among `names`."""
        found = self.mapping(value, place, of)
        allowed = set(names)
        for key in found:
            if key not in allowed:
                raise self.error((*place, key), "is not a known key.", nearest(key, allowed))
        return found

    def text(self, value: Any, place: Place, of: str) -> str:
        """Return a text that is not empty."""
        if not isinstance(value, str):
            raise self.error(
                place, f"must be {of}, got {kind(value)}.", "Put it in quotes where it is meant as a text."
            )
        if not value:
            raise self.error(place, f"must be {of}, and is empty.")
        if not value.isprintable():
            # Names stand in messages, in the names of files and in tables, which are all of one line.
            raise self.error(
                place, f"must be {of}, got {value!r}.", "Write it on one line, in signs that can be seen."
            )
        return value

    def texts(self, value: Any, place: Place, of: str) -> tuple[str, ...]:
        """Return a text, or a list of them, as a tuple without repetition."""
        values = value if isinstance(value, list) else [] if value is None else [value]
        found = tuple(self.text(one, (*place, i), of) for i, one in enumerate(values))
        for i, one in enumerate(found):
            if one in found[:i]:
                raise self.error((*place, i), f"names {one!r} a second time.", "Keep one of them.")
        return found


def kind(value: Any) -> str:
    """Return what YAML calls a value, with the value where it is short."""
    names = {dict: "a mapping", list: "a list", type(None): "nothing", str: f"the text {value!r}"}
    return names.get(type(value), f"{str(value).lower() if isinstance(value, bool) else value}")
