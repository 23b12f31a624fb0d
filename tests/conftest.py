"""What several test files share: the folder of real data, samples cut as the parity files cut them."""

import gzip
import json
import os
from pathlib import Path

import pytest
from hypothesis import settings

from divfast.device import driver

# Looked at when Triton is imported, by whatever test: without a GPU its interpreter runs the kernels.
if not driver():
    os.environ.setdefault("TRITON_INTERPRET", "1")

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("DIVFAST_SHARED", ROOT.parent / "shared"))

# The first call of a compiled metric takes a second.
settings.register_profile("divfast", deadline=None)
settings.load_profile("divfast")


@pytest.fixture(scope="session")
def shared():
    """The folder of real data and published values."""
    if not SHARED.is_dir():
        pytest.skip("the folder of shared test data is absent (DIVFAST_SHARED)")
    return SHARED


def parity_files():
    """Parity files by name; empty where the shared folder is absent."""
    return sorted((SHARED / "parity").glob("*.json")) if SHARED.is_dir() else []


def parity_case(path):
    """Return (published values, outputs per prompt cut as they were for them)."""
    values = json.loads(path.read_text(encoding="utf-8"))
    with gzip.open(SHARED / "data" / values["file"], "rt", encoding="utf-8", newline="\n") as file:
        records = [json.loads(line) for line in file.read().split("\n") if line]
    return values, [record["outputs"][: values["k_cap"]] for record in records[: values["groups"]]]
