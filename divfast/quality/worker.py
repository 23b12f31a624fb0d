"""A process that judges samples for another: questions come in on one pipe, verdicts go out on the other.

One line is one question. Its answer is a line that says that it is prepared, and then one for every sample; or one line
with a verdict that holds for all. What takes too long ends the process, by a signal that nothing here can hold up: see
`workers`.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from typing import Any

from divfast.quality.verifiers import Judge, Question, Settings, Verdict, find_verifier

MEMORY_BYTES = 4 << 30


def main(name: str, settings: dict[str, Any]) -> None:
    """Answer questions until there are no more."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # What a library prints shall not be taken for a verdict.
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    chosen = Settings(**settings)
    verifier = find_verifier(name)
    # Loads what it needs, which takes a second, before the clock runs.
    judge = _prepared(verifier.judge, Question(["1"], {"gold": "1"}), chosen)
    if not isinstance(judge, Verdict):
        _judged(judge, 0)
    _say(replies, "ready")
    for line in sys.stdin.buffer:
        outputs, columns = json.loads(line)
        question = Question(outputs, columns)
        signal.setitimer(signal.ITIMER_PROF, chosen.limit)
        judge = _prepared(verifier.judge, question, chosen)
        _say(replies, judge if isinstance(judge, Verdict) else None)
        if isinstance(judge, Verdict):
            continue
        for i in range(len(outputs)):
            signal.setitimer(signal.ITIMER_PROF, chosen.limit)
            _say(replies, _judged(judge, i))
        signal.setitimer(signal.ITIMER_PROF, 0)


def _prepared(judge: Any, question: Question, settings: Settings) -> Judge | Verdict:
    try:
        made: Judge | Verdict = judge(question, settings)
    except Exception as error:  # noqa: BLE001
        return Verdict(None, error=f"gold cannot be read ({type(error).__name__})")
    return made


def _judged(judge: Judge, i: int) -> Verdict:
    try:
        return judge(i)
    except Exception as error:  # noqa: BLE001
        # A parser that gives up has found no answer.
        return Verdict(False, error=f"cannot be read ({type(error).__name__})")


def _say(replies: Any, what: Any) -> None:
    replies.write(json.dumps(what) + "\n")
    replies.flush()
