"""Files of tasks, templates, and the records that they are filled with."""

import csv
import gzip
import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from divfast.cli import main
from divfast.errors import BackendError, DataError, MetricError
from divfast.generation.conditions import read_conditions
from divfast.generation.task import find_task, load_prompts
from divfast.generation.task_file import KEYS
from divfast.generation.template import TRANSFORMS, Template, Unfit

ROOT = Path(__file__).resolve().parent.parent
SUMS = """
summary: Add two numbers
dataset: me/sums
config: easy
format: "{a} + {b} ="
columns: {gold: "{sum}"}
verify: exact
"""
RECORDS = [{"a": i, "b": "1", "sum": str(i + 1)} for i in range(10)]


def run(*args):
    """Run a command in this process; anything but an exit is raised."""
    return CliRunner().invoke(main, [str(arg) for arg in args], catch_exceptions=False)


@pytest.fixture
def sums(tmp_path):
    """Write a task of one's own, with more in it, and return its path."""

    def write(more="", text=SUMS):
        path = tmp_path / "sums.yaml"
        path.write_text(text + more, encoding="utf-8")
        return path

    return write


def lines(path, records=RECORDS):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


# Templates


@pytest.mark.parametrize(
    ("template", "record", "value"),
    [
        ("plain", {}, "plain"),
        ("", {}, ""),
        ("{{{a}}}", {"a": 1}, "{1}"),
        ("{a}{b}", {"a": "{b}", "b": 2.5}, "{b}2.5"),
        ("{ a name with blanks }", {"a name with blanks": "x"}, "x"),
        ("{a}", {"a": [1]}, [1]),
        ("{a}", {"a": None}, None),
        ("{a[0]}", {"a": ["x", "y"]}, "x"),
        ("{a[-1][b]}", {"a": [{"b": "x"}, {"b": "y"}]}, "y"),
        ("{a[1]}", {"a": "[1, 2]"}, 2),
        ("{a | strip | lower}", {"a": " AB "}, "ab"),
        ("{a | rstrip .!}", {"a": "hi!.!"}, "hi"),
        ("{a | after ####}", {"a": "#### 1\n#### 2 "}, "2"),
        (r"{a | first boxed}", {"a": r"\boxed{1 \boxed{\frac{1}{2}} and \boxed{3}"}, r"\boxed{\frac{1}{2}}"),
        (r"{a | last boxed}", {"a": r"\boxed{1}, \boxed{\{2\}}, \boxed{"}, r"\boxed{\{2\}}"),
        ("{a | first}", {"a": ["x", "y"]}, "x"),
        ("{a | list}", {"a": "x"}, ["x"]),
        ('{a | join "; "}', {"a": ["x", "y"]}, "x; y"),
        ("{a | join ;}", {"a": ["x", "y"]}, "x;y"),
        ("{a | lines}", {"a": '["x", "y"]'}, "x\ny"),
        ("{a | and b}", {"a": ["x"], "b": "y"}, ["x", "y"]),
        ("{a | and b}", {"a": ["x", "y"], "b": "x"}, ["x", "y"]),
        ("{a | called in b}", {"a": "def g():\n  pass\ndef f(x):\n  pass", "b": ["assert set(f(1))"]}, "f"),
        ("{a | json}", {"a": '{"b": [1]}'}, {"b": [1]}),
        ("{a | json}", {"a": [1]}, [1]),
        ("{a | each json}", {"a": ["{}", {"b": 1}]}, [{}, {"b": 1}]),
        ("{a | without nulls}", {"a": [None, {"b": None, "c": {"d": None}}]}, [None, {"c": {}}]),
        ("{a | non-ascii share}", {"a": "aé"}, 0.5),
        ("{a | non-ascii share}", {"a": ""}, 0.0),
    ],
)
def test_templates(template, record, value):
    assert Template(template).value(record) == value


@given(st.text(), st.text())
def test_what_is_put_in_is_not_read_again(text, value):
    escaped = text.replace("{", "{{").replace("}", "}}")
    assert Template(escaped + "{a}" + escaped).text({"a": value}) == text + value + text


@pytest.mark.parametrize(
    ("template", "record", "sentence"),
    [
        ("{a}", {}, "there is no column 'a'."),
        ("- {a}", {"a": [1]}, "{a} is a list, not text."),
        ("- {a}", {"a": None}, "{a} is null, not text."),
        ("{a[3]}", {"a": ["x"]}, "{a[3]}: there is no [3] in a list."),
        ("{a[b]}", {"a": "text"}, "{a[b]}: there is no [b] in a text."),
        ("{a | lower}", {"a": 3}, "{a | lower}: expected text, got a number."),
        ("{a | lines}", {"a": [3]}, "{a | lines}: expected text, got a number."),
        ("{a | first}", {"a": "x"}, "{a | first}: expected a list, got text."),
        ("{a | first}", {"a": []}, "{a | first}: the list is empty."),
        ("{a | after ####}", {"a": "none"}, "{a | after ####}: there is no #### in it."),
        ("{a | last boxed}", {"a": r"\boxed{1"}, r"{a | last boxed}: there is no \boxed{...} in it."),
        ("{a | and b}", {"a": []}, "{a | and b}: there is no column 'b'."),
        (
            "{a | called in b}",
            {"a": "def f(): pass", "b": "g(1)"},
            "{a | called in b}: it defines no function that is called there.",
        ),
        ("{a | json}", {"a": "{"}, "{a | json}: it is not JSON."),
    ],
)
def test_values_that_do_not_fit(template, record, sentence):
    with pytest.raises(Unfit) as caught:
        Template(template).value(record)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        ("{a", "a brace is left open in '{a'."),
        ("a}", "a brace is left open in 'a}'."),
        ("{}", "{} names no column."),
        ("{a | }", "unknown transform ''."),
        ("{a | stripp}", "unknown transform 'stripp'.\nDid you mean strip"),
        ("{a | after}", "the transform 'after' is followed by a text, not by ''."),
        ("{a | strip x}", "the transform 'strip' is followed by nothing, not by 'x'."),
    ],
)
def test_templates_that_are_none(template, sentence):
    with pytest.raises(DataError) as caught:
        Template(template)
    assert str(caught.value).startswith(sentence)


def test_the_document_lists_every_transform_and_key():
    text = (ROOT / "docs" / "tasks.md").read_text("utf-8")
    for name, transform in TRANSFORMS.items():
        written = f"{name} {transform.argument.split()[-1].upper()}" if transform.argument else name
        assert f"| `{written}` | {transform.summary} |" in text
    table = text[text.index("| key |") : text.index("### Templates")]
    for key in KEYS:
        assert f"`{key}`" in table


# Conditions


@pytest.mark.parametrize(
    ("wanted", "value", "taken"),
    [
        (True, True, True),
        (True, "True", True),
        (True, "false", False),
        ("x", "x", True),
        ("1", 1, False),
        (1, "1", True),
        ({"at least": 2}, 2, True),
        ({"at least": 2}, "1.5", False),
        ({"at least": 2, "at most": 3}, 4, False),
        ({"not": ""}, "", False),
        ({"in": ["a", "b"]}, "b", True),
        ({"not in": ["a", "b"]}, "b", False),
    ],
)
def test_conditions(wanted, value, taken):
    conditions = read_conditions({"{a}": wanted})
    assert all(condition.holds({"a": value}) for condition in conditions) is taken


def test_what_cannot_be_compared():
    (condition,) = read_conditions({"{a}": {"at most": 3}})
    with pytest.raises(Unfit, match=r"\{a\} is text, not to be compared with 3\."):
        condition.holds({"a": "many"})


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
        (SUMS + "id: 3", "sums.yaml: id: expected text, got a number."),
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
        (SUMS + "judge: {how: pairs}", "sums.yaml: judge: how is pair or score or checklist, not 'pairs'."),
        (SUMS + "judge: {haw: x}", "sums.yaml: judge: unknown key 'haw'.\nDid you mean how"),
        (SUMS + "examples: [{a: 1}]", "sums.yaml: has examples, but not the answer that follows each."),
        (
            SUMS + 'answer: "{sum}"\nexamples: [{a: 1, b: 2}]',
            "sums.yaml: example 1: there is no column 'sum'.",
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


# Records


def test_every_format_gives_the_same(sums, tmp_path):
    (tmp_path / "list.json").write_text(json.dumps(RECORDS, indent=1), encoding="utf-8")
    lines(tmp_path / "lines.jsonl")
    (tmp_path / "lines.jsonl.gz").write_bytes(gzip.compress((tmp_path / "lines.jsonl").read_bytes()))
    pq.write_table(pa.Table.from_pylist(RECORDS), tmp_path / "table.parquet")
    with (tmp_path / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["a", "b", "sum"])
        writer.writeheader()
        writer.writerows(RECORDS)
    expected = load_prompts(sums(), tmp_path / "lines.jsonl")
    assert len(expected) == 10
    for name in ("list.json", "lines.jsonl.gz", "table.parquet", "table.csv"):
        assert load_prompts(sums(), tmp_path / name) == expected, name


def test_text_survives_a_csv_file(sums, tmp_path):
    texts = ['a "b", c\n\r\nd', "\u2028\u0085", "[1, 2]", "NA", "007", ""]
    with (tmp_path / "table.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerows([["a", "b", "sum"], *([text, "1", "2"] for text in texts)])
    found = load_prompts(sums(), tmp_path / "table.csv")
    assert [prompt.text for prompt in found] == [f"{text} + 1 =" for text in texts]


def test_a_folder(sums, tmp_path):
    data = tmp_path / "data"
    for name, b in (("easy/test-0", 1), ("easy/test-1", 2), ("easy/train-0", 3), ("hard/test-0", 4)):
        lines(data / f"{name}.jsonl", [{"a": 0, "b": b, "sum": ""}])
    (data / "README.md").write_text("Not data.", encoding="utf-8")
    assert [prompt.text for prompt in load_prompts(sums(), data)] == ["0 + 1 =", "0 + 2 ="]
    # Where no path names the config or the split, all files are it.
    other = tmp_path / "other"
    lines(other / "testing.jsonl", [{"a": 0, "b": 5, "sum": ""}])
    assert [prompt.text for prompt in load_prompts(sums(), other)] == ["0 + 5 ="]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: holds no file that ends in \.jsonl, "):
        load_prompts(sums(), tmp_path / "empty")


def test_columns_that_are_missing(sums, tmp_path):
    data = lines(tmp_path / "sums.jsonl", [{"a": 1, "y": 2, "total": "3"}])
    with pytest.raises(DataError) as caught:
        load_prompts(sums(), data)
    assert str(caught.value) == (
        f"{data}: has no column b, sum, which the task sums reads; it has a, y, total.\n"
        "If a column has another name there, say --field NAME=NAME_THERE."
    )
    found = load_prompts(sums(), data, fields={"b": "y", "sum": "total"})
    assert (found[0].text, found[0].columns) == ("1 + 2 =", {"gold": "3"})
    with pytest.raises(DataError, match=r"the task sums reads no column 'summe'\.\nDid you mean sum"):
        load_prompts(sums(), data, fields={"summe": "total"})


def test_records_that_do_not_fit_are_named(sums, tmp_path):
    data = lines(tmp_path / "sums.jsonl", [*RECORDS[:2], {"a": 1, "b": None, "sum": "3"}])
    with pytest.raises(DataError, match=r"sums\.jsonl, record 3: \{b\} is null, not text\."):
        load_prompts(sums(), data)
    data = lines(tmp_path / "sums.jsonl", [*RECORDS[:2], {"a": 1, "b": 2}])
    with pytest.raises(DataError, match=r"sums\.jsonl, record 3: there is no column 'sum'\."):
        load_prompts(sums(), data)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("none.jsonl", None, "none.jsonl: is not there."),
        ("a.jsonl", b"", "a.jsonl: holds no records."),
        ("a.jsonl", b'{"a": 1\n', "a.jsonl:1: "),
        ("a.jsonl", b"[1]", "a.jsonl:1: expected a JSON object, got "),
        ("a.parquet", b"PAR1 no more", "a.parquet: cannot be read as Parquet: "),
        ("a.csv", b'a,b,sum\n"1', "a.csv: cannot be read as CSV: "),
        ("a.jsonl.gz", b"\x1f\x8b\x08 torn", "a.jsonl.gz: "),
    ],
)
def test_files_that_cannot_be_read(sums, tmp_path, monkeypatch, name, content, sentence):
    path = sums()
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_prompts(path, name)
    assert str(caught.value).startswith(sentence)


class Hub:
    """What the package datasets looks like from here."""

    class Dataset(list):
        column_names = ("a", "b", "sum")

    def __init__(self, error=None):
        self.error, self.asked = error, None

    def load_dataset(self, *where, **more):
        self.asked = where, more
        if self.error:
            raise self.error
        return self.Dataset(RECORDS)


def test_the_hub(sums, monkeypatch):
    hub = Hub()
    monkeypatch.setitem(sys.modules, "datasets", hub)
    found = load_prompts(sums("revision: abc123\nn: 2"))
    assert [prompt.text for prompt in found] == ["0 + 1 =", "1 + 1 ="]
    assert hub.asked == (("me/sums", "easy"), {"split": "test", "revision": "abc123"})
    monkeypatch.setattr(Hub.Dataset, "column_names", ("a", "b"))
    with pytest.raises(
        DataError, match=r"me/sums: has no column sum, which the task sums reads; it has a, b\."
    ):
        load_prompts(sums())


@pytest.mark.parametrize(
    "error",
    [ConnectionError("Couldn't reach it\nat all"), ValueError("Unknown split"), RuntimeError("scripts")],
)
def test_the_hub_does_not_answer(sums, monkeypatch, error):
    monkeypatch.setitem(sys.modules, "datasets", Hub(error))
    with pytest.raises(DataError) as caught:
        load_prompts(sums())
    reason = str(error).split("\n")[0]
    assert str(caught.value) == (
        f"me/sums: cannot be had: {reason}\nCheck the network and its name, or name local files with --data."
    )


def test_without_the_package(sums, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(BackendError) as caught:
        load_prompts(sums())
    assert str(caught.value) == (
        "me/sums is read with the package datasets.\n"
        "pip install 'divfast[generate]', or name local files with --data."
    )


def test_a_folder_that_is_laid_out_like_the_hub(tmp_path):
    """The real package, where it is installed."""
    pytest.importorskip("datasets")
    (tmp_path / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(RECORDS), tmp_path / "data" / "test-00000-of-00001.parquet")
    task = tmp_path / "sums.yaml"
    task.write_text(
        f'summary: Sums\ndataset: {tmp_path / "data"}\nformat: "{{a}} + {{b}} ="\ncolumns: {{gold: "{{sum}}"}}\n'
    )
    found = load_prompts(task)
    assert [(prompt.text, prompt.columns["gold"]) for prompt in found] == [
        (f"{i} + 1 =", str(i + 1)) for i in range(10)
    ]


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
    assert "'b' is not NAME=THERE, such as text=prompt." in result.stderr
    result = run("tasks", "gsm8k", "--data", lines(tmp_path / "sums.jsonl"))
    assert result.stderr.startswith("Error: ")
    assert "has no column question, answer, which the task gsm8k reads; it has a, b, sum." in result.stderr
