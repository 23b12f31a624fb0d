"""`divfast generate` killed at random moments: the file that is gone on with is that of a run in one go."""

import json
import os
import subprocess
import sys

import pytest

from conftest import ROOT
from generating import TINY

MOMENTS, SEED = 20, 7


@pytest.mark.model
def test_killed_at_random_moments(shared, tmp_path):
    pytest.importorskip("transformers")
    call = [sys.executable, ROOT / "tests" / "killed.py", shared / TINY, tmp_path, str(SEED), str(MOMENTS)]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT / "tests"),
    }
    done = subprocess.run(call, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(told) == MOMENTS
    assert all(one["equal"] and one["kept"] for one in told), told
    # Moments that are none, before the first line or after the last, are not all there is.
    assert sum(one["killed"] and one["lines"] > 0 and one["drawn"] > 0 for one in told) >= MOMENTS // 4, told
