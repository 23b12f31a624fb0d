"""The verdict in what a judge has said; none where there is none, or more than one."""

from __future__ import annotations

import re
from typing import TypeVar

_T = TypeVar("_T")

A, B, TIE = "A", "B", "tie"
# The words of other harnesses: [[A]], [[A>>B]], and [[C]] for a tie.
_PAIRS = {
    "a": A, "b": B, "tie": TIE, "c": TIE, "a=b": TIE, "b=a": TIE,
    "a>b": A, "a>>b": A, "b<a": A, "b<<a": A, "b>a": B, "b>>a": B, "a<b": B, "a<<b": B,
}  # fmt: skip
_PAIR = re.compile(
    r"""^[^a-z0-9\n]*(?:final\ )?verdict[^a-z0-9\n]*(A|B|tie)[^a-z0-9\n]*$  # a line of its own, perhaps in bold
      | \[\[\s*(A|B|C|tie|A\s*(?:[<>]{1,2}|=)\s*B|B\s*(?:[<>]{1,2}|=)\s*A)\s*\]\]""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
_NUMBER = r"(-?\d+(?:\.\d+)?)"
_SCORE = re.compile(
    rf"""^[^a-z0-9\n]*(?:final\ )?(?:score|rating)[^a-z0-9\n-]*{_NUMBER}(?:\ ?/\ ?10|\ out\ of\ 10)?[^a-z0-9\n]*$
      | \[\[\s*{_NUMBER}\s*\]\]
      | "score"\s*:\s*"?\s*{_NUMBER}\s*(?:/\s*10\s*)?"?\s*[,}}\n]""",
    re.IGNORECASE | re.MULTILINE | re.VERBOSE,
)
LOWEST, HIGHEST = 1.0, 10.0


def pair_verdict(text: str) -> str | None:
    """Return ``A``, ``B`` or ``tie``: the answer that a judge prefers.

    Examples
    --------
    >>> pair_verdict("The first is wrong.\\n\\n**Verdict: B**"), pair_verdict("[[A>>B]]")
    ('B', 'A')
    >>> pair_verdict("Verdict: A\\nVerdict: B"), pair_verdict("I prefer A.")
    (None, None)
    """
    return _only({_PAIRS[re.sub(r"\s", "", one).lower()] for one in _found(_PAIR, text)})


def score_verdict(text: str) -> float | None:
    """Return the score, from 1 to 10.

    Examples
    --------
    >>> score_verdict("Good.\\nScore: 7/10"), score_verdict('{"weaknesses": "none", "score": "9"}')
    (7.0, 9.0)
    >>> score_verdict("Score: 11"), score_verdict("Between 6 and 7.")
    (None, None)
    """
    score = _only({float(one) for one in _found(_SCORE, text)})
    return score if score is not None and LOWEST <= score <= HIGHEST else None


def _found(pattern: re.Pattern[str], text: str) -> list[str]:
    # What a model thinks before it speaks may try out several verdicts.
    spoken = text.rpartition("</think>")[2]
    return [next(group for group in match.groups() if group) for match in pattern.finditer(spoken)]


def _only(found: set[_T]) -> _T | None:
    return found.pop() if len(found) == 1 else None
