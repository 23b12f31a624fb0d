"""JSON Lines are read 64 bytes at a time, and the samples of a long dump only once: nobody notices."""

from __future__ import annotations

import json
import threading
import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import divfast
from divfast import _core, engine
from divfast.errors import DataError
from divfast.readers.jsonl import _values
from divfast.samples import Ragged, Samples


def parsed(data, **options):
    fields = {"outputs": [("outputs", False)], "ids": ["id"], "prompts": ["prompt"]}
    batches = _core.parse_jsonl(data, 1, **fields, qualifiers=[], carried=[], skip=False, **options)
    assert len(batches) == 1
    return batches[0]


def texts_of(batch):
    values, offsets = batch["text"]
    return [bytes(values[a:b]).decode() for a, b in pairwise(offsets)]


@pytest.mark.parametrize("special", ["\n", '"', "\\", "\\\\", '\\"', "\u0001", "é", "\n\n\t", "😀", "\ud800"])
@pytest.mark.parametrize("rest", [0, 300])
def test_what_is_escaped_may_stand_anywhere_in_a_block(special, rest):
    for before in range(140):
        outputs = ["x" * before + special, special + "y" * before + special + special, "z" * rest]
        data = json.dumps({"outputs": outputs}).encode()
        assert texts_of(parsed(data)) == [text.replace("\ud800", "\ufffd") for text in outputs]
        if special != "\ud800":
            raw = json.dumps({"outputs": outputs}, ensure_ascii=False).encode()
            assert texts_of(parsed(raw)) == outputs


@pytest.mark.parametrize("wrong", [b"\n", b"\x00", b"\\x", b"\\u12", b"\xff", b"\xed\xa0\x80", b'"', b"\\"])
def test_what_is_wrong_may_stand_anywhere_in_a_block(wrong):
    for before in range(140):
        data = b'{"outputs": ["' + b"x" * before + wrong + b"yyy" * 60 + b'"]}'
        batch = parsed(data)
        assert batch["errors"]
        assert len(batch["lines"]) == 0
        assert batch["text"][1].tolist() == [0]


pieces = st.lists(st.sampled_from(['"', "\\", "\n", "word ", "x" * 63, "é", "\u2028", ""]), max_size=12)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"outputs": st.lists(pieces.map("".join), max_size=3)},
            optional={
                "id": pieces.map("".join),
                "prompt": pieces.map("".join),
                "x": st.just(['"]}', {"id": 1}]),
            },
        ),
        max_size=6,
    ),
    st.booleans(),
)
def test_a_survey_finds_the_same_ids_and_prompts(rows, ascii):
    data = "".join(json.dumps(row, ensure_ascii=ascii) + "\n" for row in rows).encode()
    whole, survey = parsed(data), parsed(data, texts=False)
    for name in ("ids", "keys", "prompts"):
        assert bytes(survey[name][0]) == bytes(whole[name][0])
        assert survey[name][1].tolist() == whole[name][1].tolist()
    for name in ("has_id", "has_prompt", "single", "lines", "records"):
        assert survey[name].tolist() == whole[name].tolist()
    assert not survey["errors"]
    assert len(survey["text"][0]) == 0


@pytest.mark.parametrize("wrong", [b"\x01", b"\\x", b"\xff"])
def test_a_survey_leaves_the_inside_of_samples_to_the_second_pass(tmp_path, wrong):
    """A long dump is refused all the same, with the same words, and without its bad lines where they may be skipped."""
    lines = [b'{"id": %d, "outputs": ["%s"]}\n' % (i, b"a" * 200) for i in range(100)]
    lines[70] = b'{"id": 70, "outputs": ["%s"]}\n' % (wrong + b"a" * 200)
    path = tmp_path / "dump.jsonl"
    path.write_bytes(b"".join(lines))
    with pytest.raises(DataError) as short:
        list(divfast.read(path))
    with pytest.raises(DataError) as long:
        list(divfast.read(path, block_bytes=1000))
    assert str(long.value) == str(short.value)
    assert str(long.value).startswith(f"{path}:71: ")
    whole = Samples.concat(divfast.read(path, block_bytes=1000, on_error="skip"))
    assert whole.ids.to_pylist() == [str(i) for i in range(100) if i != 70]


@pytest.mark.parametrize(
    ("texts", "counts", "flags"),
    [
        (["[true, false,null]", "", "true", "null", "[]"], [3, 2, 1, 2, 0], [1, 0, -1, -1, -1, 1, -1, -1]),
        (["[ true\t]"], [1], [1]),
        ([], [], []),
        (["[true]"], [2], None),
        (["[true, false]"], [1], None),
        (["true"], [0], None),
        (["false"], [2], None),
        (["[]"], [1], None),
        (["[true, 1]"], [2], None),
        (["[[true]]"], [1], None),
        (["[true"], [1], None),
        (["[tru"], [1], None),
        (["["], [0], None),
    ],
)
def test_labels_by_hand(texts, counts, flags):
    rows = Ragged.from_strings(texts)
    found = _core.json_flags(rows.values, rows.offsets, np.cumsum([0, *counts]))
    assert flags is None if found is None else found.tolist() == flags


labels = st.lists(st.none() | st.booleans(), max_size=4) | st.none() | st.booleans() | st.just([1])


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(labels, st.integers(0, 4), st.booleans()), max_size=6))
def test_labels_are_what_python_reads(rows):
    texts = [json.dumps(value, indent=1 if wide else None) for value, _, wide in rows]
    expected: list[bool | None] | None = []
    for value, count, _ in rows:
        items = [None] * count if value is None else value if isinstance(value, list) else [value]
        fits = len(items) == count and int not in map(type, items)
        expected = expected + items if fits and expected is not None else None
    raw = Ragged.from_strings(texts)
    assert _values(raw) == [value for value, _, _ in rows]
    found = _core.json_flags(raw.values, raw.offsets, np.cumsum([0, *(count for _, count, _ in rows)]))
    if expected is None:
        assert found is None
    else:
        assert [None if flag < 0 else bool(flag) for flag in found.tolist()] == expected


@pytest.mark.parametrize("bounds", [[0], [0, 1, 2], [1, 0], [-1, 0]])
def test_bounds_of_labels_are_checked(bounds):
    rows = Ragged.from_strings(["[true]"])
    with pytest.raises(ValueError, match="bounds"):
        _core.json_flags(rows.values, rows.offsets, np.array(bounds))


def test_leaving_what_is_read_ahead_waits_for_nothing():
    """The garbage collector may end a reading that an error broke off, in any thread and whatever that one holds."""
    inside, left, went_on = threading.Event(), threading.Event(), threading.Event()

    def items():
        yield 1
        inside.set()
        if left.wait(timeout=20):
            went_on.set()
        yield 2

    reading = engine.ahead(items())
    assert next(reading) == 1
    assert inside.wait(timeout=20)
    reading.close()
    left.set()
    assert went_on.wait(timeout=20)


def test_several_at_a_time_come_in_order_and_reach_no_further_than_they_may():
    produced, done = [], []

    def items():
        for i in range(20):
            produced.append(i)
            # With three at work, those before the last two have been handed over.
            assert i - len(done) <= 3
            yield i

    def slow_when_even(i):
        time.sleep(0.01 if i % 2 == 0 else 0)
        return i * i

    for square in engine.map_ahead(slow_when_even, items(), 3):
        done.append(square)
    assert done == [i * i for i in range(20)]
    assert produced == list(range(20))


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_the_first_bad_line_is_named_and_skipped_ones_are_in_order(tmp_path, threads):
    path = tmp_path / "dump.jsonl"
    lines = [json.dumps({"id": str(i), "outputs": [f"text {i}"]}) for i in range(1, 3001)]
    for bad in (700, 701, 2500):
        lines[bad - 1] = '{"id": "x", "outputs": 3}'
    path.write_text("\n".join(lines))
    with pytest.raises(DataError, match=r"dump\.jsonl:700: "):
        list(divfast.read(path, threads=threads, block_bytes=4096))
    blocks = divfast.read(path, threads=threads, block_bytes=4096, on_error="skip")
    assert sum(block.rows for block in blocks) == 2997
    assert [where.split(": ")[0].rsplit(":", 1)[1] for where in blocks.skipped] == ["700", "701", "2500"]


@pytest.mark.parametrize("threads", [1, 4, 8])
def test_lines_are_numbered_alike_on_any_number_of_threads(tmp_path, threads):
    # The first line makes the windows long enough to be parsed by several threads.
    rows = [{"outputs": ["x" * 3_000_000]}, *({"outputs": ["y" * 1000]} for _ in range(9000))]
    rows[7001] = {"none": 1}
    path = tmp_path / "dump.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    blocks = divfast.read(path, threads=threads, on_error="skip")
    ids = [id for block in blocks for id in block.ids.to_pylist()]
    assert ids == [str(line) for line in range(1, 9002) if line != 7002]
    assert [where.split(": ")[0].rsplit(":", 1)[1] for where in blocks.skipped] == ["7002"]


def test_memory_that_is_used_again_is_nobody_elses():
    letters = [chr(ord("a") + i) * 1_000_000 for i in range(8)]
    lines = [json.dumps({"outputs": [text, text[::2]]}).encode() for text in letters]

    def read_all():
        # Sizes that differ by a little and by much, more of them than are kept.
        return [parsed((line + b"\n") * times, threads=1) for times in (1, 2, 7) for line in lines]

    def check(batches):
        for batch, text in zip(batches, letters * 3, strict=True):
            values, offsets = batch["text"]
            assert (values == ord(text[0])).all()
            assert set(np.diff(offsets).tolist()) == {1_000_000, 500_000}

    held = read_all()
    check(held)
    again = read_all()
    check(held)
    del held
    third = read_all()
    check(again)
    check(third)
