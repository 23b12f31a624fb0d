"""Overlap: the share of tokens in n-grams that occur in training text; one pass, an index and plain sets agree."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from divfast import _core
from divfast.errors import DataError, MetricError, OutputError
from divfast.overlap import build_index, overlap
from divfast.samples import Ragged


def texts(*documents):
    return pa.array(documents, pa.large_string())


def words(text):
    """Return the tokens of ``whitespace``."""
    return text.split()


def oracle(train, evaluation, n):
    """Return the coverage of every document from a plain set of tuples."""
    seen = {tuple(t[i : i + n]) for t in map(words, train) for i in range(len(t) - n + 1)}
    out = []
    for tokens in map(words, evaluation):
        covered = set()
        for i in range(len(tokens) - n + 1):
            if tuple(tokens[i : i + n]) in seen:
                covered |= set(range(i, i + n))
        out.append(len(covered) / len(tokens) if len(tokens) >= n else float("nan"))
    return out


def coverage(report):
    return report.documents["coverage"].to_numpy()


def lines(path, *records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records), "utf-8")
    return path


# known


def test_by_hand():
    train = texts("one two three four", "five six")
    found = overlap(train, texts("x two three four y", "four five six", "a b", "six"), n=2)
    # two-three and three-four: 3 of 5 tokens; four-five spans two documents and is not there; nothing; too short.
    np.testing.assert_array_equal(coverage(found), [3 / 5, 2 / 3, 0.0, np.nan])
    result = found[0]
    assert (result.documents, result.undefined, result.tokens, result.covered) == (4, 1, 11, 5)
    assert result.value == pytest.approx((3 / 5 + 2 / 3) / 3)
    assert result.metric == "overlap:n=2" and result.interval[0] <= result.value <= result.interval[1]


def test_thirteen_words_by_default():
    run = [f"w{i}" for i in range(13)]
    found = overlap(texts("a " + " ".join(run)), texts(" ".join([*run, "b"]), " ".join([*run[:12], "b"])))
    np.testing.assert_array_equal(coverage(found), [13 / 14, 0.0])
    assert found[0].metric == "overlap:n=13" and "|tok:words|" in str(found[0].signature)


def test_words_differ_in_case_and_marks_alone():
    np.testing.assert_array_equal(
        coverage(overlap(texts("To be, or NOT"), texts("to be or not"), n=3)), [1.0]
    )
    found = overlap(texts("To be, or NOT"), texts("to be or not"), n=3, tokenizer="whitespace")
    np.testing.assert_array_equal(coverage(found), [0.0])


def test_passages_say_where(tmp_path):
    train = lines(
        tmp_path / "train.jsonl", {"text": "nothing"}, {"text": "der Äpfel süß IST"}, {"text": "äpfel süß"}
    )
    asked = lines(
        tmp_path / "eval.jsonl",
        {"id": "q", "prompt": "Çok — Äpfel, süß! end. Äpfel süß"},
        {"prompt": "äpfel süß"},
    )
    found = overlap(train, asked, n=2, passages=True)
    one, two, three = found.passages.to_pylist()
    assert one == {
        "evaluation": "eval", "document": "q", "line": 1, "token_start": 1, "token_stop": 3, "char_start": 6,
        "char_stop": 16, "text": "Äpfel, süß", "train": str(train), "train_line": 2,
    }  # fmt: skip
    assert (two["token_start"], two["token_stop"], two["text"]) == (4, 6, "Äpfel süß")
    # Two documents that are covered to the edge are two passages.
    assert (three["line"], three["token_start"], three["document"]) == (2, 0, None)


def test_passages_of_adjacent_documents_stay_apart():
    found = overlap(texts("a b"), texts("a b", "a b", "", "b a b"), n=2, passages=True)
    assert [(row["line"], row["token_start"]) for row in found.passages.to_pylist()] == [
        (1, 0),
        (2, 0),
        (4, 1),
    ]
    assert found.passages["text"].to_pylist() == ["a b"] * 3


@pytest.mark.parametrize("tokenizer", ["paper", "13a"])
def test_tokenizers_that_change_the_text_point_at_tokens(tokenizer):
    found = overlap(texts("a b c"), texts("x a b"), n=2, tokenizer=tokenizer, passages=True)
    (row,) = found.passages.to_pylist()
    assert (row["token_start"], row["token_stop"], row["text"]) == (1, 3, None)


# agrees

few = st.lists(st.lists(st.sampled_from("abcé文"), max_size=30).map(" ".join), min_size=1, max_size=6)


@settings(max_examples=60)
@given(few, few, st.integers(1, 5), st.sampled_from([1, 2, 3]))
def test_sets_of_tuples_agree(train, evaluation, n, threads):
    train.append("a b c")
    found = overlap(texts(*train), texts(*evaluation), n=n, tokenizer="whitespace", threads=threads)
    np.testing.assert_array_equal(coverage(found), oracle(train, evaluation, n))


def corpus(seed, documents, most, vocabulary=50):
    rng = np.random.default_rng(seed)
    return [
        " ".join(f"w{i}" for i in rng.integers(0, vocabulary, rng.integers(0, most)))
        for _ in range(documents)
    ]


@pytest.mark.parametrize("n", [1, 2, 3, 4, 13])
def test_index_memory_and_threads_change_nothing(tmp_path, n):
    train = [*corpus(1, 400, 300), " ".join(["same"] * 5000)]
    asked = [*corpus(2, 60, 80), train[7], " ".join(train[9].split()[3:40]), "same " * 20]
    want = oracle(train, asked, n)
    path = lines(tmp_path / "train.jsonl", *({"text": text} for text in train))
    signatures = set()
    for memory, threads in ((None, 2), (100_000, 1), (100_000, 3)):
        settings = {"memory": memory, "threads": threads}
        facts = build_index(path, tmp_path / "i.idx", n=n, tokenizer="whitespace", **settings)
        assert facts.distinct == len(
            {tuple(t[i : i + n]) for t in map(words, train) for i in range(len(t) - n + 1)}
        )
        for source in (path, tmp_path / "i.idx", texts(*train)):
            found = overlap(source, texts(*asked), n=n, tokenizer="whitespace", **settings)
            np.testing.assert_array_equal(coverage(found), want)
            signatures.add(str(found[0].signature))
    assert len(signatures) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["i.idx", "train.jsonl"]


def test_an_evaluation_that_does_not_fit_takes_several_passes():
    train, asked = corpus(3, 50, 200), corpus(4, 400, 120)
    asked += train[:10]
    found = overlap(texts(*train), pa.chunked_array([asked]), n=3, tokenizer="whitespace", memory=1 << 20)
    np.testing.assert_array_equal(coverage(found), oracle(train, asked, 3))


@pytest.mark.parametrize("tokenizer", ["whitespace", "words", "chars", "paper", "13a"])
def test_a_long_document_is_the_same_however_it_is_cut(tmp_path, tokenizer):
    rng = np.random.default_rng(5)
    alphabet = np.array(["ab", "é.", "文", "c-\n", "\n", "d", "7,5", "\u3000", "Kk"])
    text = " ".join(alphabet[rng.integers(0, len(alphabet), 900_000)].tolist())
    assert len(text.encode()) > 2 << 20
    (tmp_path / "train.txt").write_text(text, "utf-8")
    whole = Ragged.from_strings([text])
    tokens = _core.tokenize(whole.values, whole.offsets, tokenizer)
    keys, _ = _core.ngram_keys(*tokens, 5)
    facts = build_index(tmp_path / "train.txt", tmp_path / "a.idx", n=5, tokenizer=tokenizer)
    in_one = build_index(texts(text), tmp_path / "b.idx", n=5, tokenizer=tokenizer)
    expected = (len(tokens[0]), len(keys), len(np.unique(keys)), int(keys.sum(dtype=np.uint64)))
    for one in (facts, in_one):
        assert (one.tokens, one.grams, one.distinct, one.fingerprint) == expected
    assert facts.documents == in_one.documents == 1


def test_documents_go_on_over_many_short_parts():
    tokens = [f"w{i}" for i in range(40)]
    whole = Ragged.from_strings([" ".join(tokens)])
    keys, _ = _core.ngram_keys(*_core.tokenize(whole.values, whole.offsets, "whitespace"), 7)
    probe = _core.NgramProbe(7, keys)
    for i, token in enumerate(tokens):
        part = Ragged.from_strings([" " + token])
        probe.add_text(part.values, part.offsets, np.array([i]), "whitespace", i > 0, i < 39)
    # Each n-gram is known from where its last word came.
    np.testing.assert_array_equal(probe.places(keys), np.arange(6, 40))
    assert (probe.tokens, probe.grams) == (40, 34)


def test_fingerprints_tell_orders_apart():
    rows = [
        np.array(order, np.uint64)
        for order in ([1, 2, 3], [3, 2, 1], [2, 1, 3], [1, 1, 1], [2, 2, 2], [0, 0, 0])
    ]
    keys, _ = _core.ngram_keys(np.concatenate(rows), np.arange(0, 19, 3), 3)
    assert len(set(keys.tolist())) == 6 and 0 not in keys


# bad input


def test_what_bad_input_gets(tmp_path):
    good = lines(tmp_path / "good.jsonl", {"text": "a b"})
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    with pytest.raises(DataError, match="is empty"):
        overlap(empty, good)
    with pytest.raises(DataError, match="is empty"):
        overlap(good, empty)
    with pytest.raises(DataError, match="there is no training text"):
        overlap([], good)
    with pytest.raises(DataError, match="holds no words"):
        overlap(texts("", "..."), good)
    with pytest.raises(DataError, match="holds no documents"):
        overlap(good, texts())
    with pytest.raises(MetricError, match="must be a whole number from 1"):
        overlap(good, good, n=0)
    with pytest.raises(DataError, match=r'no field "txt"\.\nDid you mean text'):
        overlap(good, good, fields=["txt"])
    with pytest.raises(
        DataError, match=r"no field with text that is known by name\.\nName one of its fields: body"
    ):
        overlap(lines(tmp_path / "body.jsonl", {"body": "a"}), good)
    with pytest.raises(DataError, match="cannot be read: no such file"):
        overlap(tmp_path / "gone.jsonl", good)
    with pytest.raises(DataError, match=r"mixed.jsonl:2: no field \"text\""):
        overlap(lines(tmp_path / "mixed.jsonl", {"text": "a"}, {"other": "b"}), good)
    assert overlap(tmp_path / "mixed.jsonl", good, n=1, on_error="skip").run["counts"]["skipped"] == 1
    broken = tmp_path / "broken.jsonl"
    broken.write_text('{"text": "a"}\n{"text": \n')
    with pytest.raises(DataError, match=r"broken.jsonl:2: "):
        overlap(broken, good)


def test_an_index_of_something_else_is_refused(tmp_path):
    index = tmp_path / "t.idx"
    build_index(texts("a b c"), index, n=2)
    for asked, words_ in (
        ({"n": 3}, "n-grams of order 2, not 3"),
        ({"tokenizer": "chars"}, "by words, not chars"),
    ):
        with pytest.raises(DataError, match=words_):
            overlap(index, texts("a b"), **asked)
    with pytest.raises(DataError, match="is an index, not an evaluation"):
        overlap(texts("a b"), index)
    with pytest.raises(DataError, match="is an index itself"):
        build_index(index, tmp_path / "u.idx")
    found = overlap([index, lines(tmp_path / "more.jsonl", {"text": "d e"})], texts("a b d e"))
    assert found[0].value == 1.0


def test_a_damaged_index_is_one_sentence(tmp_path):
    index = tmp_path / "t.idx"
    build_index(texts(*corpus(6, 200, 200)), index, n=2)
    whole = index.read_bytes()
    asked = texts(*corpus(7, 200, 50))
    for damaged, what in (
        (whole[:-8], "cut off or changed"),
        (whole[:100], "first page is damaged"),
        (whole + b"x", "cut off or changed"),
        (whole[:200] + b"x" + whole[201:], "first page is damaged"),
        (whole[:-4096] + bytes(4096), "directory is damaged"),
        (whole[:4096] + whole[4096:12288][::-1] + whole[12288:], "is damaged"),
    ):
        index.write_bytes(damaged)
        with pytest.raises(DataError, match=what):
            overlap(index, asked)


def test_an_index_never_takes_the_place_of_a_text(tmp_path):
    path = lines(tmp_path / "train.jsonl", {"text": "a b"})
    with pytest.raises(OutputError, match="is there already and is no index"):
        build_index(path, path)
    with pytest.raises(OutputError, match="cannot be made or written into"):
        build_index(path, path / "below" / "t.idx")
    assert [one.name for one in tmp_path.iterdir()] == ["train.jsonl"]


def test_a_full_disk_leaves_nothing(tmp_path):
    path = lines(tmp_path / "train.jsonl", *({"text": text} for text in corpus(8, 300, 300)))
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from divfast.overlap import build_index; from divfast.errors import OutputError\n"
        "try: build_index(sys.argv[1], sys.argv[2], n=3, memory=int(sys.argv[3]))\n"
        "except OutputError as error: print(error)\n"
    )
    for memory in ("300000", "100000000"):
        words_ = [sys.executable, "-c", code, str(path), str(tmp_path / "t.idx"), memory]
        done = subprocess.run(words_, capture_output=True, text=True, check=True)
        assert "t.idx: cannot be written: file too large." in done.stdout
    assert [one.name for one in tmp_path.iterdir()] == ["train.jsonl"]


def test_a_pipe_is_read_from_its_start(tmp_path):
    os.mkfifo(tmp_path / "train.txt")
    writer = threading.Thread(target=(tmp_path / "train.txt").write_text, args=["a b c d " * 10_000])
    writer.start()
    facts = build_index(str(tmp_path / "train.txt"), tmp_path / "t.idx", n=2)
    writer.join()
    assert facts.tokens == 40_000


def test_an_interrupted_build_leaves_nothing(tmp_path):
    os.mkfifo(tmp_path / "train.txt")
    code = "import sys; from divfast.overlap import build_index; build_index(sys.argv[1], sys.argv[2])"
    words_ = [sys.executable, "-c", code, str(tmp_path / "train.txt"), str(tmp_path / "t.idx")]
    process = subprocess.Popen(words_, stderr=subprocess.DEVNULL)
    with (tmp_path / "train.txt").open("wb") as pipe:
        pipe.write(b"a b " * 50_000)
        pipe.flush()
        time.sleep(1.0)
        process.send_signal(signal.SIGINT)
        process.wait(20)
    assert process.returncode != 0
    assert [one.name for one in tmp_path.iterdir()] == ["train.txt"]


def test_the_core_takes_no_nonsense():
    rows = (np.zeros(3, np.uint64), np.array([0, 3]))
    with pytest.raises(ValueError, match="n must be"):
        _core.ngram_keys(*rows, 0)
    with pytest.raises(ValueError, match="places"):
        _core.NgramProbe(2, rows[0]).add_tokens(*rows, np.zeros(2, np.int64))
    with pytest.raises(ValueError, match="offsets"):
        _core.NgramProbe(2, rows[0]).add_tokens(rows[0], np.array([0, 4]), np.zeros(1, np.int64))
    with pytest.raises(ValueError, match="directory"):
        _core.search_index(0, 0, 12, np.zeros(2, np.int64), rows[0])
    with pytest.raises(ValueError, match="ascend"):
        _core.search_index(0, 0, 1, np.zeros(3, np.int64), np.array([2, 1], np.uint64))
    with pytest.raises(OSError, match="Bad file"):
        _core.search_index(-1, 0, 1, np.array([0, 1, 1]), np.array([2], np.uint64))
    assert _core.NgramProbe(3, np.zeros(0, np.uint64)).places(rows[0]).tolist() == [-1] * 3
    with pytest.raises(ValueError, match="changes the text"):
        _core.token_spans(b"a", "13a")


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 63, 64, 65, 100_000])
def test_survives(size):
    tokens = np.arange(size, dtype=np.uint64)
    keys, offsets = _core.ngram_keys(tokens, np.array([0, size]), 3)
    assert len(keys) == max(0, size - 2) == len(np.unique(keys)) and offsets[-1] == len(keys)
    probe = _core.NgramProbe(3, keys)
    probe.add_tokens(tokens, np.array([0, size]), np.array([5]))
    assert (probe.places(keys) == 5).all()


def test_survives_strange_text():
    strange = [
        b"\xff\xfe a \xc3 b",
        "\u05d0\u05d1 \u05d2 שלום".encode(),
        "👩‍👩‍👧 a 👍🏽".encode(),
        b"",
        b"a" * 1_000_000,
    ]
    rows = Ragged.from_strings(strange)
    for tokenizer in ("whitespace", "words", "chars", "paper", "13a"):
        found = overlap(rows, rows, n=1, tokenizer=tokenizer, passages=True)
        share = coverage(found)
        assert ((share == 1) | np.isnan(share)).all(), tokenizer


@given(st.text(max_size=80), st.sampled_from(["whitespace", "words", "chars"]))
def test_spans_are_where_the_tokens_are(text, tokenizer):
    data = text.encode("utf-8", "replace")
    spans = _core.token_spans(data, tokenizer).reshape(-1, 2)
    tokens = _core.token_strings(data, tokenizer)
    assert len(spans) == len(tokens)
    for (start, stop), token in zip(spans, tokens, strict=True):
        piece = data[start:stop].decode()
        assert piece.encode() == token or "".join(c.lower() for c in piece).encode() == token
