"""``divfast study``: what it prints, and how it ends."""

import csv
import io
import json

import numpy as np
import pytest
from click.testing import CliRunner

from divfast.cli import main, options
from divfast.cli.study import study as command
from divfast.studies.conducting import TABLES
from studying import outputs, write_dump, write_study


def run(*args, **more):
    return CliRunner().invoke(main, ["study", *map(str, args)], catch_exceptions=False, **more)


@pytest.fixture
def file(tmp_path):
    random = np.random.default_rng(0)
    for model, spread in (("base", 10), ("sft", 4)):
        for task in ("x", "y"):
            samples = [outputs(random, 4, spread) for _ in range(25)]
            correct = [[bool(value) for value in random.integers(0, 2, 4)] for _ in range(25)]
            write_dump(tmp_path / "dumps" / f"{model}-{task}.jsonl", samples, correct=correct)
    return write_study(
        tmp_path / "s.yaml",
        study="Small",
        lineages={"a": [{"base": "base"}, {"sft": "sft"}]},
        tasks={"x": {"verify": "labels"}, "y": {"verify": "labels"}},
        dumps="dumps/{model}-{task}.jsonl",
        metrics=["unique", "distinct:n=1"],
        options={"at_k": [2], "answers_field": "outputs"},
    )


def test_choices_are_those_of_the_library():
    assert options.STUDY_TABLES == TABLES
    assert all(parameter.help for parameter in command.params if parameter.param_type_name == "option")


def test_summary(file, tmp_path):
    done = run(file, "-o", tmp_path / "out")
    assert done.exit_code == 0
    assert done.stdout.startswith("Small: 2 models, 2 tasks\n")
    for told in (
        "Share of each stage in % of the base, averaged over tasks",
        "Loss against the base, and what is left of it among right samples",
        "Accuracy, and what a majority vote gains",
        "after Holm's correction",
    ):
        assert told in done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("distinct:n=1  a ")]
    assert line.count("[") == 2
    assert "*" in line
    assert "@k=2" not in done.stdout
    remark, scored, *_ = done.stderr.splitlines()
    assert remark.startswith("Decomposition: unique, distinct:n=1 depend on K, and")
    assert scored == "Scored 4 dumps; 0 were known."
    assert done.stderr.splitlines()[-1].startswith(f"Wrote {tmp_path / 'out'}: ")
    assert run(file, "-o", tmp_path / "out").stderr.splitlines()[1] == "Scored 0 dumps; 4 were known."


@pytest.mark.parametrize("form", ["table", "json", "csv", "md", "tex"])
def test_one_table_in_every_form(file, form):
    done = run(file, "--table", "attribution", "--format", form)
    assert done.exit_code == 0
    if form == "json":
        (rows,) = json.loads(done.stdout)["tables"].values()
        assert {row["task"] for row in rows} == {"x", "y", "average"}
    if form == "csv":
        assert {row["metric"] for row in csv.DictReader(io.StringIO(done.stdout))} == {
            *("unique", "unique@k=2", "distinct:n=1", "distinct:n=1@k=2"),
        }
    assert {"table": "retained", "md": "| retained |", "tex": "& retained &"}.get(form, "") in done.stdout


def test_means_on_the_command_line(tmp_path):
    (tmp_path / "m.csv").write_text("model,x\nbase,0.4\nsft,0.1\n")
    file = write_study(tmp_path / "s.yaml", lineages={"a": ["base", "sft"]})
    done = run(file, "--means", f"cosine={tmp_path / 'm.csv'}")
    assert done.exit_code == 0
    assert done.stderr == "Of means there are neither intervals nor tests.\n"
    assert next(line for line in done.stdout.splitlines() if line.startswith("cosine")).split() == [
        *("cosine", "a", "-75", "25"),
    ]


def test_no_file_of_means_is_dropped(file, tmp_path):
    for names in (["", ""], ["a=", "a="]):
        done = run(file, *(word for name in names for word in ("--means", f"{name}{tmp_path / 'm.csv'}")))
        assert done.exit_code == 2
        assert "several --means must differ in name: say METRIC=FILE for each." in done.stderr


def test_an_unknown_metric_is_told_with_the_file(tmp_path):
    file = write_study(
        tmp_path / "s.yaml", lineages={"a": ["b", "c"]}, tasks=["t"], dumps="{model}.jsonl", metrics=["eadd"]
    )
    for name in "bc":
        (tmp_path / f"{name}.jsonl").write_text('{"outputs": ["x", "y"]}\n')
    assert run(file).stderr.startswith(f"Error: {file}: unknown metric 'eadd'.")


def test_usage_and_errors(file, tmp_path):
    done = run(file, "--format", "csv")
    assert done.exit_code == 2
    assert "name it with --table" in done.stderr
    done = run(tmp_path / "none.yaml")
    assert done.exit_code == 1
    assert done.stderr.splitlines()[0].endswith("none.yaml: cannot be read: no such file or directory.")
    done = run(file, "--dumps", tmp_path)
    assert done.exit_code == 0
    done = run(file, "--dumps", tmp_path / "elsewhere")
    assert done.exit_code == 1
    assert "no such file, which would be the dump of base x" in done.stderr
    done = run(file, "--table", "factors")
    assert done.exit_code == 1
    assert "this study has no table 'factors'" in done.stderr
    (tmp_path / "dumps" / "sft-x.jsonl").unlink()
    assert run(file, "-o", tmp_path / "s.yaml").exit_code == 1


def test_intersect(file, tmp_path):
    path = tmp_path / "dumps" / "sft-x.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[5:]))
    done = run(file)
    assert done.exit_code == 1
    assert "base x has 25 and sft x has 20, of which 20 are in both" in done.stderr
    done = run(file, "--intersect")
    assert done.exit_code == 0
    assert "x: 20 prompts that all dumps have, of up to 25." in done.stderr
