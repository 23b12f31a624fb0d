"""``divfast overlap``: what it prints, what it writes, how it ends."""

import csv
import io
import json

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

import divfast.overlap
from divfast.cli import main
from divfast.cli.overlap import index, overlap


def run(*args, **more):
    """Run ``divfast overlap`` in this process; anything but an exit is raised."""
    return CliRunner().invoke(main, ["overlap", *map(str, args)], catch_exceptions=False, **more)


@pytest.fixture
def files(tmp_path):
    train, one, two = (tmp_path / name for name in ("train.jsonl", "one.jsonl", "two.jsonl"))
    train.write_text('{"text": "a b c d e"}\n')
    one.write_text('{"question": "x a b c"}\n{"question": "a"}\n')
    two.write_text('{"id": "q7", "prompt": "c d e y z"}\n{"prompt": "e d c"}\n')
    return train, one, two


def test_every_option_is_there_and_explained():
    names = {name for parameter in overlap.params for name in parameter.opts}
    assert names >= {
        "--eval", "--eval-field", "-n", "--tokenizer", "--field", "--passages", "--on-error", "--threads", "--memory",
        "--seed", "--format", "-o", "--output", "--strict", "--debug",
    }  # fmt: skip
    # What is written of `overlap index` is checked against the options of `overlap`.
    assert {name for parameter in index.params for name in parameter.opts} <= names
    for command in (overlap, index):
        assert all(one.help for one in command.params if one.param_type_name == "option")
        assert "Example:" in command.help


def test_the_table(files):
    train, one, two = files
    result = run(train, "--eval", one, "--eval", two, "-n", 2)
    assert result.exit_code == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert rows[2] == ["one", "0.750", "2", "1", "3", "of", "5"]
    assert (rows[3][:2] == ["two", "0.300"] and rows[3][-4:] == ["3", "of", "8"][-4:]) or rows[3][-3:] == [
        "3",
        "of",
        "8",
    ]
    assert result.stderr == "Undefined, since shorter than one n-gram: 1 document.\n"
    assert (
        sum(
            line.startswith("overlap:n=2|documents:2|tok:words|train:") for line in result.stdout.splitlines()
        )
        == 2
    )


def test_passages(files):
    train, _one, two = files
    result = run(train, "--eval", two, "-n", 2, "--passages")
    (row,) = (line for line in result.stdout.splitlines() if line.startswith("two:1"))
    assert row.split()[:6] == ["two:1", "(q7)", "0-3", "c", "d", "e"]
    found = json.loads(run(train, "--eval", two, "-n", 2, "--passages", "--format", "json").stdout)
    assert found["passages"][0]["train"] == str(train) and found["passages"][0]["train_line"] == 1


def test_formats_say_the_same(files):
    train, one, two = files
    words = (train, "--eval", one, "--eval", two, "-n", 2, "--format")
    entries = json.loads(run(*words, "json").stdout)["results"]
    assert [entry["value"] for entry in entries] == [0.75, 0.3]
    read = list(csv.DictReader(io.StringIO(run(*words, "csv").stdout)))
    assert [float(row["value"]) for row in read] == [0.75, 0.3]
    assert [row["signature"] for row in read] == [entry["signature"] for entry in entries]
    assert run(*words, "md").stdout.startswith("| evaluation | metric | value | std | low | high |")


def test_a_folder(files, tmp_path):
    train, one, _two = files
    result = run(train, "--eval", one, "-n", 2, "-o", tmp_path / "out", "--passages")
    assert result.exit_code == 0 and result.stdout == ""
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "documents.parquet", "passages.parquet", "report.json",
    ]  # fmt: skip
    assert pq.read_table(tmp_path / "out" / "documents.parquet")["covered"].to_pylist() == [3, 0]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["results"][0]["value"] == 0.75


def test_an_index_is_built_and_searched(files, tmp_path):
    train, one, _two = files
    built = run("index", train, "-o", tmp_path / "t.idx", "-n", 2, "--memory", "64MB")
    assert built.exit_code == 0 and built.stdout == ""
    assert built.stderr == f"Wrote {tmp_path / 't.idx'}: 4 different 2-grams of 1 document, 5 tokens.\n"
    by_index = json.loads(run(tmp_path / "t.idx", "--eval", one, "--format", "json").stdout)
    assert (
        by_index["results"]
        == json.loads(run(train, "--eval", one, "-n", 2, "--format", "json").stdout)["results"]
    )
    refused = run(tmp_path / "t.idx", "--eval", one, "-n", 3)
    assert refused.exit_code == 1 and "is an index of n-grams of order 2, not 3" in refused.stderr


def test_how_it_ends(files, tmp_path):
    train, one, two = files
    assert run(train, "--eval", one, "-n", 2, "--strict").exit_code == 3
    assert run(train, "--eval", two, "-n", 2, "--strict").exit_code == 0
    assert run(train).exit_code == 2 and run("--eval", one).exit_code == 2
    assert run(train, "--eval", one, "-n", 0).exit_code == 2
    assert run("index", train).exit_code == 2
    refused = run("index", train, "-o", train)
    assert refused.exit_code == 1 and "is there already and is no index" in refused.stderr
    missing = run(train, "--eval", one, "--eval-field", "questions")
    assert missing.exit_code == 1 and "Did you mean question?" in missing.stderr
    assert run("index", "-h").stdout.startswith("Usage: main overlap index [OPTIONS] TRAIN...")


def test_standard_input(files):
    train, one, _two = files
    result = run("-", "--eval", one, "-n", 2, "--format", "json", input=train.read_text())
    assert json.loads(result.stdout)["results"][0]["value"] == 0.75


def test_options_reach_the_library(files, monkeypatch):
    train, one, _two = files
    real, seen = divfast.overlap.overlap, {}

    def noting(source, evaluation, **settings):
        seen.update(settings, source=source, evaluation=evaluation)
        return real(source, evaluation, n=2)

    monkeypatch.setattr(divfast.overlap, "overlap", noting)
    run(
        train, "--eval", one, "--eval-field", "q", "--field", "a", "--field", "b", "-n", 5, "--tokenizer", "13a",
        "--on-error", "skip", "--threads", 1, "--memory", "1GB", "--seed", 4,
    )  # fmt: skip
    assert seen == {
        "source": [str(train)], "evaluation": [str(one)], "eval_fields": ("q",), "fields": ("a", "b"), "n": 5,
        "tokenizer": "13a", "on_error": "skip", "threads": 1, "memory": 10**9, "seed": 4, "passages": False,
        "progress": None,
    }  # fmt: skip
