"""Kernels are compiled for a GPU that is not there, in a process in which Triton is not told to interpret them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def check_compiles(script, folder):
    """Run a script that compiles kernels and then prints ``compiled``; its files go to `folder`."""
    from triton import knobs

    try:
        found = Path(knobs.nvidia.ptxas.path).is_file()
    except (AttributeError, RuntimeError):
        found = False
    if not found:
        pytest.skip("this Triton brings no ptxas")
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    environment["TRITON_CACHE_DIR"] = str(folder)
    path = folder / "compile_kernels.py"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, env=environment
    )
    assert done.stdout == "compiled\n", done.stderr
