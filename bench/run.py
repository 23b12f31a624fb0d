"""Throughput of divfast beside its peers: `divfast bench`, with the dumps that lie beside a checkout."""

import os
from pathlib import Path

from divfast.cli.bench import bench

if __name__ == "__main__":
    os.environ.setdefault("DIVFAST_SHARED", str(Path(__file__).resolve().parents[2] / "shared"))
    bench(prog_name="bench/run.py")
