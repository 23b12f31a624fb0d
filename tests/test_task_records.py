"""The records that prompts are made of: local files, and the hub."""

import csv
import gzip
import json
import sys
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from divfast.errors import BackendError, DataError
from divfast.generation.task import load_prompts
from sums import RECORDS, lines, write_task


@pytest.fixture
def sums(tmp_path):
    return partial(write_task, tmp_path)


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
