"""``divfast dedupe``: what it prints, what it writes, how it ends."""

import csv
import io
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from divfast import duplicate_clusters, duplicates
from divfast.cli import main, options
from divfast.cli.dedupe import dedupe

DEMO = Path(__file__).resolve().parent.parent / "examples" / "demo"
BASE, DPO = str(DEMO / "base.jsonl"), str(DEMO / "dpo.jsonl")


def run(*args, **more):
    """Run ``divfast dedupe`` in this process; anything but an exit is raised."""
    return CliRunner().invoke(main, ["dedupe", *map(str, args)], catch_exceptions=False, **more)


def write(path, *groups):
    """Write a dump with one prompt a list of outputs."""
    records = [
        {"input_id": str(i), "prompt": f"{i}?", "outputs": outputs} for i, outputs in enumerate(groups)
    ]
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def test_choices_are_those_of_the_library():
    assert options.DEDUPE_SCOPES == duplicate_clusters.SCOPES
    assert options.UNITS == duplicate_clusters.UNITS
    assert options.NORMALISATIONS == duplicate_clusters.NORMALISATIONS
    arguments = {parameter.name for parameter in dedupe.params}
    assert set(options.READING) <= arguments
    assert all(parameter.help for parameter in dedupe.params if parameter.param_type_name == "option")


def test_options_reach_the_library(monkeypatch):
    real, seen = duplicates.find_duplicates, {}

    def noting(source, **settings):
        seen.update(settings, source=source)
        return real(source)

    monkeypatch.setattr(duplicates, "find_duplicates", noting)
    run(
        BASE, "--scope", "prompt", "--threshold", 0.6, "--exact", "--unit", "words", "--shingle", 3,
        "--normalise", "fold", "--hashes", 64, "--bands", 8, "--seed", 3, "--join", "--threads", 1,
        "--memory", "64MB", "--reader", "jsonl", "--outputs-field", "outputs", "--id-field", "i",
        "--prompt-field", "p", "--prompts", "x.jsonl", "--keep-reasoning", "--on-error", "skip",
    )  # fmt: skip
    assert seen == {
        "source": [BASE], "scope": "prompt", "threshold": 0.6, "exact": True, "unit": "words", "shingle": 3,
        "normalise": "fold", "hashes": 64, "bands": 8, "seed": 3, "join": True, "threads": 1,
        "memory": 64_000_000, "reader": "jsonl", "outputs_field": "outputs", "id_field": "i",
        "prompt_field": "p", "prompts": "x.jsonl", "keep_reasoning": True, "on_error": "skip", "progress": None,
    }  # fmt: skip


def test_the_table(tmp_path):
    dump = write(
        tmp_path / "d.jsonl",
        ["the cat sat on the mat", "the cat sat on the mat!", "no\x1b[2J"],
        ["no\x1b[2J"],
    )
    result = run(dump)
    assert result.exit_code == 0 and result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].split("  ")[0].strip() == "prompts"
    assert lines[2].split() == ["2", "4", "1", "1", "2", "75.0%", "50.0%"]
    assert lines[4] == "2 clusters, 2 of them with a duplicate"
    assert lines[8].split(maxsplit=3) == ["2", "0", "0", "the cat sat on the mat"]
    assert "\x1b" not in result.stdout
    assert "A pair at the threshold is found with a probability of 0.9983." in lines
    assert lines[-1] == str(duplicates.find_duplicates(dump).signature)
    for more in (["--scope", "prompt"], ["--exact"]):
        assert "probability" not in run(dump, *more).stdout


def test_other_forms_agree():
    summary = json.loads(run(BASE, DPO, "--format", "json").stdout)
    assert [row["dump"] for row in summary["results"]] == [BASE, DPO, None]
    found = duplicates.find_duplicates([BASE, DPO])
    expected = found.to_dict()
    assert summary["results"] == expected["results"] and summary["largest"] == expected["largest"]
    assert summary["results"][2]["samples"] == 384
    assert summary["largest"][0]["dump"] == DPO
    rows = list(csv.DictReader(io.StringIO(run(BASE, DPO, "--format", "csv").stdout)))
    assert [int(row["kept"]) for row in rows] == [row["kept"] for row in summary["results"]]
    assert float(rows[1]["unique_exact"]) == summary["results"][1]["unique_exact"]
    lines = run(BASE, DPO, "--format", "md").stdout.splitlines()
    assert len(lines) == 5 and lines[0].startswith("| dump | prompts |")
    assert "examples/demo/dpo.jsonl" in run(BASE, DPO).stdout


def test_files_are_written_beside_the_dump(tmp_path):
    dump = write(tmp_path / "d.jsonl", ["a b c d", "a b c d", "漢字"], ["a b c d"])
    before = dump.read_bytes()
    column, kept = tmp_path / "column.parquet", tmp_path / "kept.jsonl"
    column.write_text("old")
    result = run(dump, "-o", column, "--kept", kept)
    assert result.exit_code == 0
    assert result.stderr == f"Wrote {column}.\nWrote {kept}.\n"
    table = pq.read_table(column)
    assert table.column_names == ["input_id", "position", "cluster", "size", "kept", "exact"]
    assert table.column("cluster").to_pylist() == [0, 0, 1, 0]
    assert [json.loads(line) for line in kept.read_text("utf-8").splitlines()] == [
        {"input_id": "0", "prompt": "0?", "outputs": ["a b c d", "漢字"]},
        {"input_id": "1", "prompt": "1?", "outputs": []},
    ]
    assert dump.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"d.jsonl", "column.parquet", "kept.jsonl"}


@pytest.mark.parametrize("option", ["-o", "--kept"])
def test_the_dump_is_never_overwritten(option, tmp_path):
    dump = write(tmp_path / "d.jsonl", ["a"])
    before = dump.read_bytes()
    (tmp_path / "link").symlink_to(dump)
    for target in (dump, tmp_path / "link", tmp_path / "." / "d.jsonl"):
        result = run(dump, option, target)
        assert result.exit_code == 1
        assert result.stderr == f"Error: {Path(target)}: is one of the dumps.\n       Name another file.\n"
    assert dump.read_bytes() == before


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["nope.jsonl"], "Error: nope.jsonl: cannot be read: no such file or directory.\n"),
        (["d.jsonl", "-o", "."], "Error: .: is a folder.\n       Name a file in it.\n"),
        (["d.jsonl", "-o", "d.jsonl/x"], "Error: d.jsonl: cannot be made or written into"),
        (["d.jsonl", "-o", "x", "--kept", "x"], "Error: x: cannot be two files at once.\n"),
        (["-", "--kept", "x"], "Error: stdin: can be read only once"),
        (["d.jsonl", "e.jsonl", "--kept", "x"], "Error: several dumps cannot become one"),
        (["d.jsonl", "--hashes", "8", "--bands", "9"], "Error: bands must be from 1 to 8, got 9.\n"),
    ],
)
def test_errors_are_one_sentence_with_a_remedy(args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "d.jsonl", ["a"])
    write(tmp_path / "e.jsonl", ["a"])
    result = run(*args)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith(message)
    assert {path.name for path in tmp_path.iterdir()} == {"d.jsonl", "e.jsonl"}


@pytest.mark.parametrize(
    "args", [[], [BASE, "--threshold", "0"], [BASE, "--threshold", "1.1"], [BASE, "--scope", "first"]]
)
def test_wrong_usage_exits_2(args):
    assert run(*args).exit_code == 2


def test_standard_input_and_what_was_changed():
    line = json.dumps({"input_id": "1", "outputs": ["<think>x</think>a", "<think>y</think>a", None]})
    result = run("-", input=line + "\n")
    assert result.exit_code == 0
    assert "Reasoning up to </think> was stripped from 2 samples" in result.stderr
    assert "2 clusters, 1 of them with a duplicate" in result.stdout
    kept = run("-", "--keep-reasoning", "--exact", input=line + "\n")
    assert "3 clusters, 0 of them with a duplicate" in kept.stdout
