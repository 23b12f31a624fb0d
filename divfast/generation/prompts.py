"""What a model is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = Mapping[str, str]


@dataclass(frozen=True)
class Prompt:
    """One prompt, before a chat template.

    Attributes
    ----------
    id : str
        Its ``input_id`` in the dump.
    text : str
        What the user says, or what a raw model continues.
    messages : sequence of Message, optional
        A conversation (``role``, ``content``) whose last turn is the user's, instead of `text` alone.
    columns : Mapping[str, Any]
        What the dump shall hold beside the samples: ``gold``, ``references``, ``tests``, ``entry_point``, ...
    """

    id: str
    text: str
    messages: Sequence[Message] | None = None
    columns: Mapping[str, Any] = field(default_factory=dict)
