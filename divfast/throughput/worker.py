"""A fresh process that prepares one implementation and runs it when told to."""

from __future__ import annotations

import contextlib
import gc
import re
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from divfast.throughput.case import Absent, Finished, Place, Size

_STATUS = Path("/proc/self/status")


def serve(pipe: Connection, case: str, implementation: str, place: Place, size: Size) -> None:
    """Answer over `pipe`: first whether the implementation is ready, then every run that is asked for."""
    from divfast.throughput.cases import find_case

    try:
        chosen = next(one for one in find_case(case).implementations if one.name == implementation)
        prepared = chosen.prepare(place, **size)
    except Absent as absent:
        pipe.send(("absent", str(absent)))
        return
    except Exception as error:  # noqa: BLE001 - whatever went wrong in a peer is told, not raised
        pipe.send(("failed", _told(error)))
        return
    gc.collect()
    _forget_peak()
    facts = {"work": dict(prepared.work), "versions": dict(prepared.versions), "held": _memory("VmRSS")}
    pipe.send(("ready", facts))
    first = True
    while pipe.recv() == "run":
        try:
            pipe.send(("ran", _run(prepared, first)))
        except Exception as error:  # noqa: BLE001
            pipe.send(("failed", _told(error)))
            return
        first = False


def _run(prepared: Any, first: bool) -> dict[str, Any]:
    gc.collect()
    start = time.perf_counter()
    result = prepared.run()
    seconds = time.perf_counter() - start
    peak = _memory("VmHWM")
    if isinstance(result, Finished):
        seconds, peak = result.seconds, result.peak
    return {"seconds": seconds, "peak": peak, "values": prepared.values(result) if first else None}


def _told(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _memory(name: str) -> int | None:
    """Return ``VmRSS`` or ``VmHWM`` in bytes; None where the system does not tell.

    Not ``ru_maxrss``: that starts with what the parent held.
    """
    with contextlib.suppress(OSError):
        if found := re.search(rf"{name}:\s+(\d+) kB", _STATUS.read_text()):
            return int(found[1]) << 10
    return None


def _forget_peak() -> None:
    """Let ``VmHWM`` start from what is held now, so that making the input does not count."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
