"""Duplicates of dumps on disk: the same in any blocks, threads and memory; what is written beside them."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from divfast.deduplicated import write_kept
from divfast.duplicates import find_duplicates
from divfast.errors import DataError, OutputError
from test_duplicates import clusters, first_of, similar_texts


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A dump of 2,000 samples, and its scattered twin: a line a sample, in another order."""
    folder = tmp_path_factory.mktemp("corpus")
    flat = similar_texts(2000, seed=1) + [""] * 5 + ["漢字" * 40] * 3
    lines = [
        json.dumps({"input_id": str(i), "prompt": f"{i}?", "outputs": flat[i : i + 8]}) + "\n"
        for i in range(0, len(flat), 8)
    ]
    whole = folder / "whole.jsonl"
    whole.write_text("".join(lines), encoding="utf-8")
    order = np.random.default_rng(2).permutation(len(flat))
    scattered = folder / "scattered.jsonl"
    scattered.write_text(
        "".join(json.dumps({"input_id": str(i % 50), "output": flat[i]}) + "\n" for i in order),
        encoding="utf-8",
    )
    return {"whole": whole, "scattered": scattered, "flat": flat, "order": order}


@pytest.mark.parametrize("scope", ["pooled", "prompt"])
@pytest.mark.parametrize("dump", ["whole", "scattered"])
def test_threads_blocks_and_memory_change_nothing(corpus, scope, dump):
    path = corpus[dump]
    plain = find_duplicates(path, scope=scope, threads=1)
    assert 1 < len(set(clusters(plain))) < len(plain)
    for more in (
        {"threads": 2},
        {"threads": 3, "block_rows": 7},
        {"memory": 1},
        {"memory": 200_000, "threads": 2},
        {"memory": 10**9, "block_bytes": 1 << 12},
    ):
        other = find_duplicates(path, scope=scope, **more)
        assert other.samples.equals(plain.samples)
        assert str(other.signature) == str(plain.signature)
        assert other.largest == plain.largest


def test_rows_stand_in_the_order_of_the_dump(corpus):
    found = find_duplicates(corpus["scattered"], exact=True)
    table = found.samples
    assert table.column("position").to_pylist() == list(range(len(found)))
    assert table.column("input_id").to_pylist() == [str(i % 50) for i in corpus["order"]]
    seen = [corpus["flat"][i] for i in corpus["order"]]
    assert first_of(clusters(found)) == first_of(seen)


def test_several_dumps_are_one_corpus(tmp_path):
    for name, outputs in (("a", ["x y z", "other one"]), ("b", ["x y z", "third one"])):
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"input_id": "7", "outputs": outputs}) + "\n")
    paths = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    found = find_duplicates(paths)
    table = found.samples.to_pydict()
    assert table["dump"] == [paths[0]] * 2 + [paths[1]] * 2
    assert table["cluster"] == [0, 1, 0, 2]
    assert table["position"] == [0, 1, 0, 1]
    assert [row["kept"] for row in found.totals()] == [2, 1, 3]
    # Two dumps' prompts are two prompts, unless they are parts of one.
    assert clusters(find_duplicates(paths, scope="prompt")) == [0, 1, 2, 3]
    joined = find_duplicates(paths, scope="prompt", join=True)
    assert clusters(joined) == [0, 1, 0, 2]
    assert joined.samples.column("position").to_pylist() == [0, 1, 2, 3]


def test_the_column_and_the_dump_beside_it(corpus, tmp_path):
    before = corpus["whole"].read_bytes()
    found = find_duplicates(corpus["whole"])
    found.save(tmp_path / "column.parquet")
    assert pq.read_table(tmp_path / "column.parquet").equals(found.samples)
    write_kept(found, tmp_path / "kept.jsonl", [corpus["whole"]])
    records = [json.loads(line) for line in (tmp_path / "kept.jsonl").read_text("utf-8").splitlines()]
    assert [record["input_id"] for record in records] == found.ids.to_pylist()
    texts = [text for record in records for text in record["outputs"]]
    assert texts == [text for text, kept in zip(corpus["flat"], found.kept, strict=True) if kept]
    assert records[1]["prompt"] == "8?"
    again = find_duplicates(tmp_path / "kept.jsonl", exact=True)
    assert again.kept.all()
    assert corpus["whole"].read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["column.parquet", "kept.jsonl"]


def test_a_scattered_dump_is_kept_by_position(corpus, tmp_path):
    found = find_duplicates(corpus["scattered"])
    write_kept(found, tmp_path / "kept.jsonl", [corpus["scattered"]], memory=100_000)
    records = [json.loads(line) for line in (tmp_path / "kept.jsonl").read_text("utf-8").splitlines()]
    kept = {corpus["flat"][i] for i, keep in zip(corpus["order"], found.kept, strict=True) if keep}
    assert sorted(text for record in records for text in record["outputs"]) == sorted(kept)


def test_the_dump_is_never_overwritten(tmp_path):
    dump = tmp_path / "dump.jsonl"
    dump.write_text('{"input_id": "1", "outputs": ["a"]}\n')
    (tmp_path / "link.jsonl").symlink_to(dump)
    found = find_duplicates(dump)
    for target in (dump, tmp_path / "link.jsonl"):
        with pytest.raises(OutputError, match="is one of the dumps"):
            write_kept(found, target, [dump])
    dump.write_text('{"input_id": "1", "outputs": ["a", "b"]}\n')
    with pytest.raises(DataError, match="changed while it was read"):
        write_kept(found, tmp_path / "kept.jsonl", [dump])
    assert not (tmp_path / "kept.jsonl").exists()
