"""``gsm8k``: the number after ####, else the last one."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal, InvalidOperation

from divfast.quality import paper_answers
from divfast.quality.verifiers import Judge, Question, Settings, Verdict, Verifier, gold_answers, same_for_all

_NUMBER = re.compile(r"((?<![\w.)])[-−])?\$?((?:\d{1,3}(?:,\d{3})+(?!\d)|\d+)(?:\.\d+)?|\.\d+)")
_MARK = re.compile(r"####")
_DIGIT = re.compile(r"\d")
# Exact up to this many digits; a longer number is text.
_DIGITS = 400


def number(text: str, *, last: bool = False) -> str | None:
    """Return the first or last number in a text in its plainest form; None where there is none.

    Examples
    --------
    >>> number("$1,234.50 and 7"), number("$1,234.50 and -7.0 left.", last=True), number("none")
    ('1234.5', '-7', None)
    """
    found = None
    for match in _NUMBER.finditer(text):
        found = ("-" if match[1] else "") + match[2].replace(",", "")
        if not last:
            break
    return None if found is None else _plain(found)


def _plain(text: str) -> str:
    if len(text) > _DIGITS:
        return text
    try:
        value = Decimal(text)
    except InvalidOperation:
        return text
    plain = f"{value:f}"
    plain = plain.rstrip("0").rstrip(".") if "." in plain else plain
    return "0" if plain in ("-0", "") else plain


def extract(text: str) -> str | None:
    """Return the number that stands after ####, the first such, else the last number.

    Examples
    --------
    >>> extract("3 + 4 = 7\\n#### 7\\n\\nQuestion: 12 apples"), extract("That makes 18 eggs.")
    ('7', '18')
    """
    digit = -1
    for mark in _MARK.finditer(text):
        if digit < mark.end():
            found_digit = _DIGIT.search(text, mark.end())
            digit = len(text) if found_digit is None else found_digit.start()
        if digit >= mark.end() + _DIGITS:
            # Without a look at the line: a text may be nothing but marks.
            continue
        line = text[mark.end() : mark.end() + _DIGITS].lstrip().partition("\n")[0]
        if (found := number(line)) is not None:
            return found
    return number(text, last=True)


def judge(question: Question, settings: Settings) -> Judge | Verdict:
    """Compare numbers exactly, as decimals; the paper's code compares to 1e-6."""
    golds = gold_answers(question)
    if isinstance(golds, Verdict):
        return golds
    paper = settings.preset == "paper"
    if paper:
        expected = paper_answers.extract_gold(golds[0], boxed=False) or paper_answers.number(golds[0])
    else:
        expected = extract(golds[0]) or ""
        if not expected:
            return Verdict(None, expected=golds[0], error="no number in gold")
    found: Callable[[str], str | None] = paper_answers.extract if paper else extract

    def verdict(text: str) -> Verdict:
        answer = found(text)
        right = paper_answers.match(answer, expected) if paper else answer == expected
        return Verdict(right, answer, expected)

    return same_for_all(verdict, question, settings)


VERIFIER = Verifier(
    "gsm8k",
    "The number after ####, else the last number, equals that of gold.",
    1,
    judge,
    presets=("default", "paper"),
    # The paper's pattern of numbers takes time cubed on some texts.
    isolated=lambda settings: settings.preset == "paper",
)
