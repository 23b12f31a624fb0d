"""Documents: the formats that training text and evaluations come in."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from divfast.overlap import overlap


def texts(*documents):
    return pa.array(documents, pa.large_string())


def coverage(report):
    return report.documents["coverage"].to_numpy()


def lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


DOCUMENTS = ["one two three four", "five six seven eight"]


def chat(text):
    half = text.split()
    return [
        {"role": "user", "content": " ".join(half[:2])},
        {"role": "assistant", "content": " ".join(half[2:])},
    ]


def formats(folder):
    yield lines(folder / "text.jsonl", *({"id": i, "text": text} for i, text in enumerate(DOCUMENTS)))
    yield lines(folder / "content.jsonl", *({"content": text} for text in DOCUMENTS))
    yield lines(folder / "chat.jsonl", *({"messages": chat(text)} for text in DOCUMENTS))
    yield lines(
        folder / "sharegpt.jsonl", {"conversations": [{"from": "a", "value": text} for text in DOCUMENTS]}
    )
    yield lines(folder / "sft.jsonl", {"prompt": DOCUMENTS[0], "completion": DOCUMENTS[1]})
    yield lines(folder / "dump.jsonl", {"prompt": "x", "outputs": ["y", *DOCUMENTS]})
    (folder / "list.json").write_text(json.dumps([{"text": text} for text in DOCUMENTS]))
    yield folder / "list.json"
    (folder / "plain.txt").write_text("\n".join(DOCUMENTS))
    yield folder / "plain.txt"
    (folder / "packed.jsonl.gz").write_bytes(gzip.compress((folder / "text.jsonl").read_bytes()))
    yield folder / "packed.jsonl.gz"
    pq.write_table(pa.table({"text": DOCUMENTS, "id": [1, 2]}), folder / "text.parquet")
    yield folder / "text.parquet"
    pq.write_table(pa.table({"messages": [chat(text) for text in DOCUMENTS]}), folder / "chat.parquet")
    yield folder / "chat.parquet"
    pq.write_table(pa.table({"prompt": ["x"], "outputs": [DOCUMENTS]}), folder / "dump.parquet")
    yield folder / "dump.parquet"


def test_every_format_is_training_text(tmp_path):
    for path in formats(tmp_path):
        found = overlap(path, texts(*DOCUMENTS, "four six"), n=3)
        np.testing.assert_array_equal(coverage(found), [1.0, 1.0, np.nan], err_msg=path.name)


def test_every_format_is_an_evaluation(tmp_path):
    for path in formats(tmp_path):
        if path.stem not in ("sft", "dump"):
            assert overlap(texts(*DOCUMENTS), path, n=2)[0].covered in (7, 8), path.name


def test_an_evaluation_is_what_it_asks(tmp_path):
    record = {"id": 7, "question": "one two three", "answer": "five six seven"}
    path = lines(tmp_path / "q.jsonl", record)
    found = overlap(texts(*DOCUMENTS), path, n=2)
    assert found.documents.to_pylist() == [
        {"evaluation": "q", "document": "7", "line": 1, "tokens": 3, "covered": 3, "coverage": 1.0}
    ]
    both = overlap(texts("five six"), path, n=2, eval_fields=["question", "answer"])
    np.testing.assert_array_equal(coverage(both), [0.0, 2 / 3])


def test_gold(shared):
    gold = shared / "data" / "gold"
    found = overlap(gold / "math_test_5000.jsonl.gz", sorted(gold.glob("*.jsonl.gz")))
    assert len(found) == 10
    # Every problem of math500 is one of math_test_5000, and the training text is what that one holds beside "problem".
    with gzip.open(gold / "math_test_5000.jsonl.gz", "rt") as file:
        problems = [json.loads(line)["problem"] for line in file]
    again = overlap(texts(*problems), gold / "math500.jsonl.gz")[0]
    assert again.value == 1.0 and again.documents == 500
