"""``divfast score -o DIR``: the two files, whole or not at all, and the folder checked before the work."""

import json
import os
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import divfast
from divfast.cli import main

DEMO = Path(__file__).resolve().parent.parent / "examples" / "demo"
BASE, DPO = (str(DEMO / f"{name}.jsonl") for name in ("base", "dpo"))
KEYS = ["metric", "scope", "value", "std", "interval", "groups", "undefined", "unit", "signature"]


def run(*args):
    """Run ``divfast score`` in this process; anything but an exit is raised."""
    return CliRunner().invoke(main, ["score", *map(str, args)], catch_exceptions=False)


def test_the_folder(tmp_path):
    folder = tmp_path / "new" / "run"
    result = run(BASE, "-m", "ead", "-m", "distinct:n=2", "-o", folder)
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"Wrote {folder / 'report.json'} and {folder / 'groups.parquet'}.\n"
    assert sorted(path.name for path in folder.iterdir()) == ["groups.parquet", "report.json"]
    saved = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert list(saved) == ["results", "run"]
    assert [list(entry) for entry in saved["results"]] == [KEYS] * 4
    report = divfast.score(BASE, ["ead", "distinct:n=2"])
    assert saved["results"] == report.to_dict()["results"]
    table = pq.read_table(folder / "groups.parquet")
    assert table.column_names == ["input_id", "n", "ead", "distinct:n=2"]
    assert [str(table.schema.field(name).type) for name in ("ead", "distinct:n=2")] == ["double", "double"]
    assert table["n"].to_pylist() == [8] * 24
    assert table["ead"].to_pylist() == report["ead"].values.tolist()


def test_the_folder_of_several_dumps(tmp_path):
    result = run(BASE, DPO, "-m", "ead:n=1", "-o", tmp_path, "--format", "csv")
    assert result.exit_code == 0
    assert result.stdout.startswith("model,task,metric")
    saved = json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [list(entry) for entry in saved["results"]] == [["model", "task", *KEYS]] * 4
    table = pq.read_table(tmp_path / "groups.parquet")
    assert table.column_names == ["model", "task", "input_id", "n", "ead:n=1"]
    assert table["model"].to_pylist() == ["demo-base"] * 24 + ["demo-dpo"] * 24
    assert set(table["task"].to_pylist()) == {"demo"}


def never(*args, **more):
    raise AssertionError("scored before the folder was checked")


def test_a_folder_that_cannot_be_made_is_found_early(tmp_path, monkeypatch):
    monkeypatch.setattr(divfast, "score", never)
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        result = run(BASE, "-o", folder)
        assert (result.exit_code, result.stdout) == (1, "")
        assert result.stderr == (
            f"Error: {folder}: cannot be made or written into: not a directory.\n"
            "       Name another folder with -o.\n"
        )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write into any folder")
def test_a_read_only_folder_is_found_early(tmp_path, monkeypatch):
    monkeypatch.setattr(divfast, "score", never)
    (tmp_path / "run").mkdir(mode=0o555)
    result = run(BASE, "-o", tmp_path / "run")
    assert result.exit_code == 1
    assert "cannot be made or written into: permission denied." in result.stderr


def test_checking_the_folder_leaves_nothing_behind(tmp_path):
    assert run(BASE, "-m", "eed", "-o", tmp_path / "run").exit_code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", ["groups.parquet", "report.json"])
def test_a_disk_that_fills_up_leaves_the_old_pair(tmp_path, monkeypatch, file):
    assert run(BASE, "-m", "ead", "-o", tmp_path).exit_code == 0
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def full(*args, **more):
        raise OSError(28, "Error writing bytes to file. Detail: [errno 28] No space left on device")

    if file == "report.json":
        monkeypatch.setattr(Path, "write_text", full)
    else:
        monkeypatch.setattr("divfast.output.pq.write_table", full)
    result = run(DPO, "-m", "ead", "-o", tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"Error: {tmp_path / file}: cannot be written: no space left on device.\n"
        "       Free some room or name another folder.\n"
    )
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_file_name_that_is_not_unicode(tmp_path):
    try:
        dump = tmp_path / os.fsdecode(b"d\xff.jsonl")
        dump.write_text('{"outputs": ["a"]}\n')
    except OSError:
        pytest.skip("the file system refuses such names")
    assert run(dump, BASE, "-m", "distinct", "-o", tmp_path / "run", "--format", "table").exit_code == 0
    assert pq.read_table(tmp_path / "run" / "groups.parquet")["model"][0].as_py() == "d\ufffd"
    assert json.loads((tmp_path / "run" / "report.json").read_text(encoding="utf-8"))["results"]
