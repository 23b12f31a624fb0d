"""Which records of a data set a task takes: ``"{label}": yes``, ``"{text | lower}": {not in: [hi, hello]}``."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from divfast.errors import DataError, nearest
from divfast.generation.template import Record, Template, Unfit, kind_of


@dataclass(frozen=True)
class Condition:
    """What the value of a template must be.

    Attributes
    ----------
    template : Template
        What is looked at.
    relation : str
        ``is``, ``not``, ``in``, ``not in``, ``at least`` or ``at most``.
    other : Any
        What it is compared with.

    Examples
    --------
    >>> condition = Condition(Template("{level}"), "at most", 3)
    >>> condition.holds({"level": 2}), condition.holds({"level": 5})
    (True, False)
    """

    template: Template
    relation: str
    other: Any

    def holds(self, record: Record) -> bool:
        """Return whether a record meets it.

        Raises
        ------
        Unfit
            Where the value cannot be had, or compared.
        """
        value = self.template.value(record)
        if isinstance(value, str) and isinstance(self.other, (bool, int, float)):
            # As a CSV file holds them.
            with contextlib.suppress(ValueError):
                value = json.loads(value.lower())
        try:
            return bool(RELATIONS[self.relation](value, self.other))
        except TypeError:
            raise Unfit(
                f"{self.template.source} is {kind_of(value)}, not to be compared with {self.other!r}."
            ) from None


RELATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "is": lambda value, other: value == other,
    "not": lambda value, other: value != other,
    "in": lambda value, other: value in other,
    "not in": lambda value, other: value not in other,
    "at least": lambda value, other: value >= other,
    "at most": lambda value, other: value <= other,
}


def read_conditions(written: Mapping[str, Any]) -> tuple[Condition, ...]:
    """Return the conditions of a task file: of every template the value that it must have, or relations to values.

    Raises
    ------
    DataError
        Where a relation is unknown, or a list is missing.
    """
    found = []
    for source, wanted in written.items():
        relations = wanted if isinstance(wanted, Mapping) else {"is": wanted}
        for relation, other in relations.items():
            if relation not in RELATIONS:
                raise DataError(f"unknown relation {relation!r}.", remedy=nearest(str(relation), RELATIONS))
            if relation in ("in", "not in") and not isinstance(other, list):
                raise DataError(f"{relation!r} is followed by a list, not by {kind_of(other)}.")
            found.append(Condition(Template(str(source)), relation, other))
    return tuple(found)
