"""What post-training pipelines write without a harness: tables, instructions with an input, answers as they came."""

from __future__ import annotations

import csv
import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import divfast
from divfast.errors import DataError
from divfast.samples import Samples


def everything(path, **options):
    return Samples.concat(divfast.read(path, **options))


def groups(samples):
    return {prompt: samples.outputs(i) for i, prompt in enumerate(samples.prompts.to_pylist())}


def write(path, rows, delimiter=","):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    return path


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_a_table_whose_cells_hold_anything(tmp_path, delimiter):
    texts = ['two\nlines, a "quote"\r\nand a;b\tc', "", "  blanks ", "007", "é日\u2028x"]
    rows = [["p, 1" if i < 3 else "p\n2", text] for i, text in enumerate(texts)]
    path = write(tmp_path / "a.csv", [["prompt", "output"], *rows], delimiter)
    assert divfast.read(path).reader == "csv"
    assert groups(everything(path)) == {"p, 1": texts[:3], "p\n2": texts[3:]}
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(b"\xef\xbb\xbf" + path.read_bytes()))
    assert groups(everything(packed)) == groups(everything(path))


def test_columns_of_a_table_are_those_of_any_dump(tmp_path):
    rows = [[f"{i // 3:03}", "p", f"x{i}", i % 3 == 0, i / 2, "many", "unused"] for i in range(6)]
    header = ["id", "prompt", "completion", "correct", "scores", "model", "else"]
    samples = everything(write(tmp_path / "a.csv", [header, *rows]))
    assert samples.ids.to_pylist() == ["000", "001"]
    assert samples.per_sample["correct"].to_pylist() == [True, False, False] * 2
    assert samples.per_sample["scores"].to_pylist() == [0, 0.5, 1, 1.5, 2, 2.5]
    assert samples.meta["model"] == "many"
    named = write(tmp_path / "b.csv", [["question", "mine"], ["q", "a"]])
    assert groups(everything(named, reader="csv", outputs_field="mine")) == {"q": ["a"]}


def test_rows_of_a_table_that_do_not_fit(tmp_path):
    path = write(tmp_path / "a.csv", [["prompt", "output"], ["p", "a"], ["p", "b", "c"], ["p", "d"]])
    with pytest.raises(DataError, match=r"cannot be read as CSV: Row #3: Expected 2 columns, got 3"):
        everything(path)
    blocks = divfast.read(path, on_error="skip")
    assert groups(Samples.concat(blocks)) == {"p": ["a", "d"]}
    assert blocks.skipped == [f"{path}:3: has 3 cells under 2 names."]
    lists = write(tmp_path / "b.csv", [["prompt", "outputs"], ["p", "['a', 'b']"]])
    with pytest.raises(DataError, match=r'column "outputs" must hold lists of strings, got string'):
        everything(lists)


def test_bytes_of_a_table_that_are_no_text_are_counted(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"prompt,output\np,\xff a\n")
    blocks = divfast.read(path)
    assert groups(Samples.concat(blocks)) == {"p": ["\ufffd a"]}
    assert blocks.counts == {"invalid_utf8": 1}


ALPACA = [
    {"instruction": "Sing", "input": "", "output": "la"},
    {"input": 'a "song"é', "instruction": "Sing", "output": "lo"},
    {"instruction": "Sing", "output": "li", "input": 'a "song"é'},
    {"instruction": "Dance", "input": None, "output": "hop"},
]


@pytest.mark.parametrize("form", ["jsonl", "json", "parquet", "csv"])
def test_an_instruction_goes_on_with_its_input(tmp_path, form):
    path = tmp_path / f"dump.{form}"
    if form == "parquet":
        pq.write_table(pa.Table.from_pylist(ALPACA), path)
    elif form == "csv":
        names = list(ALPACA[0])
        write(path, [names, *([row[name] for name in names] for row in ALPACA)])
    else:
        lines = [json.dumps(row) for row in ALPACA]
        path.write_text("\n".join(lines) if form == "jsonl" else f"[{','.join(lines)}]")
    assert groups(everything(path)) == {"Sing": ["la"], 'Sing\n\na "song"é': ["lo", "li"], "Dance": ["hop"]}
    assert everything(path, prompt_field="instruction").prompts.to_pylist() == ["Sing", "Dance"]


def test_an_input_alone_is_the_prompt(tmp_path):
    path = tmp_path / "dump.jsonl"
    path.write_text('{"input": "p", "output": "a"}\n{"instruction": null, "input": "p", "output": "b"}')
    assert groups(everything(path)) == {"p": ["a", "b"]}
    path.write_text('{"instruction": "i", "input": "n", "prompt": "p", "output": "a"}')
    assert groups(everything(path)) == {"p": ["a"]}


@pytest.mark.parametrize("form", ["chat.completion", "text_completion"])
def test_answers_of_the_openai_protocol_as_they_came(tmp_path, form):
    def choice(i, text):
        said = {"message": {"role": "assistant", "content": text}} if form[0] == "c" else {"text": text}
        return {"index": i, "finish_reason": "stop", **said}

    lines = [
        {"id": f"c-{at}", "object": form, "model": "m", "choices": [choice(1, f"b{at}"), choice(0, f"a{at}")]}
        for at in range(3)
    ]
    path = tmp_path / "dump.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    samples = everything(path)
    assert samples.ids.to_pylist() == ["c-0", "c-1", "c-2"]
    assert samples.outputs(2) == ["a2", "b2"]
    assert samples.meta["model"] == "m"


def test_choices_that_a_question_offers_are_no_answers(tmp_path):
    path = tmp_path / "dump.jsonl"
    path.write_text(json.dumps({"question": "q", "choices": [{"text": "A"}], "outputs": ["a", "b"]}))
    assert groups(everything(path)) == {"q": ["a", "b"]}
