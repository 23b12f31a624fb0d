"""Tokenizers: literals, Python's own string methods and sacrebleu as oracles, hostile bytes."""

import re
import unicodedata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import divfast
from divfast import _core
from divfast.errors import ModelError
from divfast.samples import Ragged, Samples
from divfast.views.tokens import BUILT_IN, open_tokenizer

# Letters, marks, digits, every kind of space, separators, emoji with joiners, right-to-left, CJK.
ALPHABET = (
    "ab.C,-'\"&;<> \n\t\x0b\x1c\x1f\x85\xa0\u2003\u2028\u3000éÉßİKΣσΩ9٣½ʰ\u0301\u093f_#語中日文אب\u200d👩‍🚀"
)
texts = st.text(st.one_of(st.sampled_from(ALPHABET), st.characters(exclude_categories=["Cs"])), max_size=60)


def split(text, tokenizer):
    return [token.decode("utf-8") for token in _core.token_strings(text.encode("utf-8"), tokenizer)]


@pytest.mark.parametrize(
    ("tokenizer", "text", "expected"),
    [
        ("whitespace", "a  b\nc\u2028d\u3000e\x1ff ", ["a", "b", "c", "d", "e", "f"]),
        ("whitespace", "A.b,c", ["A.b,c"]),
        ("paper", "world.\nNext 3.14", ["worldNext", "314"]),
        ("paper", ". .\n. a", ["a"]),
        ("words", "Don't STOP—Éclair हिन्दी 42nd_x", ["don", "t", "stop", "éclair", "हिन्दी", "42nd", "x"]),
        ("words", "İ ΑΣ", ["i̇", "ας".replace("ς", "σ")]),
        ("rouge", "Don't STOP—Éclair 42nd_x İ 3K", ["don", "t", "stop", "clair", "42nd", "x", "i", "3k"]),
        ("chars", "日本 語a", ["日", "本", "語", "a"]),
        ("13a", "Hello, world. It's 3.14-ish &quot;ok&quot; - well-\nknown", None),
        ("whitespace", "", []),
        ("chars", "  \n", []),
    ],
)
def test_known(tokenizer, text, expected):
    if expected is None:
        expected = ["Hello", ",", "world", ".", "It's", "3.14", "-", "ish", '"', "ok", '"', "-", "wellknown"]
    assert split(text, tokenizer) == expected


@given(texts)
def test_whitespace_is_str_split(text):
    assert split(text, "whitespace") == text.split()


@given(texts)
def test_paper_deletes_before_it_splits(text):
    assert split(text, "paper") == text.replace(".", "").replace("\n", "").split()


@given(texts)
def test_rouge_is_rouge_score(text):
    assert split(text, "rouge") == re.findall("[a-z0-9]+", text.lower())


@given(texts)
def test_chars(text):
    assert split(text, "chars") == [c for c in text if not c.isspace()]


# The tables are of one Unicode version and Python has its own; characters that either does not know are left out.
known_characters = st.characters(exclude_categories=["Cs", "Cn"], max_codepoint=0x1F64F)


@given(st.text(st.one_of(st.sampled_from(ALPHABET), known_characters), max_size=60))
def test_words(text):
    marked = "".join(c.lower() if unicodedata.category(c)[0] in "LMN" else " " for c in text)
    if unicodedata.unidata_version != "14.0.0":
        text = marked = "".join(c for c in marked if c < "\u2c00")
    assert split(text, "words") == [word for word in marked.split(" ") if word]


@given(texts)
def test_13a_is_sacrebleu(text):
    tokenizer = pytest.importorskip("sacrebleu.tokenizers.tokenizer_13a").Tokenizer13a()
    assert split(text, "13a") == tokenizer(text).split()


@pytest.mark.parametrize("tokenizer", BUILT_IN)
@given(st.lists(st.binary(max_size=40), max_size=12), st.integers(1, 3))
def test_any_bytes_survive(tokenizer, rows, threads):
    text = Ragged.from_strings(rows)
    values, offsets = _core.tokenize(text.values, text.offsets, tokenizer, threads=threads)
    assert len(offsets) == len(rows) + 1
    assert offsets[-1] == len(values)
    counts = [len(_core.token_strings(row, tokenizer)) for row in rows]
    assert np.diff(offsets).tolist() == counts


@given(st.lists(texts, max_size=8))
def test_equal_tokens_and_only_they_have_equal_fingerprints(rows):
    tokens = open_tokenizer("whitespace").build(Samples.from_lists([rows]))
    strings = [word for row in rows for word in row.split()]
    assert len(set(tokens.values.tolist())) == len(set(strings))
    assert len({*zip(strings, tokens.values.tolist(), strict=True)}) == len(set(strings))


def test_threads_do_not_change_tokens():
    rows = [f"word{i % 97} and{i % 13} " * 40 for i in range(9000)]
    text = Ragged.from_strings(rows)
    one, many = (_core.tokenize(text.values, text.offsets, "whitespace", threads=t) for t in (1, 5))
    np.testing.assert_array_equal(one[0], many[0])
    np.testing.assert_array_equal(one[1], many[1])


def test_learned_tokenizer(shared):
    pytest.importorskip("tokenizers")
    folder = str(shared / "models" / "tiny-lm")
    view = open_tokenizer(folder)
    tokens = view.build(Samples.from_lists([["hello there", ""], ["hello there"]]))
    assert len(tokens) == 3
    assert tokens.lengths[1] == 0
    assert tokens.row(0).tolist() == tokens.row(2).tolist()
    assert tokens.values.dtype == np.uint64
    assert view.vocab_size > 0
    report = divfast.score([["hello there", "hello you"]], ["ead"], tokenizer=folder)
    signature = str(report["ead"].signature)
    assert f"vocab_size={view.vocab_size}" in signature
    assert "|tok:tiny-lm@" in signature


def test_unknown_tokenizer_is_one_sentence():
    pytest.importorskip("tokenizers")
    with pytest.raises(ModelError, match="cannot be had"):
        open_tokenizer("./no-such-folder")


def test_a_hub_out_of_reach_is_asked_once(tmp_path, monkeypatch):
    tokenizers = pytest.importorskip("tokenizers")
    from divfast.views import hf_tokens

    def never(name):
        pytest.fail("asked for file after file, each again and again")

    monkeypatch.setattr(hf_tokens, "unreachable", lambda names: OSError("no such host"))
    monkeypatch.setattr(tokenizers.Tokenizer, "from_pretrained", never, raising=False)
    with pytest.raises(
        ModelError, match=r"'whitespce' cannot be had: no such host\.\nDid you mean whitespace"
    ):
        open_tokenizer("whitespce")
    file = tmp_path / "tokenizer.json"
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0, "b": 1}, unk_token="a")).save(str(file))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: str(file))
    assert open_tokenizer("owner/name").vocab_size == 2
