"""Prompts of files: whatever they hold, a dump can hold it, and is gone on with."""

import datetime
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from divfast.errors import DataError
from divfast.generation.dump import Dump, prompt_columns
from divfast.generation.prompt_files import read_prompts
from divfast.generation.prompts import Prompt
from divfast.generation.rendering import Format
from generating import records


def draw_twice(prompts, path):
    """Write a sample of every prompt, as a run does, and begin a second run; return the records."""
    for k in (1, 2):
        with Dump(path) as dump:
            dump.check_prompts(prompts, k)
            dump.start({"k": k})
            for prompt in prompts:
                dump.append({"input_id": prompt.id, **prompt_columns(prompt), "outputs": [f"{k}"]})
            dump.finish(k)
    found = records(path)
    assert [record["outputs"] for record in found] == [["1", "2"]] * len(prompts)
    return found


def test_what_json_cannot_hold(tmp_path):
    table = {
        "prompt": ["a", "b"],
        "at": [datetime.datetime(2026, 1, 31, 12)] * 2,
        "weight": [float("nan"), 1.5],
        "raw": [b"\xff", b"x"],
    }
    pq.write_table(pa.table(table), tmp_path / "p.parquet")
    first, second = draw_twice(read_prompts(tmp_path / "p.parquet")[0], tmp_path / "d.jsonl")
    assert (first["at"], first["weight"], first["raw"]) == ("2026-01-31T12:00:00", None, "\ufffd")
    assert (second["weight"], second["raw"]) == (1.5, "x")


def test_lone_surrogates_and_numbers_without_end(tmp_path):
    (tmp_path / "p.jsonl").write_text(
        '{"id": "i\\ud800", "prompt": "a\\udfff\u2028", "gold": "g\\ud800", "n": 1e400}\n', "utf-8"
    )
    (record,) = draw_twice(read_prompts(tmp_path / "p.jsonl")[0], tmp_path / "d.jsonl")
    assert record["input_id"] == "i\ufffd"
    assert (record["prompt"], record["gold"], record["n"]) == ("a\ufffd\u2028", "g\ufffd", None)


def test_what_a_server_says_is_written_whatever_it_is(tmp_path):
    with Dump(tmp_path / "d.jsonl") as dump:
        dump.start({"k": 1})
        dump.append({"input_id": "a", "outputs": ["\ud800"], "logprobs": [float("-inf")]})
    assert records(tmp_path / "d.jsonl")[0]["logprobs"] == [None]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_numbers_its_prompts_by_their_places(tmp_path, indent):
    (tmp_path / "p.json").write_text(json.dumps([{"prompt": "a"}, {"prompt": "b"}], indent=indent))
    prompts, _ = read_prompts(tmp_path / "p.json")
    assert [prompt.id for prompt in prompts] == ["1", "2"]


def test_columns_under_names_that_the_dump_has_itself(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"input_id": "x", "mine": "y", "prompt": "no", "asked": "yes"}\n')
    prompts, _ = read_prompts(tmp_path / "p.jsonl", id_field="mine", prompt_field="asked")
    (record,) = draw_twice(prompts, tmp_path / "d.jsonl")
    assert (record["input_id"], record["prompt"]) == ("y", "yes")


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        (
            "p.jsonl",
            '{"text": "a"}',
            r"p\.jsonl:1: there is no prompt among text\.\nName its field with --prompt",
        ),
        ("p.jsonl", '{"prompt": null}', r'p\.jsonl:1: "prompt" holds nothing\.'),
        ("p.csv", "id,text\n1,a", r"p\.csv:2: there is no prompt among id, text\."),
        ("p.csv", "id,prompt\n1", r'p\.csv:2: "prompt" holds nothing\.'),
        ("p.csv", "id;prompt\n1;a", r"p\.csv:2: there is no prompt among id;prompt\."),
        (
            "p.csv",
            "id,prompt\n1,a, b",
            r"CSV: line 2 has more values than the first line has names\.\nPut quotes",
        ),
        ("p.csv", 'id,prompt\n1,"a', r"p\.csv: cannot be read as CSV: unexpected end of data"),
        ("p.csv", b"prompt\ncaf\xe9", r"p\.csv: is not UTF-8 \(byte 11\)\."),
        ("p.csv", "id,prompt\n1,a\n1,b", r"p\.csv:3: the id '1' is that of record 2 already"),
        (
            "p.jsonl",
            '{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}]}',
            "a message holds something else than text",
        ),
    ],
)
def test_what_would_be_asked_otherwise_than_meant(tmp_path, name, text, said):
    (tmp_path / name).write_bytes((text if isinstance(text, bytes) else text.encode()) + b"\n")
    with pytest.raises(DataError, match=said):
        read_prompts(tmp_path / name)


@pytest.mark.parametrize(("name", "comma"), [("p.csv", ","), ("p.TSV", "\t"), ("p.csv.gz", ",")])
def test_tables_of_text(tmp_path, name, comma):
    talk = [{"role": role, "content": role} for role in ("system", "user")]
    quoted = json.dumps(talk).replace('"', '""')
    rows = ["prompt", "messages", "references", "gold", "id"], [
        '"Hello, ""you"""', "", '"[""a"", ""b""]"', "[1]", "x"
    ], ['"two\r\nlines"', "", "r", "", ""], ["", f'"{quoted}"', "", "", ""], [*"abcd", "e", ""]  # fmt: skip
    data = b"\xef\xbb\xbf" + "".join(comma.join(row) + "\r\n" for row in rows).encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    found, skipped = read_prompts(tmp_path / name)
    assert skipped == []
    assert [(one.id, one.text, one.messages, dict(one.columns)) for one in found] == [
        ("x", 'Hello, "you"', None, {"references": ["a", "b"], "gold": "[1]"}),
        ("2", "two\r\nlines", None, {"references": "r", "gold": None}),
        ("3", "user", talk, {"references": None, "gold": None}),
        ("e", "a", None, {"references": "c", "gold": "d"}),
    ]


def test_a_table_without_prompts_is_no_dump(tmp_path):
    pq.write_table(pa.table({"text": ["a"]}), tmp_path / "p.parquet")
    with pytest.raises(
        DataError, match=r"there is no prompt among text\.\nName its field with --prompt-field"
    ):
        read_prompts(tmp_path / "p.parquet")
    found, _ = read_prompts(tmp_path / "p.parquet", prompt_field="text")
    assert [one.text for one in found] == ["a"]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"instruction": "Add.", "input": "1, 2"}, "Add.\n\n1, 2"),
        ({"instruction": "Sing.", "input": ""}, "Sing."),
        ({"input": "Only this"}, "Only this"),
        ({"prompt": "This", "instruction": "no", "input": "no"}, "This"),
    ],
)
def test_an_instruction_is_asked_with_its_input(tmp_path, record, text):
    (tmp_path / "p.jsonl").write_text(json.dumps(record) + "\n")
    ((prompt,), _) = read_prompts(tmp_path / "p.jsonl")
    assert prompt.text == text
    assert dict(prompt.columns) == {}


def test_one_system_message_alone():
    talk = Prompt("a", "Hi", [{"role": "system", "content": "s"}, {"role": "user", "content": "Hi"}])
    assert Format().messages(talk) == talk.messages
    with pytest.raises(DataError, match="'a' has a system message of its own"):
        Format(system="other").messages(talk)


def test_a_conversation_is_no_raw_prompt():
    turns = [{"role": role, "content": role} for role in ("system", "user")]
    with pytest.raises(DataError, match="the prompt 'a' is a conversation of 2 messages"):
        Format(chat=False).text(Prompt("a", "user", turns))
    assert Format(chat=False).text(Prompt("a", "user", turns[1:])) == "user"
