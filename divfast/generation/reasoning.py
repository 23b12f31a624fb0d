"""What a model thinks before it answers, told apart from the answer."""

from __future__ import annotations

REASONING = ("apart", "strip", "keep")

_OPEN, _CLOSE = "<think>", "</think>"
_SPACE = " \t\r\n"


def split(text: str) -> tuple[str | None, str]:
    """Return the thinking and the answer; no thinking where none was finished.

    The thinking is what stands before the last ``</think>``, also where the prompt has opened it; the answer is what
    the readers leave of the whole.

    Examples
    --------
    >>> split("<think>2 + 2?</think>\\n4"), split("2 + 2?</think>4"), split("4")
    (('2 + 2?', '4'), ('2 + 2?', '4'), (None, '4'))
    """
    before, closed, behind = text.rpartition(_CLOSE)
    if not closed:
        return None, text
    return before.strip(_SPACE).removeprefix(_OPEN).strip(_SPACE), behind.lstrip(_SPACE)


def join(reasoning: str, text: str) -> str:
    """Return thinking that an engine gave apart and the answer as one text."""
    return f"{_OPEN}\n{reasoning}\n{_CLOSE}\n{text}"


def is_cut(text: str, opened: bool) -> bool:
    """Return whether thinking was begun, by the prompt or the text itself, and never finished."""
    return _CLOSE not in text and (opened or text.lstrip(_SPACE).startswith(_OPEN))
