"""``divfast compare``: what it prints, what it writes, how it ends."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import divfast
from divfast.cli import main

DEMO = Path(__file__).resolve().parent.parent / "examples" / "demo"
SPECS = ["ead", "distinct"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name in ("base", "dpo"):
        divfast.score(DEMO / f"{name}.jsonl", SPECS, at_k=(4,)).save(folder / name)
    return str(folder / "base"), str(folder / "dpo")


def run(*args):
    """Run ``divfast compare`` in this process; anything but an exit is raised."""
    return CliRunner().invoke(main, ["compare", *map(str, args)], catch_exceptions=False)


def test_table(runs):
    result = run(*runs)
    assert result.exit_code == 0
    assert result.stderr == "first and pooled are single values of each run: no interval, no test.\n"
    lines = result.stdout.splitlines()
    assert lines[:2] == [f"A: {runs[0]} (demo-base)", f"B: {runs[1]} (demo-dpo)"]
    ead = divfast.compare(*runs)["ead@k=4"]
    row = next(line.split() for line in lines if line.startswith("ead@k=4 "))
    assert row == [
        "ead@k=4", "prompt", f"{ead.a:.3f}", f"{ead.b:.3f}", f"{ead.difference:+.3f}",
        f"{ead.interval[0]:+.3f}", "to", f"{ead.interval[1]:+.3f}", f"{ead.effect.d:+.2f}",
        f"{ead.effect.up}/{ead.effect.down}", f"{ead.p:.4f}", f"{ead.p_holm:.4f}", "24",
    ]  # fmt: skip
    pooled = next(line.split() for line in lines if line.startswith("ead ") and " pooled " in line)
    assert len(pooled) == 5
    signatures = [line for line in lines if "|scope:" in line]
    assert len(signatures) == 6
    assert "|k:4|draws:32|tok:whitespace|data:*|bs:1000|" in signatures[1]
    assert max(map(len, lines)) <= 120


def test_json_and_csv_and_md(runs):
    comparison = divfast.compare(*runs)
    assert json.loads(run(*runs, "--format", "json").stdout) == comparison.to_dict()
    rows = list(csv.DictReader(io.StringIO(run(*runs, "--format", "csv").stdout)))
    assert [row["metric"] for row in rows] == [result.metric for result in comparison]
    assert [row["k"] for row in rows] == ["", "4", "", "4", "", ""]
    for row, result in zip(rows, comparison, strict=True):
        assert float(row["difference"]) == result.difference
    assert rows[-1]["p"] == rows[-1]["low"] == ""
    lines = run(*runs, "--format", "md").stdout.splitlines()
    assert lines[0].startswith("| metric | scope | k | a | b | difference | low | high | p | p_holm |")
    assert "| 0.0001 |" in lines[2]
    between = 2 + len(comparison)
    assert lines[between : between + 2] == ["", "| moved most | B - A | A | B | input_id |"]
    moved = [one for result in comparison for one in (*result.most_up, *result.most_down)]
    assert len(lines) == between + 3 + len(moved)
    assert [json.loads(row["most_up"] or "[]") for row in rows] == [
        [one.to_dict() for one in result.most_up] for result in comparison
    ]


def test_dumps(tmp_path):
    dumps = [DEMO / "base.jsonl", DEMO / "dpo.jsonl"]
    result = run(*dumps, "-m", "ead", "--at-k", 4, "--scope", "prompt", "--top", 1, "--tokenizer", "words")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == f"A: {dumps[0]} (demo-base)"
    comparison = divfast.compare(*dumps, ["ead"], at_k=(4,), scopes=["prompt"], tokenizer="words", top=1)
    (down,) = comparison["ead"].most_down
    at = next(i for i, line in enumerate(lines) if line.startswith("moved most"))
    words = f"{down.difference:+.3f} {down.a:.3f} {down.b:.3f} {down.input_id} {down.prompt}"
    assert lines[at + 3].split()[:6] == words.split()[:6]
    assert not any("moved" in line for line in run(*dumps, "-m", "ead", "--top", 0).stdout.splitlines())


def test_runs_stay_as_they_were_scored(runs):
    result = run(*runs, "--tokenizer", "words", "--no-cache")
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: tokenizer and cache would change how dumps are scored, and both runs are scored already.\n"
        "       Leave that out, or name the dumps in place of the runs.\n"
    )


def test_options_reach_the_library(runs, tmp_path):
    result = run(
        *runs, "-m", "ead@k=4", "--scope", "prompt", "--seed", 3, "--allow", "tok", "-o", tmp_path / "o"
    )
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.endswith("comparison.json and " + str(tmp_path / "o" / "pairs.parquet") + ".\n")
    written = json.loads((tmp_path / "o" / "comparison.json").read_text(encoding="utf-8"))
    expected = divfast.compare(*runs, ["ead@k=4"], scopes=["prompt"], seed=3, allow=["tok"])
    assert written == expected.to_dict()
    assert written["run"]["seed"] == 3


def test_remarks(runs, tmp_path):
    lines = (DEMO / "dpo.jsonl").read_text(encoding="utf-8").splitlines()
    record = json.loads(lines[0])
    record["outputs"] = ["", ""]
    short = "\n".join([json.dumps(record), *lines[2:]]) + "\n"
    (tmp_path / "short.jsonl").write_text(short, encoding="utf-8")
    divfast.score(tmp_path / "short.jsonl", [*SPECS, "distinct:n=2"], at_k=(4,), scopes=["prompt"]).save(
        tmp_path
    )
    told = run(runs[0], tmp_path, "--scope", "prompt").stderr.splitlines()
    assert told == [
        f"Only in {tmp_path}: distinct:n=2 (prompt), distinct:n=2@k=4 (prompt).",
        "At unequal size, and so left to @k or @n: ead (prompt), distinct (prompt).",
        "Not paired: 1 prompt only in A, 0 only in B.",
        "Undefined in one of the runs or both: ead@k=4 (prompt) for 1, distinct@k=4 (prompt) for 1.",
    ]


def test_a_refusal_is_one_sentence(runs, tmp_path):
    result = run(runs[0], tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        f"Error: {tmp_path}: is not a folder that divfast score -o wrote: it has no report.json.\n"
        "       Score the dump first: divfast score DUMP -o DIR.\n"
    )
    assert run(runs[0]).exit_code == 2


@pytest.mark.parametrize("sizes", ["2,0", "two", "2,,4", "-1", ""])
def test_sizes_that_are_none(sizes):
    score = ["score", str(DEMO / "base.jsonl"), f"--at-k={sizes}"]
    result = CliRunner().invoke(main, score)
    assert result.exit_code == 2
    assert "is not a list of whole numbers such as 2,4,8" in result.stderr


def test_score_at_equal_size():
    score = ["score", str(DEMO / "base.jsonl"), str(DEMO / "dpo.jsonl"), "-m", "ead"]
    options = ["--at-k", "2,4", "--at-n", "100", "--draws", "30"]
    text = CliRunner().invoke(main, [*score, *options]).stdout
    report = divfast.score(
        [DEMO / "base.jsonl", DEMO / "dpo.jsonl"], ["ead"], at_k=(2, 4), at_n=(100,), draws=30
    )
    assert "ead@k=2" in text
    assert f"{report['ead@k=4'].value:.3f}" in text
    rows = list(
        csv.DictReader(io.StringIO(CliRunner().invoke(main, [*score, *options, "--format", "csv"]).stdout))
    )
    assert [(row["k"], row["n"]) for row in rows[:5]] == [
        ("", ""),
        ("2", ""),
        ("4", ""),
        ("", ""),
        ("", "100"),
    ]
    for row, result in zip(rows, report, strict=True):
        assert float(row["value"]) == result.value
