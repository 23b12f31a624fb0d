"""What a model is asked."""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Message = Mapping[str, str]

_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class Prompt:
    """One prompt, before a chat template; what JSON cannot hold of it is put as `plain` puts it.

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

    def __post_init__(self) -> None:
        for name in ("id", "text", "messages", "columns"):
            object.__setattr__(self, name, plain(getattr(self, name)))


def plain(value: Any) -> Any:
    """Return a value as it is when it has been written as JSON and read again.

    Lone surrogates become U+FFFD, numbers that are not finite null, and what JSON has no form for a text.

    Examples
    --------
    >>> plain({"at": datetime.date(2026, 1, 31), "of": (1, float("nan"))})
    {'at': '2026-01-31', 'of': [1, None]}
    """
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {plain(str(name)): plain(one) for name, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(one) for one in value]
    if isinstance(value, (bytes, bytearray)):
        return value.decode("utf-8", "replace")
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    return plain(str(value))
