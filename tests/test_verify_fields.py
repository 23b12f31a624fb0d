"""What `divfast verify` writes again: every field of a dump, as it stood there."""

import gzip
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import divfast
from divfast.quality.verified import verify
from divfast.readers.others import by_record, json_text

# Of a dump of divfast generate, and what others put beside it.
GENERATED = {
    "reasoning": [None, "2 + 2"],
    "finish_reasons": ["stop", "length"],
    "output_tokens": [3, 4096],
    "logprobs": [-0.25, None],
    "model": "m",
    "task": "t",
    "generation": {
        "model": "m",
        "sampling": {"temperature": 0.6, "stop": ["\n\n"], "top_k": None},
        "seed": 7,
    },
}


def dump(path, *lines):
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


def again(path, tmp_path, verifier="exact", **options):
    verify(path, verifier, tmp_path / "out.jsonl", **options)
    lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line]


def test_a_dump_of_generate_survives_whole(tmp_path):
    record = {"input_id": "a", "prompt": "?", "outputs": ["4", "5"], "gold": "4", **GENERATED}
    path = dump(tmp_path / "d.jsonl", record, {"input_id": "b", "outputs": ["1"], "gold": "1", "task": "t"})
    first, second = again(path, tmp_path)
    assert first == record | {"correct": [True, False], "extracted": ["4", "5"], "expected": "4"}
    assert second == {
        "input_id": "b", "prompt": None, "outputs": ["1"], "gold": "1", "model": "m", "task": "t",
        "correct": [True], "extracted": ["1"], "expected": "1",
    }  # fmt: skip


def test_what_is_unknown_is_copied_as_it_stands(tmp_path):
    others = [
        r'"big": 123456789012345678901234567890',
        r'"digits": ' + "9" * 5000,
        r'"beyond": 1e400',
        r'"as written": 1.50',
        r'"half": "\ud83d"',
        r'"caf\u00e9": {"a": [1, {"b": null}], "\ud83d": "é\u2028"}',
        r'"nothing": null',
        r'"deep": ' + "[" * 3000 + "]" * 3000,
        r'"output": "another"',
    ]
    head = r'{"input_id": "a", "outputs": ["x"], "gold": "x", "correct": [false], '
    path = dump(tmp_path / "d.jsonl", f"{head}{', '.join(others)}}}")
    verify(path, "exact", tmp_path / "out.jsonl")
    line = (tmp_path / "out.jsonl").read_text(encoding="utf-8")
    assert ", ".join(others) in line
    assert line.count('"correct"') == 1
    verify(tmp_path / "out.jsonl", "exact", tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_text(encoding="utf-8") == line


def test_what_is_known_is_copied_too(tmp_path):
    known = [
        r'"gold": ["x", "\ud83d"]',
        r'"references": [1e400, 12345678901234567890123]',
        r'"tests": ' + "[" * 3000 + "]" * 3000,
    ]
    path = dump(tmp_path / "d.jsonl", f'{{"outputs": ["x", "\\ud83d", "y"], {", ".join(known)}}}')
    verify(path, "exact", tmp_path / "out.jsonl")
    line = (tmp_path / "out.jsonl").read_text(encoding="utf-8")
    assert ", ".join(known) in line
    assert '"correct": [true, true, false]' in line


def test_fields_may_come_late_and_in_any_block(tmp_path):
    lines = [{"input_id": str(i), "outputs": ["x"], "gold": "x"} for i in range(40)]
    for i in (25, 39):
        lines[i]["late"] = {"at": i}
    path = dump(tmp_path / "d.jsonl", *lines)
    done = again(path, tmp_path, block_bytes=64, block_rows=3)
    assert {i: record["late"] for i, record in enumerate(done) if "late" in record} == {
        25: {"at": 25},
        39: {"at": 39},
    }


@pytest.mark.parametrize("limits", [{}, {"block_bytes": 64, "block_rows": 2}])
@pytest.mark.parametrize("scattered", [False, True])
def test_lines_of_one_prompt_are_brought_together(tmp_path, scattered, limits):
    lines = [
        {"task_id": 7, "question": "?", "output": "x", "gold": "x", "tokens": 3, "seed": 1},
        {"task_id": 7, "question": "?", "output": "y", "gold": "x", "tokens": 3, "seed": 2},
        {"task_id": 7, "question": "?", "output": "z", "gold": "x", "tokens": 3, "note": "late"},
    ]
    other = {"task_id": 8, "question": "!", "output": "x", "gold": "x"}
    lines[1:1] = [other] if scattered else []
    path = dump(tmp_path / "d.jsonl", *lines, *([] if scattered else [other]))
    first, second = again(path, tmp_path, **limits)
    assert first == {
        "input_id": "7", "prompt": "?", "outputs": ["x", "y", "z"], "gold": "x", "task_id": 7, "question": "?",
        "tokens": [3, 3, 3], "seed": [1, 2, None], "note": [None, None, "late"],
        "correct": [True, False, False], "extracted": ["x", "y", "z"], "expected": "x",
    }  # fmt: skip
    assert (second["task_id"], second["question"]) == (8, "!")


def test_parts_of_a_dump_are_joined_sample_by_sample(tmp_path):
    one = dump(
        tmp_path / "a.jsonl", {"id": "p", "outputs": ["x", "y"], "gold": "x", "tokens": [1, 2], "seed": 5}
    )
    two = dump(tmp_path / "b.jsonl", {"id": "p", "outputs": ["z"], "gold": "x", "tokens": [3], "seed": 6})
    (record,) = again([one, two], tmp_path)
    assert (record["tokens"], record["seed"], record["outputs"]) == ([1, 2, 3], [5, 5, 6], ["x", "y", "z"])


def test_a_record_without_samples_keeps_its_fields(tmp_path):
    path = dump(
        tmp_path / "d.jsonl",
        {"id": "a", "outputs": [], "gold": "x", "level": 3},
        {"outputs": ["x"], "gold": "x"},
    )
    first, second = again(path, tmp_path)
    assert (first["outputs"], first["level"], first["id"]) == ([], 3, "a")
    assert "level" not in second


def test_a_column_of_verdicts_stays_a_list(tmp_path):
    path = dump(tmp_path / "d.jsonl", *({"id": "a", "output": text, "ok": True} for text in "xy"))
    (record,) = again(path, tmp_path, "labels", labels="ok")
    assert record["ok"] == [True, True]


def test_parquet_survives_like_json(tmp_path):
    table = pa.table(
        {
            "input_id": ["a", "b"],
            "outputs": [["4", "5"], ["1"]],
            "gold": ["4", "1"],
            "scores": pa.array([[float("nan"), 1.0], [float("inf")]]),
            "output_tokens": [[3, 4096], [1]],
            "generation": [{"model": "m", "sampling": {"temperature": 0.5}}, None],
            "level": pa.array([2**62 + 1, None], pa.int64()),
            "loss": [float("nan"), -float("inf")],
            "nested": [[{"x": float("nan")}], []],
            "raw": [b"\xff", b"ok"],
            "kind": pa.array(["k", "k"]).dictionary_encode(),
            "at": pa.array([1, None], pa.timestamp("ns")),
        }
    )
    pq.write_table(table, tmp_path / "d.parquet")
    first, second = again(tmp_path / "d.parquet", tmp_path)
    judged = {"correct": [True, False], "extracted": ["4", "5"], "expected": "4"}
    assert first == judged | {
        "input_id": "a", "prompt": None, "outputs": ["4", "5"], "gold": "4", "scores": [None, 1.0],
        "output_tokens": [3, 4096], "generation": {"model": "m", "sampling": {"temperature": 0.5}},
        "level": 2**62 + 1, "loss": None, "nested": [{"x": None}], "raw": "\ufffd", "kind": "k",
        "at": "1970-01-01 00:00:00.000000001",
    }  # fmt: skip
    assert (second["loss"], second["nested"], second["scores"]) == (-float("inf"), [], [float("inf")])
    assert "level" not in second
    # It is a dump again.
    assert divfast.score(tmp_path / "out.jsonl", ["accuracy"])["accuracy"].mean == 0.75


def test_a_row_a_sample_is_brought_together(tmp_path):
    table = pa.table(
        {"id": [1, 1], "output": ["x", "y"], "gold": ["x", "x"], "tokens": [3, 4], "topic": ["a", "a"]}
    )
    pq.write_table(table, tmp_path / "d.parquet")
    (record,) = again(tmp_path / "d.parquet", tmp_path)
    assert (record["tokens"], record["topic"], record["id"]) == ([3, 4], "a", 1)


def test_a_document_survives_in_one_line_a_prompt(tmp_path):
    record = {"id": "a", "outputs": ["x"], "gold": "x", "deep": {"a": [1, 2]}, "s": "\u2028", "big": 10**30}
    path = tmp_path / "d.json"
    path.write_text(json.dumps([record, record | {"id": "b"}], indent=1))
    first, second = again(path, tmp_path)
    assert {name: first[name] for name in record} == record
    assert second["id"] == "b"


def test_an_earlier_verdict_is_replaced(tmp_path):
    lines = {
        "outputs": ["x"],
        "gold": "y",
        "correct": [True],
        "error": ["old"],
        "expected": "old",
        "extracted": ["old"],
    }
    (record,) = again(dump(tmp_path / "d.jsonl", lines), tmp_path)
    assert (record["correct"], record["extracted"], record["expected"]) == ([False], ["x"], "y")
    assert "error" not in record


def test_labels_leave_the_answers_that_are_there(tmp_path):
    bare = {"outputs": ["x", "y"], "ok": [1, 0], "gold": "x"}
    answered = bare | {"extracted": ["a", "b"], "expected": "a"}
    first, second = again(dump(tmp_path / "d.jsonl", bare, answered), tmp_path, "labels", labels="ok")
    assert not {"extracted", "expected"} & set(first)
    assert (second["extracted"], second["expected"], second["correct"]) == (["a", "b"], "a", [True, False])
    lines = [{"id": "p", "output": text, "ok": 1, "extracted": "a"} for text in "xy"]
    (record,) = again(dump(tmp_path / "e.jsonl", *lines), tmp_path, "labels", labels="ok")
    assert record["extracted"] == ["a", "a"]
    assert divfast.score(tmp_path / "out.jsonl", ["majority"])["majority"].mean == 1.0


def test_written_compressed_it_is_the_same(tmp_path):
    path = dump(tmp_path / "d.jsonl", {"outputs": ["x"], "gold": "x", "a": [1, {"b": 2}]})
    verify(path, "exact", tmp_path / "out.jsonl")
    verify(path, "exact", tmp_path / "out.jsonl.gz")
    assert gzip.decompress((tmp_path / "out.jsonl.gz").read_bytes()) == (tmp_path / "out.jsonl").read_bytes()


def test_text_of_json_is_json():
    assert json_text([float("nan"), float("inf"), "\ud800", "é", b"\xff", {"a": -float("inf")}]) == (
        '[null, 1e999, "\\ud800", "é", "\\\\xff", {"a": -1e999}]'
    )
    samples, prompts = by_record(pa.array(["a", "b"]), pa.array([0, 0, 2]).to_numpy())
    assert (samples.to_pylist(), prompts.to_pylist()) == (["b", None], ["a", None])
