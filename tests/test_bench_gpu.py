"""The benchmark of the GPU: what it says where there is none, and what is committed."""

import importlib.util
import json
import re
from pathlib import Path

import pytest

from divfast.throughput import results

ROOT = Path(__file__).resolve().parent.parent
COMMITTED = ROOT / "bench" / "results" / "gpu.json"


@pytest.fixture
def gpu():
    spec = importlib.util.spec_from_file_location("bench_gpu", ROOT / "bench" / "gpu.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_committed_rows_are_measured_or_say_why_not(gpu):
    rows = results.load(COMMITTED)
    found = {(row["case"], row["implementation"]) for row in rows}
    assert found == {
        (case, name) for case, (_, _, peers) in gpu.CASES.items() for name in ("divfast", *peers)
    }
    for row in rows:
        assert row["backend"] == "cuda" and row["size"] == gpu.CASES[row["case"]][1]
        if row["status"] == "ok":
            assert row["seconds"]["median"] > 0 and row["machine"]["gpu"]
        else:
            assert row["status"] == "not run" and row["reason"] and "seconds" not in row
    assert not re.search(r'"[^"]*/(home|work|tmp|root|usr)/', COMMITTED.read_text("utf-8"))


def test_without_a_gpu_rows_say_that_nothing_has_run(gpu, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(gpu, "why_not", lambda: "torch finds no CUDA device")
    path = tmp_path / "gpu.json"
    monkeypatch.setattr("sys.argv", ["gpu.py", "--json", str(path)])
    gpu.main()
    rows = json.loads(path.read_text("utf-8"))
    assert {row["status"] for row in rows} == {"not run"} and len(rows) == 7
    assert {row["reason"] for row in rows} == {"torch finds no CUDA device"}
    measured = [{**rows[0], "status": "ok", "seconds": {"median": 1.0}}]
    path.write_text(json.dumps(measured), "utf-8")
    gpu.main()
    assert json.loads(path.read_text("utf-8")) == measured
    assert "has been measured" in capsys.readouterr().out


def test_goals_are_compared(gpu):
    def row(goal, **more):
        return gpu.reached({"status": "ok", "goal": goal, "seconds": {"median": 0.5}, **more})["reached"]

    assert row({"share": 0.8}, share=0.81) and not row({"share": 0.8}, share=0.79)
    assert row({"ratio": 20}, ratio=21.0) and not row({"ratio": 20})
    assert row({"seconds": 1.0}) and not row({"seconds": 0.4})
    assert "reached" not in gpu.reached({"status": "not run", "goal": {"share": 0.8}})
