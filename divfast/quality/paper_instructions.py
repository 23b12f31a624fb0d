"""The instruction tests of the published code of arXiv 2604.16027, their quirks included."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from itertools import pairwise
from typing import Any

_BULLET = re.compile(r"^[^\S\n]*[-*•]\s", re.MULTILINE)
_HIGHLIGHT = re.compile(r"\*[^*\n]+\*")
_PLACEHOLDER = re.compile(r"\[[A-Z][A-Z_ ]*\]")
_SENTENCE_END = re.compile(r"[.!?]+")
_SEPARATORS = ("******", "---", "===", "Response 1", "Response 2")

Test = Callable[[str, Mapping[str, Any]], bool]


def follows(name: str, values: Mapping[str, Any], text: str) -> bool:
    """Return whether a sample follows an instruction.

    Notes
    -----
    Quirks: an instruction without a test, as those for words in capitals and for the first word of a paragraph, counts
    as followed, and so does any relation but "at least" and "at most", "less than" among them; arguments that do not
    fit count as not followed. Bullets, paragraphs (between blank lines) and sections may be more than wanted. Forbidden
    words are found within words. A constrained response and any language but English are always right, English is text
    of which more than half is ASCII, placeholders are capitals, and two responses are any text with ``---`` in it.

    Examples
    --------
    >>> follows("length_constraints:number_words", {"num_words": 3, "relation": "less than"}, "one two three four")
    True
    >>> follows("keywords:forbidden_words", {"forbidden_words": ["art"]}, "At the party")
    False
    """
    test = _TESTS.get(name)
    try:
        return test is None or bool(test(text, values))
    except Exception:  # noqa: BLE001
        return False


def _related(count: int, wanted: Any, relation: Any, *, exactly: bool = False) -> bool:
    if relation == "at least":
        return bool(count >= wanted)
    if relation == "at most":
        return bool(count <= wanted)
    return bool(count == wanted) if exactly and relation == "exactly" else True


def _counted(argument: str, count: Callable[[str], int]) -> Test:
    """Return a test that a count is as `relation` says."""
    return lambda text, values: _related(
        count(text), values.get(argument, 0), values.get("relation", "at least")
    )


def _enough(argument: str, count: Callable[[str], int]) -> Test:
    """Return a test that a count is reached."""
    return lambda text, values: bool(count(text) >= values.get(argument, 0))


def _parts(text: str, cut: Callable[[str], list[str]]) -> int:
    return sum(1 for part in cut(text) if part.strip())


def _keywords(text: str, values: Mapping[str, Any]) -> bool:
    lower = text.lower()
    return all(word.lower() in lower for word in values.get("keywords", []))


def _frequency(text: str, values: Mapping[str, Any]) -> bool:
    count = text.lower().count(values.get("keyword", "").lower())
    return _related(count, values.get("frequency", 0), values.get("relation", "at least"), exactly=True)


def _forbidden(text: str, values: Mapping[str, Any]) -> bool:
    lower = text.lower()
    return not any(word.lower() in lower for word in values.get("forbidden_words", []))


def _letters(text: str, values: Mapping[str, Any]) -> bool:
    count = text.lower().count(values.get("letter", "").lower())
    return _related(count, values.get("let_frequency", 0), values.get("let_relation", "at least"))


def _sections(text: str, values: Mapping[str, Any]) -> bool:
    mark = re.escape(values.get("section_spliter", "Section"))
    found = re.findall(rf"(?:^|\n){mark}\s*\d*", text, re.IGNORECASE)
    return bool(len(found) >= values.get("num_sections", 0))


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _json(text: str, _values: Mapping[str, Any]) -> bool:
    if _is_json(text.strip()):
        return True
    # What stands between the first fence and the next.
    inner, fence, _ = text.partition("```")[2].removeprefix("json").partition("```")
    return bool(fence) and _is_json(inner.strip())


def _title(text: str, _values: Mapping[str, Any]) -> bool:
    return any(
        not behind and 0 <= part.find("<<") < len(part) - 2 for part, behind in pairwise(text.split(">")[:-1])
    )


def _case(right: Callable[[str], bool]) -> Test:
    return lambda text, values: all(right(char) for char in set(text) if char.isalpha())


def _repeated(text: str, values: Mapping[str, Any]) -> bool:
    prompt = values.get("prompt_to_repeat", "")
    return not prompt or prompt.strip().lower() in text.lower()


def _end(text: str, values: Mapping[str, Any]) -> bool:
    end = values.get("end_phrase", "")
    return not end or text.strip().endswith(end)


def _language(text: str, values: Mapping[str, Any]) -> bool:
    if values.get("language", "").lower() not in ("", "english"):
        return True
    return sum(map(str.isascii, text)) / max(len(text), 1) > 0.5


_PLACEHOLDERS = _enough("num_placeholders", lambda text: len(_PLACEHOLDER.findall(text)))
_TESTS: dict[str, Test] = {
    "length_constraints:number_words": _counted("num_words", lambda text: len(text.split())),
    "length_constraints:number_sentences": _counted(
        "num_sentences", lambda text: _parts(text, _SENTENCE_END.split)
    ),
    "length_constraints:number_paragraphs": _counted(
        "num_paragraphs", lambda text: _parts(text, lambda whole: whole.split("\n\n"))
    ),
    "keywords:existence": _keywords,
    "keywords:frequency": _frequency,
    "keywords:forbidden_words": _forbidden,
    "keywords:letter_frequency": _letters,
    "detectable_format:number_bullet_lists": _enough("num_bullets", lambda text: len(_BULLET.findall(text))),
    "detectable_format:number_highlighted_sections": _enough(
        "num_highlights", lambda text: len(_HIGHLIGHT.findall(text))
    ),
    "detectable_format:multiple_sections": _sections,
    "detectable_format:json_format": _json,
    "detectable_format:title": _title,
    "detectable_format:number_placeholders": _PLACEHOLDERS,
    "detectable_content:number_placeholders": _PLACEHOLDERS,
    "detectable_content:postscript": lambda text, values: values.get("postscript_marker", "P.S.") in text,
    "change_case:english_capital": _case(str.isupper),
    "change_case:english_lowercase": _case(str.islower),
    "combination:two_responses": lambda text, values: any(mark in text for mark in _SEPARATORS),
    "combination:repeat_prompt": _repeated,
    "punctuation:no_comma": lambda text, values: "," not in text,
    "startend:end_checker": _end,
    "startend:quotation": lambda text, values: text.strip()[:1] == '"' == text.strip()[-1:],
    "language:response_language": _language,
}
