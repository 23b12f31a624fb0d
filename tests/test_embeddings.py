"""Embeddings that the user brings: every form, their content, what is wrong with them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from divfast import engine
from divfast.errors import DataError
from divfast.samples import Samples
from divfast.views.vectors import open_embeddings


def samples(n):
    return Samples.from_lists([["text"] * n])


def scattered(positions):
    whole = samples(len(positions))
    return Samples(whole.text, whole.groups, whole.ids, whole.prompts, np.array(positions))


# Known values and places.

ROWS = np.array([[3, 4], [0, 2], [-5, 0]], np.float64)
UNIT = np.array([[0.6, 0.8], [0, 1], [-1, 0]], np.float32)


def as_npy(folder, rows, dtype):
    np.save(folder / "e.npy", rows.astype(dtype))
    return str(folder / "e.npy")


def as_parquet(folder, rows, dtype, kind=pa.list_):
    column = pa.array(rows.tolist(), kind(pa.from_numpy_dtype(dtype)))
    pq.write_table(pa.table({"id": range(len(rows)), "e": column}), folder / "e.parquet", row_group_size=2)
    return f"{folder / 'e.parquet'}:e"


def as_fixed(folder, rows, dtype):
    return as_parquet(folder, rows, dtype, lambda value: pa.list_(value, rows.shape[1]))


def as_array(folder, rows, dtype):
    return rows.astype(dtype)


def as_fortran(folder, rows, dtype):
    return np.asfortranarray(rows.astype(dtype))


FORMS = [as_npy, as_parquet, as_fixed, as_array, as_fortran]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8])
def test_every_form_gives_the_same_unit_rows_and_signature(tmp_path, form, dtype):
    view = open_embeddings(form(tmp_path, ROWS, dtype))
    rows = view.build(samples(3))
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    np.testing.assert_allclose(rows, UNIT, rtol=1e-7)
    assert view.signature == open_embeddings(ROWS).signature
    view.finish(3)


def test_rows_follow_the_positions_in_the_dump(tmp_path):
    for source in (as_npy(tmp_path, ROWS, np.float32), as_parquet(tmp_path, ROWS, np.float32), ROWS):
        view = open_embeddings(source)
        np.testing.assert_allclose(view.build(scattered([2, 0, 1])), UNIT[[2, 0, 1]], rtol=1e-7)
        np.testing.assert_allclose(view.build(scattered([1, 2])), UNIT[1:], rtol=1e-7)
        assert view.build(scattered([])).shape == (0, 2)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_tensors(dtype):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(ROWS, dtype=getattr(torch, dtype), requires_grad=True)
    np.testing.assert_allclose(open_embeddings(tensor).build(samples(3)), UNIT, rtol=1e-7)


def test_the_signature_is_of_the_content(monkeypatch):
    rows = np.random.default_rng(0).standard_normal((100, 7)).astype(np.float32)
    signature = open_embeddings(rows).signature
    assert signature.startswith("emb:")
    assert signature.endswith("/7")
    assert len(signature) == len("emb:01234567/7")
    with engine.use_threads(1):
        assert open_embeddings(rows.astype(np.float64)).signature == signature
    changed = rows.copy()
    changed[99, 6] += 1
    others = [changed, rows[:99], rows.reshape(70, 10), rows[::-1]]
    assert len({signature, *(open_embeddings(other).signature for other in others)}) == 5


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e30, 1e300])
def test_length_is_taken_out_whatever_it_is(scale):
    np.testing.assert_allclose(open_embeddings(ROWS * scale).build(samples(3)), UNIT, rtol=1e-7)


def test_progress_of_the_hash():
    calls = []
    view = open_embeddings(ROWS, progress=lambda *call: calls.append(call))
    assert view.signature == view.signature
    assert calls == [(3, 3, "rows")]


def test_10_5_rows_are_not_copied_from_a_file(tmp_path):
    rows = np.random.default_rng(0).standard_normal((100_000, 8)).astype(np.float32)
    view = open_embeddings(as_npy(tmp_path, rows, np.float32))
    assert isinstance(view.values, np.memmap)
    out = view.build(samples(100_000))
    np.testing.assert_allclose(np.linalg.norm(out, axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(out[-1], rows[-1] / np.linalg.norm(rows[-1]), rtol=1e-6)


# What is wrong with them.


@pytest.mark.parametrize("form", [as_npy, as_parquet, as_array])
@pytest.mark.parametrize(
    ("value", "words"), [(np.nan, "NaN or infinity"), (np.inf, "NaN or infinity"), (0, "all zeros")]
)
def test_a_row_without_direction_is_named(tmp_path, form, value, words):
    rows = np.ones((9, 3))
    rows[7] = value
    view = open_embeddings(form(tmp_path, rows, np.float32))
    view.build(scattered([0, 1]))
    with pytest.raises(DataError, match=f"row 7 .*{words}"):
        view.build(scattered([8, 7]))


def test_the_number_of_rows_must_be_that_of_the_samples():
    view = open_embeddings(ROWS)
    with pytest.raises(DataError, match="more samples"):
        view.build(samples(4))
    view.build(samples(2))
    with pytest.raises(DataError, match="3 embeddings for 2 samples"):
        view.finish(2)


def broken_npy(folder):
    as_npy(folder, np.ones((1000, 8)), np.float64)
    content = (folder / "e.npy").read_bytes()
    (folder / "e.npy").write_bytes(content[: len(content) // 2])
    return folder / "e.npy"


def pickled(folder):
    np.save(folder / "p.npy", np.array([{"a": 1}], object), allow_pickle=True)
    return folder / "p.npy"


def other_file(folder):
    (folder / "e.csv").write_text("1,2\n")
    return str(folder / "e.csv")


def broken_parquet(folder):
    (folder / "e.parquet").write_bytes(b"PAR1 and then nothing")
    return str(folder / "e.parquet") + ":e"


def ragged_parquet(folder):
    pq.write_table(pa.table({"e": [[1.0, 2.0], [1.0]]}), folder / "e.parquet")
    return str(folder / "e.parquet") + ":e"


def null_parquet(folder):
    pq.write_table(pa.table({"e": pa.array([[1.0, 2.0], None])}), folder / "e.parquet")
    return str(folder / "e.parquet")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (lambda _: np.ones(3), "matrix"),
        (lambda _: np.ones((2, 2, 2)), "matrix"),
        (lambda _: [[1.0, 2.0], [1.0]], "same length"),
        (lambda _: np.array([["a"]]), "numbers"),
        (lambda _: np.array([[1j]]), "numbers"),
        (lambda folder: folder / "nothing.npy", "no such file"),
        (lambda folder: str(folder / "nothing.parquet:e"), "no such file"),
        (lambda folder: str(folder), "directory"),
        (broken_npy, "not a whole .npy"),
        (pickled, "not a whole .npy"),
        (other_file, "neither .npy nor Parquet"),
        (broken_parquet, "not a whole Parquet"),
        (ragged_parquet, "row 1 has 1 numbers, others have 2"),
        (null_parquet, "row 1 is null"),
        (lambda folder: as_parquet(folder, ROWS, np.float32)[:-1] + "f", "no column 'f'"),
        (lambda folder: as_parquet(folder, ROWS, np.float32)[:-1] + "id", "must hold lists of numbers"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused_in_a_sentence(tmp_path, source, words):
    with pytest.raises(DataError, match=words) as caught:
        open_embeddings(source(tmp_path))
    assert len(str(caught.value).splitlines()) <= 2


def test_the_only_list_column_needs_no_name(tmp_path):
    as_parquet(tmp_path, ROWS, np.float32)
    np.testing.assert_allclose(open_embeddings(tmp_path / "e.parquet").build(samples(3)), UNIT, rtol=1e-7)


def test_several_list_columns_are_listed(tmp_path):
    pq.write_table(pa.table({"a": [[1.0]], "b": [[1.0]]}), tmp_path / "e.parquet")
    with pytest.raises(DataError, match="a, b"):
        open_embeddings(tmp_path / "e.parquet")
