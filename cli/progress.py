"""What long work shows of itself: bytes read, dumps finished, texts encoded, pairs judged, time left."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_PATIENCE_SECONDS = 1.0
_VERBS = {
    "bytes": "reading",
    "dumps": "scoring",
    "texts": "encoding",
    "pairs": "judging",
    "verdicts": "judging",
    "rows": "reading vectors",
    "samples": "drawing",
}


@contextlib.contextmanager
def bars() -> Iterator[Callable[[int, int | None, str], None] | None]:
    """Give a callable ``(done, total, unit)`` that draws on stderr; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    shown = _Bars()
    try:
        yield shown
    finally:
        shown.close()


class _Bars:
    """One bar a unit, drawn from when the work has taken a second."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, done: int, total: int | None, unit: str) -> None:
        with self._lock:
            if self._progress is None:
                if time.monotonic() - self._started < _PATIENCE_SECONDS:
                    return
                self._progress = _open_progress()
            if unit not in self._tasks:
                self._tasks[unit] = self._progress.add_task(_VERBS.get(unit, unit), total=total, how_far="")
            self._progress.update(
                self._tasks[unit], completed=done, total=total, how_far=_how_far(done, total, unit)
            )

    def close(self) -> None:
        """Wipe the bars."""
        if self._progress is not None:
            self._progress.stop()


def _open_progress() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[how_far]}"),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
    )
    progress.start()
    return progress


def _how_far(done: int, total: int | None, unit: str) -> str:
    from rich.filesize import decimal

    words = [
        decimal(number) if unit == "bytes" else f"{number:,}"
        for number in (done, total)
        if number is not None
    ]
    return " of ".join(words) + ("" if unit == "bytes" else f" {unit}")
