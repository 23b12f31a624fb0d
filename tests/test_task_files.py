"""Files of tasks, and the command that shows them."""

import csv
import json
import re
from functools import partial
from pathlib import Path

import pytest
from click.testing import CliRunner

from divfast.cli import main
from divfast.errors import DataError, MetricError
from divfast.generation.task import find_task, load_prompts
from sums import SUMS, lines, write_task


def run(*args):
    """Run a command in this process; anything but an exit is raised."""
    return CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)


@pytest.fixture
def sums(tmp_path):
    return partial(write_task, tmp_path)


# Files of tasks


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[1]", "sums.yaml: expected keys and values, got a list."),
        ("", "sums.yaml: expected keys and values, got null."),
        ("a: [", "sums.yaml:1: is not YAML: "),
        ("!!python/object/apply:os.system [ls]", "sums.yaml:1: is not YAML: "),
        ("summary: a\ndataset: b", "sums.yaml: has no format."),
        (SUMS + "promt: x", "sums.yaml: unknown key 'promt'.\nDid you mean "),
        (SUMS + "stops: []", "sums.yaml: unknown key 'stops'.\nDid you mean stop"),
        (SUMS + "1: 2", "sums.yaml: unknown key 1."),
        (SUMS + "stop: x", "sums.yaml: stop: expected a list of texts, got text."),
        (SUMS + "n: many", "sums.yaml: n: expected a whole number of at least 1, got 'many'."),
        (SUMS + "n: 0", "sums.yaml: n: expected a whole number of at least 1, got 0."),
        (
            SUMS + "max_tokens: true",
            "sums.yaml: max_tokens: expected a whole number of at least 1, got True.",
        ),
        (SUMS + "seed: -1", "sums.yaml: seed: expected a whole number of at least 0, got -1."),
        (SUMS + "id: 3", "sums.yaml: id: expected a template, got a number."),
        (SUMS + "chat_format: []", "sums.yaml: chat_format: expected a template, or several, got a list."),
        (SUMS + 'id: "{a | strp}"', "sums.yaml: id: unknown transform 'strp'.\nDid you mean strip"),
        (SUMS + 'filter: {"{a}": {above: 3}}', "sums.yaml: filter: unknown relation 'above'."),
        (
            SUMS + 'filter: {"{a}": {in: 3}}',
            "sums.yaml: filter: 'in' is followed by a list, not by a number.",
        ),
        (
            SUMS.replace("verify: exact", "verify: {as: exact, patern: x}"),
            "sums.yaml: verify: unknown key 'patern'.",
        ),
        (
            SUMS.replace("verify: exact", "verify: {preset: paper}"),
            "sums.yaml: verify: expected text, got null.",
        ),
        (
            SUMS + "id: {a}",
            'sums.yaml: id: expected a template, got an object.\nWrite it in quotes: "{column}".',
        ),
        (SUMS.replace("exact", "exakt"), "sums.yaml: verify: unknown verifier 'exakt'.\nDid you mean exact"),
        (
            SUMS + "judge: {how: pairs}",
            "sums.yaml: judge: how is pair or score or checklist or reference, not 'pairs'.",
        ),
        (SUMS + "judge: {haw: x}", "sums.yaml: judge: unknown key 'haw'.\nDid you mean how"),
        (SUMS + "examples: [{a: 1}]", "sums.yaml: has examples, but not the answer that follows each."),
        (
            SUMS + 'answer: "{sum}"\nexamples: [{a: 1, b: 2}]',
            "sums.yaml: example 1: there is no column 'sum'.",
        ),
        (
            SUMS.replace("gold:", "outputs:"),
            "sums.yaml: columns: a dump says something else under 'outputs'.\nCall it otherwise.",
        ),
    ],
)
def test_files_that_are_no_task(sums, tmp_path, monkeypatch, text, sentence):
    sums(text=text)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        find_task("sums.yaml")
    assert str(caught.value).startswith(sentence)


def test_tasks_that_are_not_there(tmp_path):
    with pytest.raises(MetricError, match=r"unknown task 'gsm9k'\.\nDid you mean gsm8k\?"):
        find_task("gsm9k")
    with pytest.raises(DataError, match=r"gsm9k\.yaml: cannot be read: no such file or directory\."):
        find_task(tmp_path / "gsm9k.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"summary: \xe9")
    with pytest.raises(DataError, match=r"is not UTF-8 text\."):
        find_task(tmp_path / "latin.yaml")


def test_a_task_of_ones_own(sums, tmp_path):
    task = find_task(sums())
    assert (task.name, task.config, task.split, task.verify) == (
        "sums",
        "easy",
        "test",
        {"verifier": "exact"},
    )
    assert (task.n, task.seed, task.stop, task.max_tokens) == (None, None, (), 32768)
    assert task.reads == ["a", "b", "sum"]
    prompts = load_prompts(task, lines(tmp_path / "sums.jsonl"))
    assert [prompt.id for prompt in prompts] == [str(i) for i in range(10)]
    assert (prompts[3].text, prompts[3].columns) == ("3 + 1 =", {"gold": "4"})


def test_filter_shuffle_and_number(sums, tmp_path):
    path = sums('filter: {"{a}": {not in: [0, 1]}}\nseed: 42\nn: 3')
    found = load_prompts(path, lines(tmp_path / "sums.jsonl"))
    # random.Random(42) puts [0, ..., 7] as 3 4 6 7 2 5 0 1.
    assert [(prompt.id, prompt.text) for prompt in found] == [
        ("3", "5 + 1 ="),
        ("4", "6 + 1 ="),
        ("6", "8 + 1 ="),
    ]
    path = sums('id: "sum-{a}"\nn: 2')
    assert [prompt.id for prompt in load_prompts(path, tmp_path / "sums.jsonl")] == ["sum-0", "sum-1"]
    path = sums('id: "sum-{b}"')
    with pytest.raises(DataError, match=r"sums\.jsonl: records 1 and 2 have the same id 'sum-1'\."):
        load_prompts(path, tmp_path / "sums.jsonl")
    path = sums('filter: {"{a}": -1}')
    with pytest.raises(DataError, match=r"sums\.jsonl: holds no record that the task sums takes\."):
        load_prompts(path, tmp_path / "sums.jsonl")


def test_examples(sums, tmp_path):
    more = 'answer: " {sum}"\nexamples: [{a: 1, b: 1, sum: 2}, {a: 2, b: 1, sum: 3}]\n'
    data = lines(tmp_path / "sums.jsonl")
    raw = load_prompts(sums(more), data, 1)[0]
    assert (raw.text, raw.messages) == ("1 + 1 = 2\n\n2 + 1 = 3\n\n0 + 1 =", None)
    chat = load_prompts(sums(more + 'chat_format: "What is {a} + {b}?"'), data, 1, chat=True)[0]
    assert chat.text == "What is 0 + 1?"
    assert chat.messages == [
        {"role": "user", "content": "What is 1 + 1?"},
        {"role": "assistant", "content": "2"},
        {"role": "user", "content": "What is 2 + 1?"},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": "What is 0 + 1?"},
    ]


def test_the_example_of_the_document(tmp_path):
    text = (Path(__file__).parent.parent / "docs" / "tasks.md").read_text("utf-8")
    task = tmp_path / "sums.yaml"
    task.write_text(re.search(r"^```yaml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[1], encoding="utf-8")
    found = load_prompts(task, lines(tmp_path / "sums.jsonl"))
    assert (found[3].text, found[3].columns) == ("What is 3 + 1?", {"gold": "4"})


# The command


def test_tasks_lists_them():
    result = run("tasks")
    assert (result.exit_code, result.stderr) == (0, "")
    for word in ("gsm8k", "openai/gsm8k", "checklist", "817", "Write a story to a prompt"):
        assert word in result.stdout


def test_tasks_in_other_formats():
    listed = json.loads(run("tasks", "--format", "json").stdout)["tasks"]
    assert len(listed) == 15
    gsm8k = next(task for task in listed if task["name"] == "gsm8k")
    assert (gsm8k["dataset"], gsm8k["verify"]) == ("openai/gsm8k", {"as": "gsm8k", "preset": "paper"})
    rows = list(csv.DictReader(run("tasks", "--format", "csv").stdout.splitlines()))
    assert len(rows) == 15
    assert {"task": "xsum", "data set": "xsum", "prompts": "500", "verifier": ""}.items() <= rows[-1].items()
    table = run("tasks", "gsm8k", "sums.yaml", "--format", "md")
    assert (table.exit_code, table.stdout) == (1, "")
    table = run("tasks", "gsm8k", "--format", "md").stdout.splitlines()
    assert len(table) == 3
    assert table[2].startswith("| gsm8k | openai/gsm8k | main | test | 500 | gsm8k |")


def test_tasks_shows_one_with_its_first_prompt(sums, tmp_path):
    data = lines(tmp_path / "sums.jsonl", [{"a": 1, "y": 2, "sum": "3"}])
    result = run("tasks", sums("# a remark"), "--data", data, "--field", "b=y")
    assert result.exit_code == 0, result.stderr
    assert result.stdout.startswith("# sums\n")
    assert "# a remark\n" in result.stdout
    assert result.stdout.endswith("# its first prompt, number 0\n1 + 2 =\n# gold\n3\n")
    result = run("tasks", sums(), "--data", data, "--field", "b=y", "--format", "json")
    (task,) = json.loads(result.stdout)["tasks"]
    assert task["example"] == {"input_id": "0", "prompt": "1 + 2 =", "gold": "3"}


def test_tasks_says_what_is_wrong(sums, tmp_path):
    result = run("tasks", "gsm9k")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Error: unknown task 'gsm9k'.\n       Did you mean gsm8k? Or name a .yaml file of your own.\n"
    )
    result = run("tasks", "--data", tmp_path)
    assert result.exit_code == 2
    assert "--data and --field are for a task: name one." in result.stderr
    result = run("tasks", "gsm8k", "--field", "b")
    assert result.exit_code == 2
    assert "--field is NAME=NAME_THERE, not 'b'." in result.stderr
    result = run("tasks", "gsm8k", "--data", lines(tmp_path / "sums.jsonl"))
    assert result.stderr.startswith("Error: ")
    assert "has no column question, answer, which the task gsm8k reads; it has a, b, sum." in result.stderr
