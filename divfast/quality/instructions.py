"""The 25 instructions of IFEval: whether a response follows one, told by a program.

Each rule takes the arguments of an instruction, checks them, and returns the test of a response. They follow the
description in the paper and, where that leaves it open, what its published program says of a response; every test is
linear in the length of the response. What may surprise:

- keywords are found anywhere, also within words, and forbidden words only as whole words; neither minds case;
- bullets are lines that begin with one asterisk or with a hyphen, and their number must be met exactly;
- a bold section counts as a highlighted one;
- ``***`` between paragraphs counts paragraphs, but the first word of a paragraph is looked for between blank lines;
- the end is compared without quotation marks around the response, and without case; so is the repeated prompt;
- what a response says twice on both sides of ``******`` is not two responses.

References
----------
Zhou et al., *Instruction-Following Evaluation for Large Language Models* (2023), arXiv 2311.07911.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from divfast.quality.english import count_capital_words, count_sentences, count_words
from divfast.quality.language import LANGUAGES, language

Follows = Callable[[str], bool]

_PARAGRAPH_MARK = re.compile(r"\s?\*\*\*\s?")
_STAR_BULLET = re.compile(r"^[^\S\n]*\*[^*].*$", re.MULTILINE)
_HYPHEN_BULLET = re.compile(r"^[^\S\n]*-", re.MULTILINE)
_HIGHLIGHTED = re.compile(r"\*([^\n*]*)\*")
_BOLD = re.compile(r"\*\*([^\n*]*)\*\*")
_FENCES = ("```json", "```Json", "```JSON", "```")
_CHOICES = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_POSTSCRIPTS = {"p.p.s": r"p\.\s?p\.\s?s", "p.s.": r"p\.\s?s\."}
_WORD_ENDS = frozenset(".,?!'\"")


class Unusable(Exception):
    """An instruction that cannot be tested, because of its name or its arguments; says why in few words."""


class Arguments:
    """The arguments of one instruction, as a dump has them: those that are null count as missing."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def _value(self, name: str) -> Any:
        value = self._values.get(name)
        if value is None:
            raise Unusable(f"no {name}")
        return value

    def number(self, name: str) -> int:
        """Return a whole number, also one written as 3.0."""
        value = self._value(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value // 1:
            raise Unusable(f"{name} is no whole number")
        return int(value)

    def text(self, name: str) -> str:
        """Return a text that is not empty."""
        value = self._value(name)
        if not isinstance(value, str) or not value.strip():
            raise Unusable(f"{name} is no text")
        return value

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        value = self._value(name)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) and v for v in value):
            raise Unusable(f"{name} is no list of texts")
        return value

    def bounded(self, number: str, relation: str) -> Callable[[int], bool]:
        """Return the test whether a count is as an instruction wants it."""
        wanted = self.number(number)
        how = self.text(relation)
        if how == "at least":
            return lambda count: count >= wanted
        if how == "less than":
            return lambda count: count < wanted
        raise Unusable(f"{relation} is neither at least nor less than")


def _anywhere(text: str) -> re.Pattern[str]:
    return re.compile(re.escape(text), re.IGNORECASE)


def _keywords(of: Arguments) -> Follows:
    patterns = [_anywhere(word) for word in of.texts("keywords")]
    return lambda text: all(pattern.search(text) for pattern in patterns)


def _keyword_frequency(of: Arguments) -> Follows:
    pattern = _anywhere(of.text("keyword").strip())
    enough = of.bounded("frequency", "relation")
    return lambda text: enough(sum(1 for _ in pattern.finditer(text)))


def _forbidden_words(of: Arguments) -> Follows:
    words = [re.compile(rf"\b{re.escape(word)}\b", re.IGNORECASE) for word in of.texts("forbidden_words")]
    return lambda text: not any(word.search(text) for word in words)


def _letter_frequency(of: Arguments) -> Follows:
    letter = of.text("letter").strip().lower()
    if len(letter) != 1:
        raise Unusable("letter is no single character")
    enough = of.bounded("let_frequency", "let_relation")
    return lambda text: enough(text.lower().count(letter))


def _response_language(of: Arguments) -> Follows:
    wanted = of.text("language").lower().partition("-")[0]
    if wanted not in LANGUAGES:
        raise Unusable("language is unknown")
    # Without letters it is in no other language.
    return lambda text: language(text) in (wanted, None)


def _number_sentences(of: Arguments) -> Follows:
    enough = of.bounded("num_sentences", "relation")
    return lambda text: enough(count_sentences(text))


def _number_words(of: Arguments) -> Follows:
    enough = of.bounded("num_words", "relation")
    return lambda text: enough(count_words(text))


def _number_paragraphs(of: Arguments) -> Follows:
    wanted = of.number("num_paragraphs")

    def follows(text: str) -> bool:
        parts = [bool(part.strip()) for part in _PARAGRAPH_MARK.split(text)]
        return all(parts[1:-1]) and sum(parts) == wanted

    return follows


def _nth_paragraph_first_word(of: Arguments) -> Follows:
    many, nth = of.number("num_paragraphs"), of.number("nth_paragraph")
    wanted = of.text("first_word").lower()

    def follows(text: str) -> bool:
        paragraphs = text.split("\n\n")
        count = sum(1 for paragraph in paragraphs if paragraph.strip())
        if count != many or not 1 <= nth <= count:
            return False
        words = paragraphs[nth - 1].split(maxsplit=1)
        if not words:
            return False
        word = words[0].lstrip("'").lstrip('"').lower()
        end = next((i for i, char in enumerate(word) if char in _WORD_ENDS), len(word))
        return word[:end] == wanted

    return follows


def _number_placeholders(of: Arguments) -> Follows:
    wanted = of.number("num_placeholders")

    def follows(text: str) -> bool:
        count = 0
        for line in text.split("\n"):
            start = line.find("[")
            while start >= 0 and (end := line.find("]", start)) >= 0:
                count += 1
                start = line.find("[", end)
        return count >= wanted

    return follows


def _postscript(of: Arguments) -> Follows:
    marker = of.text("postscript_marker").strip().lower()
    pattern = re.compile(_POSTSCRIPTS.get(marker, re.escape(marker)))
    return lambda text: pattern.search(text.lower()) is not None


def _number_bullets(of: Arguments) -> Follows:
    wanted = of.number("num_bullets")
    return lambda text: len(_STAR_BULLET.findall(text)) + len(_HYPHEN_BULLET.findall(text)) == wanted


def _constrained_response(_of: Arguments) -> Follows:
    return lambda text: any(choice in text for choice in _CHOICES)


def _highlighted_sections(of: Arguments) -> Follows:
    wanted = of.number("num_highlights")

    def follows(text: str) -> bool:
        found = [*_HIGHLIGHTED.findall(text), *_BOLD.findall(text)]
        return sum(1 for inner in found if inner.strip()) >= wanted

    return follows


def _multiple_sections(of: Arguments) -> Follows:
    mark = re.compile(rf"{re.escape(of.text('section_spliter').strip())}\s?\d+")
    wanted = of.number("num_sections")
    return lambda text: sum(1 for _ in mark.finditer(text)) >= wanted


def _json_format(_of: Arguments) -> Follows:
    def follows(text: str) -> bool:
        text = text.strip()
        for fence in _FENCES:
            text = text.removeprefix(fence)
        try:
            # A number of many digits is as good as any other.
            json.loads(text.removesuffix("```").strip(), parse_int=str)
        except (ValueError, RecursionError):
            return False
        return True

    return follows


def _title(_of: Arguments) -> Follows:
    def titled(line: str) -> bool:
        start, end = line.find("<<"), line.rfind(">>")
        return start >= 0 and end > start + 2 and bool(line[start : end + 2].lstrip("<").rstrip(">").strip())

    return lambda text: any(map(titled, text.split("\n")))


def _two_responses(_of: Arguments) -> Follows:
    def follows(text: str) -> bool:
        parts = [part.strip() for part in text.split("******")]
        given = [part for part in parts if part]
        return all(parts[1:-1]) and len(given) == 2 and given[0] != given[1]

    return follows


def _repeat_prompt(of: Arguments) -> Follows:
    prompt = of.text("prompt_to_repeat").strip().lower()
    return lambda text: text.strip().lower().startswith(prompt)


def _capital_word_frequency(of: Arguments) -> Follows:
    enough = of.bounded("capital_frequency", "capital_relation")
    return lambda text: enough(count_capital_words(text))


def _english_capital(_of: Arguments) -> Follows:
    return lambda text: text.isupper() and language(text) == "en"


def _english_lowercase(_of: Arguments) -> Follows:
    return lambda text: text.islower() and language(text) == "en"


def _end_checker(of: Arguments) -> Follows:
    end = of.text("end_phrase").strip().lower()
    return lambda text: text.strip().strip('"').lower().endswith(end)


def _quotation(_of: Arguments) -> Follows:
    def follows(text: str) -> bool:
        text = text.strip()
        return len(text) > 1 and text[0] == text[-1] == '"'

    return follows


def _no_comma(_of: Arguments) -> Follows:
    return lambda text: "," not in text


RULES: dict[str, Callable[[Arguments], Follows]] = {
    "keywords:existence": _keywords,
    "keywords:frequency": _keyword_frequency,
    "keywords:forbidden_words": _forbidden_words,
    "keywords:letter_frequency": _letter_frequency,
    "language:response_language": _response_language,
    "length_constraints:number_sentences": _number_sentences,
    "length_constraints:number_paragraphs": _number_paragraphs,
    "length_constraints:number_words": _number_words,
    "length_constraints:nth_paragraph_first_word": _nth_paragraph_first_word,
    "detectable_content:number_placeholders": _number_placeholders,
    "detectable_content:postscript": _postscript,
    "detectable_format:number_bullet_lists": _number_bullets,
    "detectable_format:constrained_response": _constrained_response,
    "detectable_format:number_highlighted_sections": _highlighted_sections,
    "detectable_format:multiple_sections": _multiple_sections,
    "detectable_format:json_format": _json_format,
    "detectable_format:title": _title,
    "combination:two_responses": _two_responses,
    "combination:repeat_prompt": _repeat_prompt,
    "startend:end_checker": _end_checker,
    "change_case:capital_word_frequency": _capital_word_frequency,
    "change_case:english_capital": _english_capital,
    "change_case:english_lowercase": _english_lowercase,
    "punctuation:no_comma": _no_comma,
    "startend:quotation": _quotation,
}


def instruction(name: str, values: Mapping[str, Any]) -> Follows:
    """Return the test of one instruction.

    Raises
    ------
    Unusable
        Where there is no such instruction, or it lacks an argument or has one of another kind.

    Examples
    --------
    >>> follows = instruction("length_constraints:number_words", {"num_words": 3, "relation": "at least"})
    >>> follows("one two three"), follows("one two")
    (True, False)
    """
    rule = RULES.get(name)
    if rule is None:
        raise Unusable(f"unknown instruction {name[:80]}")
    try:
        return rule(Arguments(values))
    except Unusable as error:
        raise Unusable(f"{name}: {error}") from None
