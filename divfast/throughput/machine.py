"""Which machine and which versions a row was measured with; nothing that names a host, a user or a path."""

from __future__ import annotations

import contextlib
import os
import platform
import re
from collections.abc import Sequence
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any


@cache
def machine() -> dict[str, Any]:
    """Return processor, cores this process may use, memory in GB, and system."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    found: dict[str, Any] = {"cpu": platform.processor() or platform.machine(), "cores": cores}
    with contextlib.suppress(OSError):
        if model := re.search(r"model name\s*:\s*(.+)", Path("/proc/cpuinfo").read_text()):
            found["cpu"] = model[1].strip()
    with contextlib.suppress(ValueError, OSError, AttributeError):
        found["memory_gb"] = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
    found["system"] = f"{platform.system()} {platform.machine()}"
    return found


def versions(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of divfast, Python and some distributions, as far as they are installed."""
    found = {"python": platform.python_version()}
    for name in ("divfast", *packages):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
