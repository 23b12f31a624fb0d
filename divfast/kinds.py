"""How parameters of metrics are written: text to value and back."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Kind:
    """How a parameter is written: text to value (`ValueError` with the reason) and back."""

    parse: Callable[[str], Any]
    format: Callable[[Any], str] = str


def _positive_int(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError("must be a whole number of at least 1")
    return value


def _positive_real(text: str) -> float:
    value = float(text)
    if not value > 0:
        raise ValueError("must be greater than 0 (inf is allowed)")
    return value


def _nonnegative_real(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise ValueError("must be at least 0 (inf is allowed)")
    return value


def _orders(text: str) -> tuple[int, ...]:
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 1 <= first <= last <= 64:
        raise ValueError("must be an n-gram order such as 2, or a range such as 1-5, of at most 64")
    return tuple(range(first, last + 1))


def _order(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 64:
        raise ValueError("must be an n-gram order from 1 to 64")
    return value


def _natural(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1 << 64:
        raise ValueError("must be a whole number from 0 to 2^64 - 1")
    return value


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise ValueError("must be between 0 and 1, ends excluded")
    return value


def _quantile(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError("must be from 0 to 1")
    return value


def _switch(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def choice(*values: str) -> Kind:
    """Return the kind of a parameter that is one of a few words."""

    def parse(text: str) -> str:
        if text not in values:
            raise ValueError(f"must be one of {', '.join(values)}")
        return text

    return Kind(parse)


def _format_orders(value: Sequence[int]) -> str:
    return str(value[0]) if len(value) == 1 else f"{value[0]}-{value[-1]}"


positive_int = Kind(_positive_int)
positive_int_or_all = Kind(
    lambda text: None if text == "all" else _positive_int(text),
    lambda value: "all" if value is None else str(value),
)
positive_real = Kind(_positive_real, lambda value: f"{value:g}")
nonnegative_real = Kind(_nonnegative_real, lambda value: f"{value:g}")
natural = Kind(_natural)
order = Kind(_order)
orders = Kind(_orders, _format_orders)
share = Kind(_share, lambda value: f"{value:g}")
quantile = Kind(_quantile, lambda value: f"{value:g}")
switch = Kind(_switch, lambda value: "true" if value else "false")
