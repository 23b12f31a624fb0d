"""Ragged rows and samples: slices, gathers, Arrow and strings there and back."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divfast import Ragged, Samples
from divfast.errors import DataError
from divfast.samples import samples_or_paths

texts = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), max_size=8)


@given(texts)
def test_strings_there_and_back(rows):
    ragged = Ragged.from_strings(rows)
    assert ragged.strings() == rows
    assert ragged.lengths.tolist() == [len(row.encode()) for row in rows]
    assert ragged.to_arrow().to_pylist() == rows
    assert Ragged.from_arrow(pa.array(rows, pa.string())).strings() == rows


@given(texts, st.data())
def test_slice_take_concat(rows, data):
    ragged = Ragged.from_strings(rows)
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    part = ragged.slice(start, stop)
    assert part.strings() == rows[start:stop]
    assert (
        Ragged.from_arrow(pa.array(rows, pa.large_string()).slice(start, stop - start)).strings()
        == rows[start:stop]
    )
    index = np.array(
        data.draw(st.lists(st.integers(0, max(0, stop - start - 1)), max_size=6)) if stop > start else [],
        np.int64,
    )
    assert part.take(index).strings() == [rows[start:stop][i] for i in index]
    assert Ragged.concat([part, ragged, part]).strings() == rows[start:stop] + rows + rows[start:stop]


def test_arrow_nulls_and_masks():
    assert Ragged.from_arrow(pa.array(["a", None, "b"])).strings() == ["a", "", "b"]
    assert Ragged.from_arrow(pa.chunked_array([["a"], ["b", None]])).strings() == ["a", "b", ""]
    masked = Ragged.from_strings(["a", "", "b"]).to_arrow(np.array([1, 0, 1], np.uint8))
    assert masked.to_pylist() == ["a", None, "b"]


def test_not_utf8_and_lone_surrogates():
    assert Ragged.from_strings([b"a\xff"]).strings() == ["a\ufffd"]
    assert Ragged.from_strings(["a\ud800b", "ok"]).strings() == ["a\ufffdb", "ok"]


def test_take_out_of_range():
    with pytest.raises(IndexError):
        Ragged.from_strings(["a"]).take(np.array([1]))


def test_from_lists():
    samples = Samples.from_lists(
        [["a", "b"], [], ["c"]], ids=["x", "y", "z"], prompts=["p", None, "q"], model="m"
    )
    assert (len(samples), samples.rows) == (3, 3)
    assert [samples.outputs(i) for i in range(3)] == [["a", "b"], [], ["c"]]
    assert samples.ids.to_pylist() == ["x", "y", "z"]
    assert samples.prompts.to_pylist() == ["p", None, "q"]
    assert samples.meta == {"model": "m"}


@pytest.mark.parametrize("outputs", [["text"], [["a"], "b"], [[1, 2]], [[None]], [[b"a"]]])
def test_from_lists_wants_lists_of_strings(outputs):
    with pytest.raises(DataError, match=r"outputs\[\d\]: must be a list of strings"):
        Samples.from_lists(outputs)


def test_records_are_not_taken_for_their_names():
    with pytest.raises(
        DataError, match=r'outputs\[0\]: .* is a record\.\n.*\[record\["outputs"\] for record in records\]'
    ):
        Samples.from_lists([{"prompt": "p", "outputs": "o"}])


def test_a_generator_is_gone_through_once():
    samples = Samples.from_lists([(text for text in "ab"), ["c"]])
    assert [samples.outputs(0), samples.outputs(1)] == [["a", "b"], ["c"]]


def test_a_source_is_samples_or_paths():
    table = pa.table({"prompt": ["p", "q"], "outputs": [["a", "b"], ["c"]]})
    assert samples_or_paths(table).prompts.to_pylist() == ["p", "q"]
    samples = Samples.from_lists([["a"]])
    assert samples_or_paths(samples) is samples
    assert samples_or_paths(f"{name}.jsonl" for name in "ab") == ["a.jsonl", "b.jsonl"]
    assert len(samples_or_paths([])) == 0
    for nothing in (5, None, {"prompt": ["p"], "output": ["a"]}):
        with pytest.raises(DataError, match="nothing that can be scored"):
            samples_or_paths(nothing)


def test_parts_must_fit():
    good = Samples.from_lists([["a"], ["b"]])
    with pytest.raises(DataError, match="groups must run"):
        Samples(good.text, np.array([0, 1]), good.ids.slice(0, 1), good.prompts.slice(0, 1), good.positions)
    with pytest.raises(DataError, match="ids: expected 2 values, got 1"):
        Samples(good.text, good.groups, good.ids.slice(0, 1), good.prompts, good.positions)
    with pytest.raises(DataError, match="correct: expected 2 values, got 3"):
        Samples(
            good.text, good.groups, good.ids, good.prompts, good.positions, {"correct": pa.array([1, 2, 3])}
        )


def test_concat():
    first = Samples.from_lists([["a"], []], ids=["0", "1"])
    second = Samples.from_lists([["b", "c"]], ids=["2"])
    both = Samples.concat([first, second])
    assert both.groups.tolist() == [0, 1, 1, 3]
    assert both.text.strings() == ["a", "b", "c"]
    assert both.ids.to_pylist() == ["0", "1", "2"]
    assert len(Samples.concat([])) == 0
