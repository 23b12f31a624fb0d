"""The answer extraction of the published code of arXiv 2604.16027, its quirks included."""

from __future__ import annotations

import math
import re

_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)
_MARKED = re.compile(r"####\s*(.+?)(?:\n|$)")
_MARKED_GOLD = re.compile(r"####\s*(.+?)$", re.MULTILINE)
# Quirk: ends at the first brace, so \boxed{\frac{1}{2}} gives \frac{1.
_BOXED = re.compile(r"\\boxed\{([^}]+)\}")
_SAID = re.compile(r"(?:the\s+)?answer\s*(?:is|:)\s*([\-\$]?[\d,]+\.?\d*)", re.IGNORECASE)
_NUMBER = re.compile(r"(?<!\w)(-?\d[\d,]*\.?\d*)(?!\w)")


def extract(text: str) -> str | None:
    """Return the answer in a sample: after ####, in a box, after "answer is", else the last number.

    Examples
    --------
    >>> extract(r"So \\boxed{\\frac{1}{2}}."), extract("It costs $1,234.50 in all")
    ('\\\\frac{1', '1234.5')
    """
    text = _THOUGHT.sub("", text)
    if "<think>" not in text:
        text = text.partition("</think>")[2] if "</think>" in text else text
    text = text.strip()
    for pattern in (_MARKED, _BOXED, _SAID):
        if match := pattern.search(text):
            return number(match[1].strip())
    numbers = _NUMBER.findall(text)
    return number(numbers[-1]) if numbers else None


def extract_gold(text: str, *, boxed: bool) -> str | None:
    """Return the answer in a reference solution: the first box, or what stands after ####."""
    match = _BOXED.search(text) if boxed else _MARKED_GOLD.search(text.strip())
    return number(match[1].strip()) if match else None


def number(text: str) -> str:
    """Return a number without its signs of currency, percent and thousands; of other text the rest."""
    text = text.strip().translate(str.maketrans("", "", "$%,"))
    try:
        value = float(text)
        if not math.isfinite(value):
            return text
        return str(int(value)) if value == int(value) else f"{value:g}"
    except (ValueError, OverflowError):
        return text


def match(answer: str | None, gold: str) -> bool:
    """Return whether two answers are the same text, or numbers less than 1e-6 apart."""
    if answer is None:
        return False
    one, other = number(answer), number(gold)
    if one == other:
        return True
    try:
        return abs(float(one) - float(other)) < 1e-6
    except ValueError:
        return False
