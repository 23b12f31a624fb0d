"""Groups are the same however the dump is cut: against grouping by hand, for any records and any block size."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import divfast
from divfast.errors import DataError
from divfast.samples import Samples

texts = st.lists(st.text(max_size=6) | st.none(), max_size=4)
records = st.lists(
    st.fixed_dictionaries(
        {"outputs": texts},
        optional={
            "id": st.sampled_from("abcdefgh") | st.integers(0, 3),
            "prompt": st.sampled_from(["p", "q"]) | st.none(),
            "gold": st.sampled_from(["x", "y"]),
            "task": st.sampled_from(["t", "u"]),
            "scores": st.none() | st.just("fill"),
        },
    ),
    min_size=1,
    max_size=40,
)


def by_hand(rows, first_line=1):
    """Group in the plainest way: returns groups in order of first appearance, and the lines of conflicts."""
    groups: dict[object, dict] = {}
    conflicts = []
    position = 0
    for number, row in enumerate(rows, first_line):
        at = list(range(position, position + len(row["outputs"])))
        position += len(at)
        id = row.get("id")
        name = str(id) if id is not None else str(number)
        key = number if id is None else (str(id), row.get("task"))
        prompt = row.get("prompt")
        group = groups.setdefault(
            key, {"id": name, "prompt": None, "gold": None, "texts": [], "scores": [], "positions": []}
        )
        if prompt is not None and group["prompt"] not in (None, prompt):
            conflicts.append(number)
            continue
        group["prompt"] = group["prompt"] if prompt is None else prompt
        group["gold"] = group["gold"] or row.get("gold")
        group["texts"] += [clean(text) for text in row["outputs"]]
        group["scores"] += row["scores"] if row.get("scores") else [None] * len(row["outputs"])
        group["positions"] += at
    return list(groups.values()), conflicts


def clean(text):
    return (text or "").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def flat(blocks):
    out = []
    for block in blocks:
        scores = block.per_sample.get("scores")
        gold = block.per_prompt.get("gold")
        for i in range(len(block)):
            start, stop = int(block.groups[i]), int(block.groups[i + 1])
            out.append(
                {
                    "id": block.ids[i].as_py(),
                    "prompt": block.prompts[i].as_py(),
                    "gold": None if gold is None else gold[i].as_py(),
                    "texts": block.outputs(i),
                    "scores": [None] * (stop - start) if scores is None else scores[start:stop].to_pylist(),
                    "positions": block.positions[start:stop].tolist(),
                }
            )
    return out


def filled(rows):
    """Give every record that should have scores one for each output."""
    return [
        row | {"scores": [float(j) for j in range(len(row["outputs"]))]} if row.get("scores") else row
        for row in rows
    ]


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@settings(max_examples=300, deadline=None)
@given(rows=records, block_bytes=st.integers(1, 400), block_rows=st.integers(1, 20), document=st.booleans())
def test_any_blocks_equal_grouping_by_hand(tmp_path_factory, rows, block_bytes, block_rows, document):
    rows = filled(rows)
    path = tmp_path_factory.mktemp("dump") / "dump.jsonl"
    if document:
        path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "]", encoding="utf-8")
    else:
        write(path, rows)
    options = {"block_bytes": block_bytes, "block_rows": block_rows, "keep_reasoning": True}
    blocks = divfast.read(path, on_error="skip", **options)
    expected, conflicts = by_hand(rows, 2 if document else 1)
    found = flat(blocks)
    assert found == expected
    assert blocks.counts.get("skipped", 0) == len(conflicts)
    assert len(blocks.skipped) == len(conflicts)
    assert blocks.counts.get("null_outputs", 0) == sum(
        text is None for row in rows for text in row["outputs"]
    )
    # Where there is nothing to skip, the first pass looks at less.
    if not conflicts:
        assert flat(divfast.read(path, **options)) == expected
    # A second pass over the same object says the same.
    assert flat(blocks) == expected
    assert blocks.counts.get("skipped", 0) == len(conflicts)


def test_one_group_over_many_blocks_stays_one(tmp_path):
    rows = [{"id": "a", "output": f"text {i}"} for i in range(2000)]
    rows += [{"id": "b", "output": "other"}]
    blocks = list(divfast.read(write(tmp_path / "d.jsonl", rows), block_bytes=300))
    assert [len(block) for block in blocks] == [1, 1]
    assert blocks[0].outputs(0) == [f"text {i}" for i in range(2000)]
    assert blocks[0].positions.tolist() == list(range(2000))
    assert blocks[1].positions.tolist() == [2000]


def test_scattered_groups_come_in_blocks_of_the_asked_size(tmp_path):
    rows = [{"id": i % 100, "output": "x" * 50} for i in range(2000)]
    blocks = list(divfast.read(write(tmp_path / "d.jsonl", rows), block_bytes=4000))
    whole = Samples.concat(blocks)
    assert len(whole) == 100
    assert whole.ids.to_pylist() == [str(i) for i in range(100)]
    assert whole.positions[:3].tolist() == [0, 100, 200]
    assert all(block.rows <= 80 for block in blocks)
    assert len(blocks) == 25


def test_conflicting_prompts_are_an_error(tmp_path):
    rows = [{"id": 1, "prompt": "p", "outputs": ["a"]}, {"id": 1, "prompt": "q", "outputs": ["b"]}]
    path = write(tmp_path / "d.jsonl", rows)
    with pytest.raises(DataError) as caught:
        list(divfast.read(path))
    assert str(caught.value) == (
        f"{path}:2: id '1' was given another prompt before.\n"
        "Give every prompt an id of its own, name another field with --id-field, "
        "or skip bad lines with --on-error skip."
    )


def test_the_same_id_of_another_task_is_another_group(tmp_path):
    rows = [{"id": 1, "task": task, "prompt": task, "outputs": ["a"]} for task in "ab"]
    whole = Samples.concat(divfast.read(write(tmp_path / "d.jsonl", rows)))
    assert whole.ids.to_pylist() == ["1", "1"]
    assert whole.prompts.to_pylist() == ["a", "b"]


def test_files_of_one_dump_are_joined_by_id(tmp_path):
    parts = [
        write(tmp_path / f"{seed}.jsonl", [{"id": i, "outputs": [f"{seed}-{i}"]} for i in range(3)])
        for seed in range(2)
    ]
    whole = Samples.concat(divfast.read(parts, block_bytes=10))
    assert [whole.outputs(i) for i in range(3)] == [[f"0-{i}", f"1-{i}"] for i in range(3)]


def test_a_dump_that_grows_between_the_passes_is_an_error(tmp_path):
    path = write(tmp_path / "d.jsonl", [{"id": i, "outputs": ["a"]} for i in range(100)])
    blocks = iter(divfast.read(path, block_bytes=500, threads=1))
    next(blocks)
    with path.open("a") as file:
        file.write('{"id": 100, "outputs": ["a"]}\n')
    # A mapped file does not grow; the same rows or an error, never something else.
    rest = []
    try:
        rest = [row for block in blocks for row in range(len(block))]
    except DataError as error:
        assert "changed while it was read" in str(error)
    else:
        assert len(rest) < 100


@pytest.mark.parametrize("name", ["dump.jsonl", "dump.parquet"])
def test_streaming_holds_a_few_blocks(tmp_path, name):
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = [{"id": str(i), "outputs": ["word " * 40] * 16} for i in range(6000)]
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=500, use_dictionary=False)
    else:
        write(path, rows)
    del rows
    tracemalloc.start()
    before = pa.total_allocated_bytes()
    peak = 0
    total = 0
    for block in divfast.read(path, block_bytes=1 << 20, threads=1):
        total += block.rows
        peak = max(peak, pa.total_allocated_bytes() - before)
    traced = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total == 96000
    assert Path(path).stat().st_size > 0
    assert traced < 12 << 20
    assert peak < 12 << 20
