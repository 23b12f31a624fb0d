"""Every environment variable that divfast reads; nowhere else is one read."""

from __future__ import annotations

import os
from pathlib import Path

from divfast.errors import DivfastError


def cache_dir() -> Path:
    """Where embeddings and judgments are kept.

    ``DIVFAST_CACHE``, else ``$XDG_CACHE_HOME/divfast``, else ``~/.cache/divfast``.
    """
    if explicit := os.environ.get("DIVFAST_CACHE"):
        return Path(explicit)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "divfast"


def threads() -> int:
    """Threads to use where none are named: ``DIVFAST_THREADS``, else the cores this process may run on."""
    if explicit := os.environ.get("DIVFAST_THREADS"):
        if not explicit.isdecimal() or int(explicit) < 1:
            raise DivfastError(
                f"must be a whole number of at least 1, got {explicit!r}.", where="DIVFAST_THREADS"
            )
        return int(explicit)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def openai_api_key() -> str | None:
    """Key for a server that speaks the OpenAI protocol, in no log and in no message: ``OPENAI_API_KEY``."""
    return os.environ.get("OPENAI_API_KEY", "").strip() or None


def proxy(scheme: str, host: str) -> str | None:
    """URL of the proxy through which to reach a host: ``http_proxy``, ``https_proxy`` and ``no_proxy``."""
    from urllib.request import getproxies, proxy_bypass

    return None if proxy_bypass(host) else getproxies().get(scheme)


def shared() -> Path | None:
    """Folder of real dumps and published values for benchmarks: ``DIVFAST_SHARED``."""
    return _folder("DIVFAST_SHARED")


def peer_paper() -> Path | None:
    """Checkout of the paper's code, a peer in benchmarks: ``DIVFAST_PEER_PAPER``."""
    return _folder("DIVFAST_PEER_PAPER")


def peer_ifeval() -> Path | None:
    """Folder into which lm-eval was installed, a peer in benchmarks: ``DIVFAST_PEER_IFEVAL``."""
    return _folder("DIVFAST_PEER_IFEVAL")


def _folder(name: str) -> Path | None:
    explicit = os.environ.get(name)
    return Path(explicit) if explicit else None


def same_hashes() -> dict[str, str]:
    """Return the environment for a process whose sets of strings are to have the same order every time."""
    return {**os.environ, "PYTHONHASHSEED": "0"}


def quiet_vllm() -> None:
    """Have vLLM, and the processes that it starts, log what went wrong alone, unless the environment says otherwise."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")


def visible_devices() -> list[str] | None:
    """Return the GPUs that this process may use: ``CUDA_VISIBLE_DEVICES``, else all; None where there are none."""
    from divfast.device import driver

    if (explicit := os.environ.get("CUDA_VISIBLE_DEVICES")) is not None:
        return [name for name in explicit.split(",") if name] or None
    if not driver():
        return None
    import torch

    return [str(at) for at in range(torch.cuda.device_count())]


def use_devices(names: list[str]) -> None:
    """Have this process, and those that it starts, see these GPUs alone."""
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(names)
