"""``divfast select``: what it prints, what it writes, how it ends."""

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from divfast import greedy, selection
from divfast.cli import main, options
from divfast.cli.select import select

DEMO = Path(__file__).resolve().parent.parent / "examples" / "demo"
BASE, DPO = str(DEMO / "base.jsonl"), str(DEMO / "dpo.jsonl")


@pytest.fixture
def vectors(tmp_path):
    """Vectors for the 192 samples of a demo dump."""
    np.save(tmp_path / "v.npy", np.random.default_rng(0).standard_normal((192, 12)) + 0.5)
    return tmp_path / "v.npy"


def run(*args, **more):
    """Run ``divfast select`` in this process; anything but an exit is raised."""
    return CliRunner().invoke(main, ["select", *map(str, args)], catch_exceptions=False, **more)


def test_choices_are_those_of_the_library():
    assert options.SELECT_SCOPES == greedy.SCOPES
    assert options.SELECT_METHODS == greedy.METHODS
    arguments = {parameter.name for parameter in select.params}
    assert set(options.READING) <= arguments
    assert all(parameter.help for parameter in select.params if parameter.param_type_name == "option")


def test_options_reach_the_library(monkeypatch, vectors):
    real, seen = selection.select, {}

    def noting(source, k, **settings):
        seen.update(settings, source=source, k=k)
        return real(source, k, embeddings=settings["embeddings"])

    monkeypatch.setattr(selection, "select", noting)
    run(
        BASE, "-k", 5, "--method", "vendi", "--q", 2, "--scope", "prompt", "--embeddings", vectors, "--dtype",
        "float16", "--no-cache", "--draws", 3, "--seed", 3, "--join", "--threads", 1, "--memory", "64MB",
        "--backend", "cpu", "--reader", "jsonl", "--outputs-field", "outputs", "--id-field", "i",
        "--prompt-field", "p", "--prompts", "x.jsonl", "--keep-reasoning", "--on-error", "skip",
    )  # fmt: skip
    assert seen == {
        "source": [BASE], "k": 5, "method": "vendi", "q": 2.0, "scope": "prompt", "encoder": None,
        "embeddings": str(vectors), "dtype": "float16", "cache": False, "draws": 3, "seed": 3, "join": True,
        "threads": 1, "memory": 64_000_000, "backend": "cpu", "reader": "jsonl", "outputs_field": "outputs",
        "id_field": "i", "prompt_field": "p", "prompts": "x.jsonl", "keep_reasoning": True,
        "on_error": "skip", "progress": None,
    }  # fmt: skip


def test_the_table_and_the_file(vectors, tmp_path):
    before = Path(BASE).read_bytes()
    target = tmp_path / "subset.jsonl"
    result = run(BASE, "-k", 20, "--embeddings", vectors, "-o", target)
    assert result.exit_code == 0 and result.stderr == f"Wrote {target}.\n"
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["samples", "Vendi,", "q", "=", "1", "range", "radius", "range"]
    assert [line.split("  ")[0] for line in lines[2:5]] == ["all samples", "selected", "random, mean of 8"]
    found = selection.select(BASE, 20, embeddings=str(vectors))
    assert lines[-1] == str(found.signature)
    assert f"{found.gained[1]['vendi']:.3f}" in lines[3] and f"{found.gained[1]['radius']:.3f}" in lines[3]
    records = [json.loads(line) for line in target.read_text("utf-8").splitlines()]
    assert sum(len(record["outputs"]) for record in records) == 20
    assert all(record["model"] == "demo-base" for record in records)
    assert Path(BASE).read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"v.npy", "subset.jsonl"}
    plain = run(BASE, "-k", 20, "--embeddings", vectors, "--draws", 0).stdout
    assert "random" not in plain and "range" not in plain


def test_other_forms_agree(vectors):
    found = selection.select(BASE, 7, embeddings=str(vectors))
    summary = json.loads(run(BASE, "-k", 7, "--embeddings", vectors, "--format", "json").stdout)
    assert summary["results"] == found.to_dict()["results"]
    assert summary["selected"] == found.samples.to_pylist()
    rows = list(
        csv.DictReader(io.StringIO(run(BASE, "-k", 7, "--embeddings", vectors, "--format", "csv").stdout))
    )
    assert [float(row["vendi"]) for row in rows] == [row["vendi"] for row in found.gained]
    assert len(run(BASE, "-k", 7, "--embeddings", vectors, "--format", "md").stdout.splitlines()) == 5


def test_fewer_samples_than_asked_for(vectors):
    result = run(BASE, "-k", 500, "--embeddings", vectors)
    assert result.exit_code == 0
    assert result.stderr == "All 192 samples were taken: there are no 500.\n"
    result = run(BASE, "-k", 9, "--scope", "prompt", "--embeddings", vectors)
    assert result.stderr == "24 prompts have fewer than 9 samples: all of these were taken.\n"
    assert "means over prompts" in result.stdout


def test_standard_input(tmp_path):
    np.save(tmp_path / "v.npy", np.eye(3))
    line = json.dumps({"input_id": "1", "outputs": ["<think>x</think>a", "b", None]})
    args = ("-k", 2, "--embeddings", tmp_path / "v.npy", "-o", tmp_path / "s.jsonl")
    result = run("-", *args, input=line + "\n")
    assert result.exit_code == 0 and "Reasoning up to </think> was stripped" in result.stderr
    assert json.loads((tmp_path / "s.jsonl").read_text())["outputs"] == ["a", "b"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            ["nope.jsonl", "--embeddings", "v.npy"],
            "Error: nope.jsonl: cannot be read: no such file or directory.\n",
        ),
        (["d.jsonl", "-o", "."], "Error: .: is a folder.\n       Name a file in it.\n"),
        (["d.jsonl", "-o", "d.jsonl"], "Error: d.jsonl: is one of the dumps.\n"),
        (["d.jsonl"], "Error: samples are selected by vectors, and there are none.\n       Name an encoder"),
        (["d.jsonl", "--embeddings", "v.npy"], "Error: v.npy: 3 embeddings for 1 samples.\n"),
        (["d.jsonl", "--embeddings", "v.npy", "--q", "-1"], "Error: q must be greater than 0"),
        (
            ["d.jsonl", "--method", "vendi", "--q", "4"],
            "Error: greedy Vendi is made for orders from 0.5 to 2, got 4.",
        ),
    ],
)
def test_errors_are_one_sentence_with_a_remedy(args, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("d.jsonl").write_text('{"input_id": "0", "outputs": ["a"]}\n')
    np.save("v.npy", np.eye(3))
    result = run("-k", 1, *args)
    assert result.exit_code == 1 and result.stdout == ""
    assert result.stderr.startswith(message)
    assert {path.name for path in tmp_path.iterdir()} == {"d.jsonl", "v.npy"}


@pytest.mark.parametrize(
    "args", [[BASE], [BASE, "-k", "0"], ["-k", "3"], [BASE, "-k", "3", "--scope", "first"]]
)
def test_wrong_usage_exits_2(args):
    assert run(*args).exit_code == 2
