"""``divfast verify``: what it prints, what it writes, how it ends."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from divfast.cli import main, options
from divfast.cli.verify import verify
from divfast.quality import verified, verifiers
from divfast.sandbox.ways import WAYS, why_not


def run(*args, **more):
    return CliRunner().invoke(main, ["verify", *map(str, args)], catch_exceptions=False, **more)


def dump(path, **columns):
    records = [
        {"input_id": "a", "prompt": "?", "outputs": ["so 4", "so 5"], "gold": "4", **columns},
        {"input_id": "b", "prompt": "?", "outputs": ["7", ""], "gold": "7", **columns},
    ]
    path.write_text("".join(f"{json.dumps(record)}\n" for record in records), encoding="utf-8")
    return path


def test_choices_are_those_of_the_library():
    assert tuple(verifiers.verifiers()) == options.VERIFIERS
    assert ("auto", *WAYS) == options.SANDBOXES
    assert all(parameter.help for parameter in verify.params if parameter.param_type_name == "option")
    assert all(
        f"{name}:" in next(p for p in verify.params if p.name == "verifier").help
        for name in options.VERIFIERS
    )


def test_table_says_how_many_and_how(tmp_path):
    path = dump(tmp_path / "d.jsonl", model="m", task="t")
    done = run(path, "--as", "gsm8k", "-o", tmp_path / "out.jsonl")
    assert done.exit_code == 0
    assert "m, t" in done.stdout
    assert "50.00%" in done.stdout
    assert "gsm8k|prompts:2|samples:4|verifier:1|preset:default|data:" in done.stdout
    assert done.stderr == f"Wrote {tmp_path / 'out.jsonl'}.\n"


def test_beside_the_dump_where_no_file_is_named(tmp_path):
    dump(tmp_path / "a.jsonl")
    dump(tmp_path / "b.jsonl")
    done = run(tmp_path / "*.jsonl", "--as", "gsm8k", "--format", "json")
    assert done.exit_code == 0
    assert [one["correct"] for one in json.loads(done.stdout)["results"]] == [2, 2]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("a.jsonl", "a.verified.jsonl", "b.jsonl", "b.verified.jsonl"),
    ]


@pytest.mark.parametrize("form", ["csv", "md"])
def test_forms(tmp_path, form):
    done = run(dump(tmp_path / "d.jsonl"), "--as", "gsm8k", "--format", form)
    if form == "csv":
        (row,) = csv.DictReader(io.StringIO(done.stdout))
        assert (row["accuracy"], row["incorrect"], row["unparseable"]) == ("0.5", "2", "1")
    else:
        assert done.stdout.startswith("| model |")


def test_errors_are_counted_and_told(tmp_path):
    path = dump(tmp_path / "d.jsonl")
    path.write_text(path.read_text() + '{"input_id": "c", "outputs": ["1", null]}\n')
    done = run(path, "--as", "exact", "-o", tmp_path / "out.jsonl")
    assert "2 x no gold" in done.stdout
    assert "Outputs of null" in done.stderr


def test_several_dumps_are_one_where_said(tmp_path):
    one, other = dump(tmp_path / "a.jsonl"), dump(tmp_path / "b.jsonl")
    out = tmp_path / "out" / "x.jsonl"
    assert run(one, other, "--as", "exact", "-o", tmp_path / "x.jsonl").exit_code == 2
    assert run("-", "--as", "exact", input="").exit_code == 2
    out.parent.mkdir()
    assert run(one, other, "--as", "exact", "-o", out, "--join").exit_code == 0
    assert [len(json.loads(line)["outputs"]) for line in out.read_text().splitlines()] == [4, 4]


def test_options_reach_the_library(tmp_path, monkeypatch):
    real, seen = verified.verify, {}

    def noting(source, **settings):
        seen.update(settings, source=source)
        return real(source, "exact", settings["output"])

    monkeypatch.setattr(verified, "verify", noting)
    path = dump(tmp_path / "d.jsonl")
    words = "--as regex --pattern (x) --gold g --json-field j --limit 2 --seed 3 --labels l"
    words += " --preset paper --reader jsonl --memory 1MB --threads 2 --on-error skip"
    run(path, *words.split(), "-o", tmp_path / "o.jsonl")
    assert seen["source"] == [Path(path)]
    assert {key: seen[key] for key in ("verifier", "pattern", "gold", "json_field", "limit", "seed")} == {
        "verifier": "regex", "pattern": "(x)", "gold": "g", "json_field": "j", "limit": 2.0,
        "seed": 3,
    }  # fmt: skip
    assert (seen["labels"], seen["preset"], seen["reader"], seen["memory"]) == ("l", "paper", "jsonl", 10**6)
    assert (seen["threads"], seen["on_error"]) == (2, "skip")
    assert (seen["allow_code_execution"], seen["sandbox"], seen["continuation"]) == (False, "auto", "auto")
    run(
        path,
        "--as",
        "code",
        "--allow-code-execution",
        "--sandbox",
        "rlimits",
        "--stop",
        "a",
        "--code-field",
        "p",
    )
    assert (seen["allow_code_execution"], seen["sandbox"], seen["limit"]) == (True, "rlimits", None)
    assert (seen["stop"], seen["code_field"]) == (("a",), "p")


def test_no_code_runs_without_permission(tmp_path):
    path = dump(tmp_path / "d.jsonl", tests="assert f() == 1")
    done = run(path, "--as", "code")
    assert done.exit_code == 1
    assert done.stderr.startswith(
        "Error: code runs programs that a model wrote.\n       Say --allow-code-execution"
    )
    assert [file.name for file in tmp_path.iterdir()] == ["d.jsonl"]


def test_where_code_ran_is_told(tmp_path):
    if reason := why_not("bwrap"):
        pytest.skip(f"bubblewrap does not work here: {reason}")
    path = dump(tmp_path / "d.jsonl", tests="assert True")
    done = run(path, "--as", "code", "--allow-code-execution", "--sandbox", "bwrap")
    assert done.exit_code == 0
    assert "\nsandbox: bwrap " in done.stdout


def test_a_gold_answer_is_no_test(tmp_path):
    if reason := why_not("bwrap"):
        pytest.skip(f"bubblewrap does not work here: {reason}")
    words = ("--as", "code", "--allow-code-execution", "--sandbox", "bwrap", "--format", "json")
    # Alone it would run, and pass with whatever stands before it.
    path = dump(tmp_path / "d.jsonl", tests="assert False", gold="pass")
    path.write_text(path.read_text().replace("so 4", "x = 1"))
    (found,) = json.loads(run(path, *words).stdout)["results"]
    assert (found["correct"], found["incorrect"]) == (0, 4)
    done = run(dump(tmp_path / "d.jsonl"), *words)
    assert done.exit_code == 1
    assert 'code needs the field "tests", "test" or "test_list", and no record has one' in done.stderr
    (found,) = json.loads(run(path, *words, "--gold", "gold").stdout)["results"]
    assert found["no_verdict"] == 0


def test_labels_look_for_no_answer(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"outputs": ["a", "b"], "correct": [true, false]}\n')
    (found,) = json.loads(run(path, "--as", "labels", "--format", "json").stdout)["results"]
    assert (found["incorrect"], found["unparseable"]) == (1, 0)


def test_missing_gold_is_one_sentence(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text('{"input_id": "a", "outputs": ["1"], "solution_of": "1"}\n')
    done = run(path, "--as", "exact")
    assert done.exit_code == 1
    assert done.stderr == (
        f'Error: {path}: exact needs the field "gold" or "references", and no record has one; the fields of its '
        "first record are input_id, outputs, solution_of.\n       Name the field with --gold NAME, or a file that has "
        "it for every id with --problems FILE.\n"
    )


@pytest.mark.parametrize(
    ("record", "words", "right"),
    [
        ({"question": "1+1?", "answer": "so\n#### 2", "completion": "2"}, "gsm8k --gold answer", 1),
        (
            {"problem": "?", "solution": r"so \boxed{2}", "generations": [r"\boxed{2}", "3"]},
            "math --gold solution --prompt-field problem",
            1,
        ),
        (
            {"question": "?", "correct_answers": ["a cat"], "output": "A cat!"},
            "truthfulqa --gold correct_answers",
            1,
        ),
        (
            {"outputs": ["a", "a,"], "i": {"instruction_id_list": ["punctuation:no_comma"], "kwargs": [{}]}},
            "ifeval --gold i",
            1,
        ),
        ({"outputs": ["a", "b"], "choice": "B"}, r"regex --pattern (\w) --gold choice", 1),
    ],
)
def test_records_of_pipelines_that_the_documentation_names(tmp_path, record, words, right):
    if words.startswith("math"):
        pytest.importorskip("math_verify")
    path = tmp_path / "d.jsonl"
    path.write_text(json.dumps(record) + "\n")
    (found,) = json.loads(run(path, "--as", *words.split(), "--format", "json").stdout)["results"]
    assert (found["correct"], found["no_verdict"]) == (right, 0)


def test_summary_of_instructions(tmp_path):
    pytest.importorskip("py3langid")
    tests = {"instruction_id_list": ["punctuation:no_comma", "startend:quotation"], "kwargs": [{}, {}]}
    dump(tmp_path / "a.jsonl", tests=tests)
    dump(tmp_path / "b.jsonl", tests={"instruction_id_list": ["x:y"], "kwargs": [{}]})
    done = run(tmp_path / "a.jsonl", "--as", "ifeval", "--loose")
    assert done.exit_code == 0
    assert "correct_strict 0.00%\ncorrect_loose 0.00%\ninst_strict 37.50%\ninst_loose 37.50%\n" in done.stdout
    assert "|rule:loose|" in done.stdout
    many = run(tmp_path / "b.jsonl", tmp_path / "a.jsonl", "--as", "ifeval", "--format", "csv")
    first, second = csv.DictReader(io.StringIO(many.stdout))
    assert (first["inst_strict"], second["inst_strict"]) == ("", "0.375")
