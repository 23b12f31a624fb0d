"""What a study says of errors: the file, the task, and a key of the file where another command has a flag."""

import ast
import re
from pathlib import Path

import numpy as np
import pytest

import divfast
from divfast.cli.study import study as command
from divfast.errors import DataError, DivfastError, MetricError
from divfast.studies import measuring, read_study, study
from divfast.studies.remedies import translated
from studying import outputs, write_dump, write_study


@pytest.fixture
def run(tmp_path):
    """Run a study of two dumps with some keys of its own."""

    def run(*, change=None, out=None, **keys):
        random = np.random.default_rng(0)
        for model in ("base", "sft"):
            samples = [outputs(random, 4, 6) for _ in range(6)]
            write_dump(
                tmp_path / f"{model}.jsonl", samples, correct=[[True, True, False, True]] * 6, gold=["x"] * 6
            )
        if change:
            path = tmp_path / "sft.jsonl"
            path.write_text(change(path.read_text()))
        whole = {
            "lineages": {"a": ["base", "sft"]},
            "tasks": {"t": {}},
            "dumps": "{model}.jsonl",
            "metrics": ["unique"],
        }
        return study(write_study(tmp_path / "s.yaml", **{**whole, **keys}), out)

    return run


@pytest.mark.parametrize(
    ("keys", "what", "remedy"),
    [
        ({"metrics": ["distinct:k=3"]}, "has no parameter 'k'", "Known names: n"),
        ({"metrics": ["distinct:n=x"]}, "'x' is not a number", None),
        ({"metrics": ["cosine"]}, "tasks.t: cosine needs vectors", "with options.encoder (minilm"),
        ({"metrics": ["nli"]}, "tasks.t: nli needs judgments", "with options.judge, such"),
        ({"metrics": ["hill"]}, 'has no column "partition"', "to take with options.partition;"),
        (
            {"metrics": ["majority"]},
            'no sample has a "extracted"',
            "options.answers_field, or make one with tasks.t.verify",
        ),
        (
            {"options": {"embed": "code"}, "metrics": ["cosine"]},
            "no encoder that could",
            "leave out options.embed: code",
        ),
        (
            {"tasks": {"t": {"embed": "code", "metrics": ["cosine"]}}},
            "tasks.t: there",
            "leave out tasks.t.embed: code",
        ),
        ({"options": {"preset": "papr"}}, "tasks.t: unknown preset 'papr'", "Did you mean paper"),
        ({"options": {"reader": "jsn"}}, "tasks.t: unknown reader 'jsn'", "Did you mean json"),
        ({"options": {"on_error": "skp"}}, "options.on_error: must be 'fail' or 'skip'", None),
        ({"options": {"backend": "gpu"}}, "tasks.t: unknown backend 'gpu'", "cpu"),
        ({"options": {"vocab_size": -1}, "metrics": ["ead"]}, "vocab_size must be at least 1, got -1", None),
        (
            {"options": {"outputs_field": "s"}},
            'looked for "s"',
            "with options.outputs_field, or skip bad lines with options.on_error: skip.",
        ),
        ({"options": {"language": "cobol"}, "metrics": ["ast"]}, "unknown language 'cobol'", "python"),
        (
            {"options": {"code_field": "no"}, "metrics": ["ast"]},
            "no field 'no'",
            "leave out options.code_field",
        ),
        (
            {"tasks": {"t": {"verify": "regex"}}},
            "tasks.t: regex needs a pattern",
            "with tasks.t.verify.pattern: 'answer is",
        ),
        (
            {"tasks": {"t": {"verify": {"as": "math", "pattern": "(a)"}}}},
            "is for regex",
            "Say tasks.t.verify.as: regex, or leave out tasks.t.verify.pattern.",
        ),
        (
            {"tasks": {"t": {"verify": {"as": "math", "loose": True}}}},
            "for ifeval",
            "leave out tasks.t.verify.loose",
        ),
        (
            {"tasks": {"t": {"verify": {"as": "exact", "preset": "paper"}}}},
            "no preset paper",
            "Leave out tasks.t.verify.preset.",
        ),
        ({"tasks": {"t": {"verify": {"as": "math", "limit": 0}}}}, "greater than 0 seconds", None),
        (
            {"tasks": {"t": {"verify": {"as": "exact", "gold": "no"}}}},
            'exact needs the field "no"',
            "with tasks.t.verify.gold: NAME.",
        ),
        (
            {"tasks": {"t": {"verify": {"as": "labels", "labels": "no"}}}},
            'no sample has a "no"',
            "with tasks.t.verify: {as: labels, labels: NAME}",
        ),
        (
            {"tasks": {"t": {"verify": "labels"}}, "options": {"correct_field": "no"}},
            'no sample has a "no"',
            "tasks.t.verify",
        ),
        ({"tasks": {"t": {"verify": "code"}}}, "tasks.t: code runs programs", "Say --allow-code-execution"),
        ({"tasks": {"average": {}}}, "tasks.average is not a name for a task", "average over tasks"),
        (
            {"lineages": {"a": ["base", {"retained": "sft"}]}},
            "lineages.a.1 is not a name for a stage",
            "has left",
        ),
        (
            {"factors": {"metric": {"a": "", "b": "x"}}},
            "factors.metric is not a name for a factor",
            "column of that name",
        ),
        ({"study": ["x"]}, "study must be a title, got a list", "quotes"),
        ({"dumps": "x{model}.jsonl"}, "no such file, which would be the dump of base t", "--dumps FOLDER"),
        ({"dumps": "{model}/{.jsonl"}, "no such file", "dumps in the study file"),
    ],
)
def test_errors_are_of_the_study_file(run, tmp_path, keys, what, remedy):
    with pytest.raises(DivfastError) as raised:
        run(**keys)
    error = raised.value
    assert what in f"{error.where}: {error.what}"
    assert error.where.startswith(str(tmp_path))
    assert remedy is None or remedy in error.remedy
    flags = set(re.findall(r"--[a-z][a-z-]*", str(error)))
    assert flags <= {"--allow-code-execution", "--dumps"}
    assert len(str(error).splitlines()) <= 2


@pytest.mark.parametrize(
    ("change", "what", "remedy"),
    [
        (lambda text: "", "is empty", "sampler finished"),
        (lambda text: text[:-30], r"sft\.jsonl:6: expected a JSON", "options.on_error: skip"),
        (lambda text: text.replace('"p1"', '"q1"'), "the prompts differ", "--intersect"),
        (
            lambda text: text.replace("[true, true, false, true]", "[true]", 1),
            "1 values for 4 outputs",
            "options.on_error: skip",
        ),
        (
            lambda text: text.replace("true", '"yes"'),
            "yes.*, which is neither true nor false",
            "true and false",
        ),
        (
            lambda text: re.sub(r'"outputs": \[.*?\]', '"outputs": []', text).replace(
                "[true, true, false, true]", "[]"
            ),
            "4 samples of 'p0' from base t, 0 from sft t",
            "as many samples of each prompt",
        ),
    ],
)
def test_bad_dumps_are_of_the_study_file(run, change, what, remedy):
    with pytest.raises(DataError, match=what) as raised:
        run(change=change, tasks={"t": {"verify": "labels"}})
    assert remedy in raised.value.remedy


@pytest.mark.parametrize(
    ("tasks", "told"),
    [
        (
            {"t": {}, "u": {"verify": {"as": "regex", "pattern": "("}}},
            "tasks.u: the pattern is no regular expression",
        ),
        ({"t": {}, "u": {"verify": "code"}}, "tasks.u: code runs programs"),
        ({"t": {}, "u": {"metrics": "distinct:n=x"}}, "'x' is not a number"),
    ],
)
def test_a_task_that_cannot_be_done_ends_it_before_another_is(run, tmp_path, monkeypatch, tasks, told):
    monkeypatch.setattr(measuring, "score", lambda *_, **__: pytest.fail("scored"))
    for model in ("base", "sft"):
        write_dump(tmp_path / f"{model}-u.jsonl", [["a", "b"]])
    with pytest.raises(MetricError, match=re.escape(told)):
        run(tasks=tasks, dumps="{model}*{task}.jsonl", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_verdicts_of_a_verifier_are_where_it_writes_them(run):
    # What options say of the dump's own column is not of the one that was verified.
    found = run(tasks={"t": {"verify": "exact"}}, options={"correct_field": "right"})
    assert {row["accuracy"] for row in found["quality"].to_pylist()} == {0.0}
    found = run(tasks={"t": {"verify": "labels"}}, options={"correct_field": "correct"})
    assert {row["accuracy"] for row in found["quality"].to_pylist()} == {0.75}


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_files_of_another_encoding(tmp_path, encoding):
    path = write_study(
        tmp_path / "s.yaml", study="x", lineages={"a": ["b", "c"]}, tasks=["t"], dumps="{model}"
    )
    path.write_bytes(path.read_text().replace("study: x", "study: é").encode(encoding))
    with pytest.raises(DataError, match=r"s\.yaml: is not UTF-8\.") as raised:
        read_study(path)
    assert raised.value.remedy == "Save it as UTF-8."


@pytest.mark.parametrize("change", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")])
def test_a_bom_and_ends_of_lines_of_windows(tmp_path, change):
    path = write_study(
        tmp_path / "s.yaml", study="x", lineages={"a": ["b", "c"]}, tasks=["t"], dumps="{model}"
    )
    path.write_bytes(change(path.read_text()).encode())
    assert read_study(path).title == "x"


# Flags in remedies that a study cannot run into: it says the scope and joins files itself, compares nothing with
# --allow, and has neither values per sample nor a corpus.
ELSEWHERE = {
    *("scope", "at-n", "per-sample", "allow", "join", "debug", "kept", "method", "q"),
    "no-log-samples",  # of another program
    *("where", "problems"),  # left out together with what is said of them
}
ROOMS = ("*.py", "readers/*.py", "views/*.py", "quality/*.py", "metrics/*.py")


def flags_in_remedies():
    """Return every flag that the library names where a study may call it."""
    root = Path(divfast.__file__).parent
    for path in sorted(path for room in ROOMS for path in root.glob(room)):
        tree = ast.parse(path.read_text("utf-8"))
        documented = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documented:
                for flag in re.findall(r"(?<![\w-])--([a-z][a-z-]*)", node.value):
                    yield path.relative_to(root).as_posix(), flag


def test_every_flag_that_may_be_named_has_a_key(tmp_path):
    file = write_study(tmp_path / "s.yaml", lineages={"a": ["b", "c"]}, tasks=["t"], dumps="{model}")
    plan = read_study(file)
    own = {option.removeprefix("--") for parameter in command.params for option in parameter.opts}
    found = set(flags_in_remedies())
    assert len(found) > 40
    unknown = {
        (path, flag)
        for path, flag in found
        if flag not in own | ELSEWHERE
        and "--" in translated(plan, "t", f"--{flag}", verifying=path.startswith("quality"))
    }
    assert unknown == set()
