"""``math``: answers equal as mathematics, by Math-Verify; or as the paper's code compares them."""

from __future__ import annotations

import importlib.util
import logging
import re
from typing import Any

from divfast.errors import BackendError
from divfast.quality import paper_answers
from divfast.quality.verifiers import (
    Judge,
    Question,
    Settings,
    Verdict,
    Verifier,
    folded,
    gold_answers,
    same_for_all,
)

# A longer answer is left as it was written.
_LONGEST = 1000
# Nor is one worked out that has a higher power: it may have more digits than there is room for.
_EXPONENT = 100
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


def check(settings: Settings) -> None:
    """Raise `BackendError` where Math-Verify is needed and not installed."""
    if settings.preset == "default" and importlib.util.find_spec("math_verify") is None:
        raise BackendError("math needs Math-Verify.", remedy="pip install 'divfast[verify]'")


def judge(question: Question, settings: Settings) -> Judge | Verdict:
    """Compare the answer of each sample with gold."""
    golds = gold_answers(question)
    if isinstance(golds, Verdict):
        return golds
    if settings.preset == "paper":
        return _as_the_paper(golds[0], question, settings)
    parsed = [(gold, _parse_gold(gold)) for gold in golds]
    texts = {key for gold, _ in parsed if (key := _plain(_boxed(gold) or gold))}

    known: dict[str, Verdict] = {}

    def verdict(text: str) -> Verdict:
        # Many samples of a prompt give the same answer, in a box or in a field of their own.
        boxed = _boxed(text)
        key = text if boxed is None else rf"\boxed{{{boxed}}}"
        if key not in known:
            known[key] = of_text(key, boxed)
        return known[key]

    def of_text(text: str, boxed: str | None) -> Verdict:
        found = _integer(text.strip() if boxed is None else boxed) or _parse(text)
        written = boxed if boxed is not None else (found[-1] if found else None)
        if written is not None and _plain(str(written)) in texts:
            # Whatever a parser makes of it, the very text of gold is right, as 4:30 p.m. is.
            return Verdict(True, _answer(parsed[0][1], golds[0]) or golds[0], golds[0])
        if not found:
            return Verdict(False, folded(boxed or "") or None, golds[0])
        right = any(_same(gold, found) for _, gold in parsed)
        return Verdict(right, _answer(found, str(written)), golds[0])

    return same_for_all(verdict, question, settings)


def _as_the_paper(gold: str, question: Question, settings: Settings) -> Judge:
    for boxed in (True, False):
        if (expected := paper_answers.extract_gold(gold, boxed=boxed)) is not None:
            break
    else:
        expected = paper_answers.number(gold)

    def verdict(text: str) -> Verdict:
        answer = paper_answers.extract(text)
        return Verdict(paper_answers.match(answer, expected), answer, expected)

    return same_for_all(verdict, question, settings)


def _parse(text: str) -> list[Any]:
    """Return what Math-Verify finds in a text: values, and last the text of the answer."""
    import math_verify

    # Without a time limit of its own: its signal would need the main thread. The process has one.
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    found: list[Any] = math_verify.parse(text, parsing_timeout=None)
    return found


def _integer(text: str) -> list[Any]:
    """Return what Math-Verify finds in a text that is nothing but an integer, as most answers are; else nothing."""
    import sympy

    return [sympy.Integer(text), text] if _INTEGER.fullmatch(text) else []


def _parse_gold(gold: str) -> list[Any]:
    if "\\boxed" in gold or "$" in gold:
        return _parse(gold)
    return _parse(f"${gold}$") or _parse(gold)


def _same(gold: list[Any], found: list[Any]) -> bool:
    import math_verify
    import sympy

    pair = [one[0] for one in (gold, found) if len(one) == 2 and isinstance(one[0], sympy.Integer)]
    if len(pair) == 2:
        # As it would be said, a thousand times as fast.
        return bool(pair[0] == pair[1])
    logging.getLogger("math_verify").setLevel(logging.CRITICAL)
    return bool(gold) and bool(math_verify.verify(gold, found, timeout_seconds=None))


def _boxed(text: str) -> str | None:
    r"""Return what stands in the last \boxed{...} that is closed, braces within it counted; None where there is none.

    Examples
    --------
    >>> _boxed(r"so \boxed{\frac{1}{2}}."), _boxed("none"), _boxed(r"\boxed{1")
    ('\\frac{1}{2}', None, None)
    """
    end = len(text)
    while (at := text.rfind("\\boxed{", 0, end)) >= 0:
        depth = 0
        for i in range(at + 6, end):
            depth += {"{": 1, "}": -1}.get(text[i], 0)
            if depth == 0:
                return text[at + 7 : i]
        end = at
    return None


def _plain(text: str) -> str:
    r"""Return the text of an answer without what is only layout.

    Examples
    --------
    >>> _plain(r"4:30 \text{ p.m.}"), _plain(r"\dfrac{1}{2}."), _plain("$(1, 2]$")
    ('4:30p.m', '\\frac{1}{2}', '(1,2]')
    """
    if len(text) > _LONGEST:
        return text
    for name in ("\\text", "\\mathrm", "\\mbox", "\\textbf"):
        at = text.find(name + "{")
        while at >= 0 and (end := text.find("}", at)) >= 0:
            text = text[:at] + text[at + len(name) + 1 : end] + text[end + 1 :]
            at = text.find(name + "{")
    for layout in ("$", "\\left", "\\right", "\\!", "\\,", "\\;", "\\ ", "\\(", "\\)", "\\[", "\\]"):
        text = text.replace(layout, "")
    text = text.replace("\\dfrac", "\\frac").replace("\\tfrac", "\\frac")
    text = "".join(text.split()).casefold()
    return text.removesuffix(".")


def _answer(found: list[Any], written: str) -> str | None:
    """Return an answer so written that equal numbers, and equal words, are equal texts."""
    if not found:
        return None
    import sympy

    word = _plain(written)
    if len(word) > 3 and word.isalpha():
        # To the parser a product of its letters.
        return word
    value = found[0]
    if isinstance(value, sympy.Expr) and value.is_number and all(map(_small, value.atoms(sympy.Pow))):
        # Parsed as it was written: 75 times 1/100.
        value = value.doit()
    if isinstance(value, sympy.Float):
        exact = sympy.Rational(str(found[-1]).strip()) if _is_decimal(str(found[-1])) else None
        value = sympy.nsimplify(value, rational=True) if exact is None else exact
    text = str(value)
    return text if len(text) <= _LONGEST else str(found[-1])[:_LONGEST]


def _small(power: Any) -> bool:
    return bool(power.exp.is_Rational) and abs(power.exp) <= _EXPONENT


def _is_decimal(text: str) -> bool:
    whole, _, digits = text.strip().lstrip("-").partition(".")
    return (whole + digits).isdecimal() and (whole + digits).isascii()


VERIFIER = Verifier(
    "math",
    "The answer, in a box or else the last one, equals gold as mathematics (Math-Verify).",
    1,
    judge,
    presets=("default", "paper"),
    isolated=lambda settings: True,
    packages=("math-verify", "latex2sympy2-extended", "sympy"),
    check=check,
)
