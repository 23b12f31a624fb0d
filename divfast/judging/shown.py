"""What a judge is shown of a prompt: the request, whole, and the checklist and references that a dump has for it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from divfast.errors import DataError
from divfast.quality.verifiers import Question

CHECKLIST, REFERENCE = "checklist", "reference"
# Where references stand, in the order in which they are looked for.
REFERENCES = ("references", "gold")
CONVERSATION = "messages"
COLUMNS = (CONVERSATION, CHECKLIST, *REFERENCES)


def request_of(question: Question) -> str | None:
    r"""Return what the samples are answers to: the prompt, or all messages of a conversation; None where there is none.

    Examples
    --------
    >>> request_of(Question([], {"messages": [{"role": "user", "content": "Hi"}]}, prompt="Hi"))
    'Hi'
    >>> turns = [("user", "Hi"), ("assistant", "Hello!"), ("user", "Who are you?")]
    >>> turns = [{"role": role, "content": content} for role, content in turns]
    >>> print(request_of(Question([], {"messages": turns}, prompt="Who are you?")))
    A conversation, of which the last message is to be answered:
    <BLANKLINE>
    <message from="user">
    Hi
    </message>
    <BLANKLINE>
    <message from="assistant">
    Hello!
    </message>
    <BLANKLINE>
    <message from="user">
    Who are you?
    </message>
    """
    # A prompt that is a list of messages is what was asked; else they stand beside it.
    turns = _turns(_as_list(question.prompt)) or _turns(question.columns.get(CONVERSATION)) or []
    if len(turns) < 2:
        is_list = question.prompt is None or _as_list(question.prompt) is not None
        return turns[0][1] if turns and is_list else question.prompt
    shown = [f'<message from="{role}">\n{content}\n</message>' for role, content in turns]
    return "\n\n".join(["A conversation, of which the last message is to be answered:", *shown])


def checklist_of(question: Question) -> str | None:
    """Return the checklist of a prompt, a line for each of its questions; None where there is none."""
    found = question.columns.get(CHECKLIST)
    items = found if isinstance(found, list) else [found]
    lines = [" ".join(one.split()) for one in items if isinstance(one, str) and one.strip()]
    if len(lines) == 1 and not isinstance(found, list):
        # One text is a checklist as it stands.
        return str(found).strip()
    return "\n".join(f"- {line}" for line in lines) or None


def references_of(question: Question, gold: str | None = None) -> list[str]:
    """Return the references of a prompt: of the column `gold`, else of `references`, else of ``gold``.

    Examples
    --------
    >>> references_of(Question([], {"references": ["A cat.", None, " "], "gold": "B"}))
    ['A cat.']
    >>> references_of(Question([], {"gold": 42})), references_of(Question([]))
    (['42'], [])
    """
    for name in REFERENCES if gold is None else (gold,):
        value = question.columns.get(name)
        values = value if isinstance(value, list) else [value]
        texts = [one if isinstance(one, str) else json.dumps(one) for one in values if one is not None]
        if texts := [text for text in texts if text.strip()]:
            return texts
    return []


def reference_text(references: Sequence[str]) -> str | None:
    r"""Return references as they are shown: one as it stands, several with numbers; None where there is none.

    Examples
    --------
    >>> reference_text(["A cat."]), reference_text(["A cat.", "One cat."])
    ('A cat.', '1. A cat.\n\n2. One cat.')
    """
    if len(references) < 2:
        return references[0] if references else None
    return "\n\n".join(f"{number}. {text}" for number, text in enumerate(references, 1))


def lacking_references(where: str, gold: str | None, otherwise: str) -> DataError:
    """Return what to say of a dump that has no references."""
    columns = " and no ".join(REFERENCES if gold is None else (gold,))
    return DataError(
        f"no prompt has a reference: there is no {columns}.",
        where=where,
        remedy=f"Name the field that holds it with --gold, or {otherwise}.",
    )


def must_have_prompt(question: Question, where: str) -> DataError:
    """Return what to say of a prompt that the dump does not hold."""
    return DataError(
        f"the record {question.id!r} has no prompt, and a judge must see one.",
        where=where,
        remedy="Name its field with --prompt-field, or a file that has the prompts with --prompts.",
    )


def _as_list(prompt: str | None) -> Any:
    """Return what a prompt says that a dump holds as a list of messages; the readers give its JSON."""
    if prompt is not None and prompt.startswith("[{"):
        with contextlib.suppress(ValueError, RecursionError):
            return json.loads(prompt)
    return None


def _turns(messages: Any) -> list[tuple[str, str]] | None:
    """Return role and text of every message; None where it is no conversation."""
    from divfast.readers.fields import dig, message_text

    if not isinstance(messages, list):
        return None
    turns = []
    for message in messages:
        role, text = dig(message, "role"), message_text(dig(message, "content"))
        if not isinstance(message, Mapping) or not isinstance(role, str):
            return None
        if text is not None:
            turns.append((role, text))
    return turns
