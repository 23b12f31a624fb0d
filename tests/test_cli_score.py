"""``divfast score``: what it prints, what it writes, how it ends."""

import csv
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import divfast
from divfast.cli import flat, main
from divfast.cli.score import score

DEMO = Path(__file__).resolve().parent.parent / "examples" / "demo"
BASE, SFT, DPO = (str(DEMO / f"{name}.jsonl") for name in ("base", "sft", "dpo"))
KEYS = ["metric", "scope", "value", "std", "interval", "groups", "undefined", "unit", "signature"]


def run(*args, **more):
    """Run ``divfast score`` in this process; anything but an exit is raised."""
    return CliRunner().invoke(main, ["score", *map(str, args)], catch_exceptions=False, **more)


def write(path, *records):
    """Write JSON Lines; a record that is a string is written as it stands."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [record if isinstance(record, str) else json.dumps(record) for record in records]
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def test_every_option_of_the_design():
    names = {name for parameter in score.params for name in parameter.opts}
    assert names >= {
        "-m", "--metric", "--scope", "--preset", "--encoder", "--dtype", "--embeddings", "--no-cache",
        "--tokenizer", "--vocab-size", "--reader", "--outputs-field", "--id-field", "--prompt-field",
        "--prompts", "--join", "--keep-reasoning", "--on-error", "--format", "-o", "--output", "--threads", "--memory",
        "--seed", "--backend", "--per-sample", "--plugin", "--strict", "--debug", "--at-k", "--at-n", "--draws",
        "--where", "--correct-field", "--answers-field", "--language", "--parser", "--code-field",
        "--continuation", "--stop", "--embed",
    }  # fmt: skip
    assert all(parameter.help for parameter in score.params if parameter.param_type_name == "option")


def test_options_reach_the_library(monkeypatch, tmp_path):
    real, seen = divfast.score, {}

    def noting(source, metrics, **settings):
        seen.update(settings, source=source, metrics=metrics)
        return real(source, metrics)

    monkeypatch.setattr(divfast, "score", noting)
    run(
        BASE, SFT, "-m", "ead", "-m", "distinct:n=2", "--scope", "first", "--preset", "paper",
        "--encoder", "e", "--dtype", "bfloat16", "--embeddings", "x.npy", "--no-cache", "--tokenizer", "13a",
        "--vocab-size", 7, "--reader", "jsonl", "--outputs-field", "o", "--id-field", "i",
        "--prompt-field", "p", "--prompts", "in.jsonl", "--join", "--keep-reasoning", "--on-error", "skip",
        "--threads", 1, "--memory", "512MB", "--seed", 3, "--backend", "cpu", "--at-k", "2,4", "--at-n", "9",
        "--draws", 5, "--partition", "topic", "--partition-scope", "pooled", "--reward", "judge",
        "--where", "right", "--answers-field", "answer", "--language", "go", "--parser", "tree-sitter",
        "--code-field", "c", "--continuation", "never", "--stop", "}", "--embed", "code",
        "--judge", "j", "--judge-dtype", "float16", "--judge-engine", "vllm",
    )  # fmt: skip
    assert seen == {
        "source": [BASE, SFT],
        "metrics": ["ead", "distinct:n=2"],
        "scopes": ("first",),
        "preset": "paper",
        "encoder": "e",
        "judge": "j",
        "judge_dtype": "float16",
        "judge_engine": "vllm",
        "language": "go",
        "parser": "tree-sitter",
        "code_field": "c",
        "continuation": "never",
        "stop": ("}",),
        "embed": "code",
        "dtype": "bfloat16",
        "embeddings": "x.npy",
        "tokenizer": "13a",
        "vocab_size": 7,
        "reader": "jsonl",
        "outputs_field": "o",
        "id_field": "i",
        "prompt_field": "p",
        "prompts": "in.jsonl",
        "join": True,
        "keep_reasoning": True,
        "on_error": "skip",
        "threads": 1,
        "memory": 512_000_000,
        "seed": 3,
        "partition": "topic",
        "partition_scope": "pooled",
        "reward": "judge",
        "at_k": (2, 4),
        "at_n": (9,),
        "draws": 5,
        "backend": "cpu",
        "cache": False,
        "per_sample": False,
        "plugins": (),
        "where": "right",
        "correct_field": "correct",
        "answers_field": "answer",
        "progress": None,
    }


def test_json_is_the_report():
    result = run(BASE, "--format", "json")
    assert result.exit_code == 0
    printed = json.loads(result.stdout)
    assert list(printed) == ["results", "run"]
    assert printed["results"] == divfast.score(BASE).to_dict()["results"]
    assert [list(entry) for entry in printed["results"]] == [KEYS] * 6


def test_the_table_of_one_dump():
    result = run(BASE)
    assert result.exit_code == 0
    assert result.stderr == (
        "Left out: cosine and vendi need vectors: name --encoder minilm, or bring --embeddings.\n"
    )
    lines = result.stdout.splitlines()
    assert lines[0] == "demo-base, demo, 24 prompts, 192 samples"
    report = divfast.score(BASE)
    ead = report["ead"]
    row = next(line.split() for line in lines if line.startswith("ead "))
    assert row[:4] == ["ead", "prompt", f"{ead.value:.3f}", f"{ead.std:.3f}"]
    assert row[4] == f"{ead.interval[0]:.3f}–{ead.interval[1]:.3f}"
    assert max(map(len, lines)) <= 110
    assert [line for line in lines if "|" in line] == [str(each.signature) for each in report]


def test_the_table_of_a_lineage():
    result = run(BASE, SFT, DPO)
    report = divfast.score([BASE, SFT, DPO])
    prompt, pooled = re.split(r"^pooled: .*$", result.stdout.partition("signatures")[0], flags=re.M)
    for name in ("base", "sft", "dpo"):
        for scope, block in (("prompt", prompt), ("pooled", pooled)):
            row = next(line for line in block.splitlines() if line.startswith(f"demo-{name} "))
            values = [r.value for r in report if r.model == f"demo-{name}" and r.scope == scope]
            assert re.findall(r"\d\.\d{3}", row) == [f"{value:.3f}" for value in values]
    assert max(map(len, prompt.splitlines())) <= 80


def test_bars_show_the_collapse():
    rows = run(BASE, SFT, DPO, "-m", "ead", "--scope", "pooled").stdout.splitlines()
    # eighths of five cells: 0.772 / 0.879 and 0.303 / 0.879 of forty
    cells = {row.split()[0]: row.split()[-1] for row in rows if row.startswith("demo-") and "█" in row}
    assert cells == {"demo-base": "█████", "demo-sft": "████▍", "demo-dpo": "█▊"}


def test_signatures_of_a_lineage_can_be_put_together():
    text = run(BASE, DPO, "-m", "ead", "-m", "distinct").stdout
    signatures = [line for line in text.splitlines() if "|" in line]
    report = divfast.score([BASE, DPO], ["ead", "distinct"])
    assert len(signatures) == 4
    rows = text.rpartition("\n\n")[2].splitlines()
    for i, result in enumerate(report):
        row = next(row for row in rows if row.startswith(f"{result.model} "))
        assert row.split()[:2] == [result.model, "demo"]
        data = row.split()[4]
        assert signatures[i % 4].replace("data:*", f"data:{data}") == str(result.signature)


def test_dumps_without_a_task_have_no_empty_column(tmp_path):
    dumps = [write(tmp_path / f"{name}.jsonl", {"outputs": ["a b", "c"]}) for name in "xy"]
    text = run(*dumps, "-m", "distinct").stdout
    assert not re.search(r"^model +task", text, re.M)
    assert re.search(r"^x +1\.000 █████$", text, re.M)


def test_csv_is_in_full_precision():
    report = divfast.score([BASE, DPO], ["ead", "distinct:n=2"])
    text = run(BASE, DPO, "-m", "ead", "-m", "distinct:n=2", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == [
        "model", "task", "metric", "scope", "value", "std", "low", "high", "groups", "undefined", "unit",
        "signature",
    ]  # fmt: skip
    for row, result in zip(rows, report, strict=True):
        assert float(row["value"]) == result.value
        assert row["signature"] == str(result.signature)
        if result.scope == "prompt":
            assert (float(row["low"]), float(row["high"])) == result.interval
        else:
            assert row["std"] == row["low"] == row["high"] == ""


def test_markdown():
    lines = run(BASE, "-m", "distinct:n=2", "--format", "md").stdout.splitlines()
    assert lines[0].startswith("| metric | scope | value | std | low | high |")
    assert set(lines[1]) == set("| -")
    report = divfast.score(BASE, ["distinct:n=2"])
    assert len(lines) == 2 + len(report)
    for line, result in zip(lines[2:], report, strict=True):
        cells = re.split(r" (?<!\\)\| ", line.strip("| "))
        assert len(cells) == 10
        assert cells[2] == f"{result.value:.3f}"
        assert cells[-1] == f"`{result.signature}`".replace("|", "\\|")


@pytest.mark.parametrize(
    ("values", "digits"),
    [
        ([0.897, 0.332], 3),
        ([0.897, 0.0123], 4),
        ([5.25], 3),
        ([132.4, 0.5], 1),
        ([0.0, float("nan")], 3),
        ([1e-9], 6),
    ],
)
def test_decimals(values, digits):
    assert flat.decimals(values) == digits


def test_standard_input():
    code = [sys.executable, "-m", "divfast", "score", "-", "-m", "ead", "--format", "json"]
    with Path(BASE).open("rb") as file:
        done = subprocess.run(code, stdin=file, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    piped = json.loads(done.stdout)
    assert piped["results"] == divfast.score(BASE, ["ead"]).to_dict()["results"]
    assert piped["run"]["dumps"][0]["dump"] == "stdin"


def test_empty_standard_input():
    done = subprocess.run(
        [sys.executable, "-m", "divfast", "score", "-"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: stdin: is empty.\n       ")


def test_patterns_are_expanded_in_order(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("b", "a", "c"):
        write(tmp_path / f"{name}.jsonl", {"outputs": [name, "x"]})
    text = run("[ab].jsonl", "c.jsonl", "-m", "distinct", "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(dict.fromkeys(row["model"] for row in rows)) == ["a", "b", "c"]


def models(*args):
    """Return the models of a run over several dumps, in order, as the table of prompts has them too."""
    printed = json.loads(run(*args, "-m", "distinct", "--scope", "prompt", "--format", "json").stdout)
    names = [entry["model"] for entry in printed["results"]]
    assert [dump["model"] for dump in printed["run"]["dumps"]] == names
    return names


def test_dumps_of_equal_names_are_told_apart(tmp_path):
    plain = [
        write(tmp_path / folder / "out.jsonl.gz", {"outputs": ["a"]}) for folder in ("x/1", "y/1", "y/2")
    ]
    plain = [path.rename(path.with_name("out.jsonl")) for path in plain]
    assert models(*plain[1:]) == ["1/out", "2/out"]
    assert models(*plain) == ["x/1/out", "y/1/out", "2/out"]
    named = [write(tmp_path / f"{i}.jsonl", {"outputs": ["a"], "model": "m", "task": "t"}) for i in range(2)]
    assert models(*named) == ["m (0)", "m (1)"]
    other = write(tmp_path / "2.jsonl", {"outputs": ["a"], "model": "m", "task": "u"})
    assert models(named[0], other) == ["m", "m"]


def test_the_same_dump_twice_is_one():
    assert run(BASE, BASE, "-m", "ead").stdout.startswith("demo-base, demo, 24 prompts")


def test_parts_are_joined(tmp_path):
    parts = [write(tmp_path / f"{i}.jsonl", {"input_id": "a", "outputs": [f"w{i}"]}) for i in range(3)]
    assert run(*parts, "--join", "-m", "distinct").stdout.startswith("0, 1 prompt, 3 samples\n")


BAD = (
    {"input_id": "a", "outputs": ["x y", "x z"]},
    {"input_id": "b", "outputs": "oops"},
    "{not json",
    {"input_id": "c", "outputs": ["<think>hm</think>yes", None, "<think>only</think>"]},
)


def test_a_bad_record_stops_the_work(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "dump.jsonl", *BAD)
    result = run("dump.jsonl")
    assert (result.exit_code, result.stdout) == (1, "")
    first, second = result.stderr.splitlines()
    assert first == 'Error: dump.jsonl:2: "outputs" must be a list of strings, got a string.'
    assert second.startswith("       Name another field with --outputs-field")
    assert second.endswith("--on-error skip.")


def test_what_happened_is_told_in_one_line_each(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "dump.jsonl", *BAD)
    result = run("dump.jsonl", "--on-error", "skip", "-m", "distinct:n=2")
    assert result.exit_code == 0
    lines = result.stderr.splitlines()
    assert lines[0] == (
        "Reasoning up to </think> was stripped from 2 samples, of which 1 had nothing after it. "
        "Keep it with --keep-reasoning."
    )
    assert lines[1] == "Outputs of null, where the sampler got nothing, that count as empty texts: 1."
    assert lines[2].startswith("Bad records skipped: 2. dump.jsonl:2: ")
    assert " dump.jsonl:3: " in lines[2]
    assert lines[3:] == ["Undefined: distinct:n=2 for 1 of 2 prompts."]
    assert "1 of 2" in result.stdout
    many = [{"outputs": "bad"} for _ in range(9)]
    write(tmp_path / "many.jsonl", BAD[0], *many)
    assert run("many.jsonl", "--on-error", "skip", "-m", "ead").stderr.rstrip().endswith("And 6 more.")


def test_undefined_values(tmp_path):
    dump = write(tmp_path / "d.jsonl", {"input_id": "a", "outputs": []}, {"input_id": "b", "outputs": ["x"]})
    empty = write(tmp_path / "e.jsonl", {"input_id": "a", "outputs": []})
    assert run(dump, "-m", "distinct").exit_code == 0
    assert run(BASE, "-m", "ead", "--strict").exit_code == 0
    result = run(dump, "-m", "distinct", "--strict")
    assert result.exit_code == 3
    assert "signatures" in result.stdout
    result = run(empty, "-m", "distinct")
    assert "undefined" in result.stdout
    assert result.stderr == "Undefined: distinct for 1 of 1 prompts, distinct pooled.\n"
    assert json.loads(run(empty, "-m", "distinct", "--format", "json").stdout)["results"][1]["value"] is None
    result = run(dump, empty, "-m", "distinct")
    assert result.exit_code == 0
    assert (
        result.stderr == "Undefined: distinct (prompt) in 2 of 2 dumps, distinct (pooled) in 1 of 2 dumps.\n"
    )
    assert result.stdout.count("1 undefined") == 3


def test_prompts_of_one_sample_are_told(tmp_path):
    alone = write(tmp_path / "alone.jsonl", *({"prompt": str(i), "output": "a b"} for i in range(3)))
    told = "has one sample, with nothing to compare it with."
    assert f"Every prompt {told}" in run(alone).stderr
    assert f"Every prompt of alone {told}" in run(alone, BASE).stderr
    # Nothing is compared within a prompt, or a filter is why there is one.
    correct = write(tmp_path / "b.jsonl", {"id": 1, "outputs": ["a", "b"], "correct": [True, False]})
    for args in (
        [BASE],
        [alone, "--scope", "pooled"],
        [correct, "--where", "correct"],
        [write(tmp_path / "c.jsonl", {"id": 1, "output": "a", "correct": True}), "-m", "accuracy"],
    ):
        assert told not in run(*args).stderr


def test_embeddings_of_several_dumps(tmp_path):
    dumps = [write(tmp_path / f"{name}.jsonl", {"outputs": ["p", "q"]}) for name in "xy"]
    np.save(tmp_path / "x.npy", np.array([[1, 0], [0, 1]], np.float32))
    np.save(tmp_path / "y.npy", np.array([[1, 0], [1, 0]], np.float32))
    bring = ("--embeddings", tmp_path / "{stem}.npy")
    result = run(*dumps, "-m", "cosine", "--scope", "prompt", *bring)
    assert (result.exit_code, result.stderr) == (0, "")
    assert re.search(r"^x +1\.000 █████\ny +0\.000$", result.stdout, re.M)
    # Each dump has vectors of its own: their fingerprints are told with the dumps.
    assert "|emb:*|" in result.stdout
    assert re.search(r"^model +prompts +samples +emb +file$", result.stdout, re.M)
    result = run(dumps[0], *bring, "--format", "json")
    scored = {entry["metric"] for entry in json.loads(result.stdout)["results"]}
    assert {"ead", "cosine", "vendi"} < scored
    assert "Left out" not in result.stderr
    np.save(tmp_path / "x.npy", np.ones((3, 2), np.float32))
    result = run(dumps[0], *bring)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"Error: {tmp_path / 'x.npy'}: ")


def test_a_terminal_without_unicode():
    env = {**os.environ, "PYTHONIOENCODING": "ascii"}
    code = [sys.executable, "-m", "divfast", "score", BASE, DPO, "-m", "ead", "--scope", "prompt"]
    done = subprocess.run(code, capture_output=True, env=env)
    assert done.returncode == 0
    text = done.stdout.decode("ascii")
    low, high = divfast.score(BASE, ["ead"])["ead"].interval
    assert "0.897 #####" in text
    assert f"{low:.3f}-{high:.3f}" in text
