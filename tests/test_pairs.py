"""Pairwise metrics of strings: literals, published implementations, sizes around machine words, what they survive."""

import itertools
import random
import signal
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import divfast
from conftest import parity_case, parity_files
from divfast import _core, engine
from divfast.metrics.chrf import ChrfCorpus, chrf
from divfast.metrics.edit import edit
from divfast.metrics.jaccard import jaccard
from divfast.metrics.rouge_l import RougeLCorpus, rouge_l
from divfast.reference.edit import levenshtein
from divfast.samples import Ragged
from tolerances import EXACT, REDUCTION

# 1e-9, and half a unit of the ninth significant digit, the last that the parity files print.
PRINTED = 1e-9 + 5e-9
HOSTILE = "ab.C,-'\" \n\u2003éİKΣ٣語中אבم\u200d👩‍🚀\u0301"
NAMES = ("rouge_l", "edit", "edit:unit=words", "jaccard", "jaccard:n=2,multiset=true", "chrf")
text_groups = st.lists(st.lists(st.text(HOSTILE, max_size=20), max_size=5), max_size=3)


def score(outputs, spec, **options):
    return divfast.score(outputs, [spec], scopes=["prompt"], **options)[spec].values


def tokens(rows):
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Ragged(np.array([token for row in rows for token in row], np.uint64), offsets)


def all_pairs(rows, of_pair):
    return np.mean([of_pair(a, b) for a, b in itertools.combinations(rows, 2)])


@pytest.mark.parametrize(
    ("spec", "texts", "expected"),
    [
        # a b c d against a x c d y: the subsequence a c d, 2 * 3 / (4 + 5)
        ("rouge_l", ["a b c d", "A x, c d y"], 6 / 9),
        ("rouge_l", ["a b", "b a"], 0.5),
        ("rouge_l", ["a", "a", ""], 1 / 3),
        ("rouge_l", ["", ""], 0.0),
        ("rouge_l", ["語 中", "語 日"], 0.5),
        # kitten, sitting: 3 edits, the longer has 7 letters
        ("edit", ["kitten", "sitting"], 3 / 7),
        ("edit", ["", "ab"], 1.0),
        ("edit", ["", ""], 0.0),
        ("edit", ["👩‍🚀", "👩"], 2 / 3),
        ("edit:unit=words", ["the cat sat", "the dog sat down"], 2 / 4),
        # {a b} and {b c}: 1 - 1/3; {a a b} and {a b b}: 1 - 2/4
        ("jaccard", ["a b", "B c!"], 2 / 3),
        ("jaccard:multiset=true", ["a a b", "a b b"], 0.5),
        # a b, b a and a b, b c: 1 - 1/3
        ("jaccard:n=2", ["a b a", "a b c"], 2 / 3),
        ("jaccard", ["", "", "a"], 1.0),
        ("jaccard", ["", ""], np.nan),
        ("jaccard:n=2", ["a", "b"], np.nan),
        # 1-grams 2 of 2 and 2 of 3, 2-grams 1 of 1 and 1 of 2; P = 1, R = 7/12, both ways
        ("chrf:char_order=2", ["ab", "a bc"], 50 * (5 * 7 / 12) * (1 / (4 + 7 / 12) + 1 / (4 * 7 / 12 + 1))),
        ("chrf", ["same", "same"], 100.0),
        ("chrf", ["", "a"], 0.0),
        ("chrf", ["ab", "cd"], 0.0),
    ],
)
def test_known(spec, texts, expected):
    np.testing.assert_allclose(score([texts], spec), [expected], **REDUCTION)


@pytest.mark.parametrize("spec", NAMES)
def test_one_sample_has_no_pair(spec):
    assert np.isnan(score([["a b"], []], spec)).all()


def test_rouge_tokenizer_is_the_paper_preset():
    texts = [["語 a b", "語 b"]]
    assert score(texts, "rouge_l")[0] == pytest.approx(4 / 5)
    assert score(texts, "rouge_l", preset="paper")[0] == pytest.approx(2 / 3)
    assert score(texts, "rouge_l", tokenizer="rouge")[0] == pytest.approx(2 / 3)


@pytest.mark.skipif(not parity_files(), reason="the folder of shared test data is absent (DIVFAST_SHARED)")
@pytest.mark.parametrize("path", parity_files(), ids=lambda path: path.stem)
def test_rouge_l_is_rouge_score_on_real_outputs(path):
    values, outputs = parity_case(path)
    published = values["per_group"]["rougeL__first30groups_first6outputs"]
    cut = [texts[:6] for texts in outputs[:30]]
    np.testing.assert_allclose(score(cut, "rouge_l", preset="paper"), published, rtol=PRINTED, atol=1e-9)


@given(text_groups)
def test_rouge_l_is_rouge_score(groups):
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"])
    expected = [
        np.mean([scorer.score(a, b)["rougeL"].fmeasure for a, b in itertools.permutations(texts, 2)])
        if len(texts) > 1
        else np.nan
        for texts in groups
    ]
    np.testing.assert_allclose(score(groups, "rouge_l", tokenizer="rouge"), expected, **REDUCTION)


@pytest.mark.parametrize(("word_order", "beta"), [(0, 2), (2, 2), (1, 3)])
@given(groups=text_groups)
def test_chrf_is_sacrebleu(word_order, beta, groups):
    scorer = pytest.importorskip("sacrebleu").CHRF(word_order=word_order, beta=beta)
    expected = [
        np.mean([scorer.sentence_score(a, [b]).score for a, b in itertools.permutations(texts, 2)])
        if len(texts) > 1
        else np.nan
        for texts in groups
    ]
    values = score(groups, f"chrf:word_order={word_order},beta={beta}")
    np.testing.assert_allclose(values, expected, **REDUCTION)


@given(text_groups)
def test_edit_is_rapidfuzz(groups):
    distance = pytest.importorskip("rapidfuzz.distance.Levenshtein").normalized_distance
    for spec, cut in (("edit", list), ("edit:unit=words", str.split)):
        expected = [
            all_pairs([cut(text) for text in texts], distance) if len(texts) > 1 else np.nan
            for texts in groups
        ]
        np.testing.assert_allclose(score(groups, spec), expected, **REDUCTION)


def test_real_outputs_against_the_peers(shared):
    scorer = pytest.importorskip("sacrebleu").CHRF(word_order=2)
    distance = pytest.importorskip("rapidfuzz.distance.Levenshtein").normalized_distance
    _, outputs = parity_case(parity_files()[-1])
    cut = [texts[:4] for texts in outputs[:3]]
    expected = [
        np.mean([scorer.sentence_score(a, [b]).score for a, b in itertools.permutations(texts, 2)])
        for texts in cut
    ]
    np.testing.assert_allclose(score(cut, "chrf:word_order=2"), expected, **REDUCTION)
    np.testing.assert_allclose(score(cut, "edit"), [all_pairs(texts, distance) for texts in cut], **REDUCTION)


@pytest.mark.parametrize("alphabet", [2, 40, 5000])
@pytest.mark.parametrize("length", [0, 1, 15, 16, 17, 62, 63, 64, 65, 126, 127, 504, 505, 512, 513, 1100])
def test_sizes_around_words_and_stripes(length, alphabet):
    # more rows than lanes, two that are equal, lengths on both sides
    lcs = pytest.importorskip("rapidfuzz.distance.LCSseq").similarity
    distance = pytest.importorskip("rapidfuzz.distance.Levenshtein").normalized_distance
    rng = np.random.default_rng(length)
    lengths = [length] * 5 + [max(0, length + d) for d in (-1, 1, 2, 64)] + [3, length // 2]
    rows = [rng.integers(0, alphabet, size).tolist() for size in lengths]
    rows.append(rows[0])
    view, groups = tokens(rows), np.array([0, 2, len(rows)], np.int64)
    for start, stop, i in ((0, 2, 0), (2, len(rows), 1)):
        cut = rows[start:stop]
        expected = all_pairs(cut, lambda a, b: 2 * lcs(a, b) / (len(a) + len(b)) if a or b else 0.0)
        np.testing.assert_allclose(rouge_l(view, groups)[i], expected, **REDUCTION)
        edits = _core.edit_means_of_tokens(view.values, view.offsets, groups)
        np.testing.assert_allclose(edits[i], all_pairs(cut, distance), **REDUCTION)


@pytest.mark.parametrize("changes", [0, 3, 300, 60_000])
def test_long_rows_along_a_band(changes):
    distance = pytest.importorskip("rapidfuzz.distance.Levenshtein").distance
    rng = random.Random(changes)
    text = [rng.randrange(30) for _ in range(66_000)]
    other = list(text)
    for _ in range(changes):
        at = rng.randrange(len(other))
        if rng.random() < 0.5:
            del other[at]
        else:
            other.insert(at, rng.randrange(30))
    view = tokens([text, other, text])
    expected = distance(text, other) / max(len(text), len(other)) * 2 / 3
    value = _core.edit_means_of_tokens(view.values, view.offsets, np.array([0, 3]))
    np.testing.assert_allclose(value, [expected], **REDUCTION)


def test_one_group_over_many_threads_is_the_same_to_the_last_bit():
    rng = random.Random(5)
    texts = [" ".join(rng.choice("abcdefgh") * 2 for _ in range(rng.randrange(120))) for _ in range(300)]
    for spec in NAMES:
        values = []
        for threads in (1, 2, 5):
            with engine.use_threads(threads):
                values.append(score([texts, texts[:9], []], spec))
        np.testing.assert_allclose(values[1:], [values[0]] * 2, **EXACT)


def test_equal_rows_are_compared_once():
    # 100,000 equal rows have five thousand million pairs
    texts = ["a b c"] * 100_000 + ["a b"]
    pairs = 100_001 * 100_000 / 2
    apart = 100_000 / pairs
    assert score([texts], "rouge_l")[0] == pytest.approx(1 - apart * (1 - 0.8))
    assert score([texts], "edit")[0] == pytest.approx(apart * 2 / 5)
    assert score([texts], "jaccard")[0] == pytest.approx(apart / 3)
    assert score([texts], "chrf")[0] > 99.99


@pytest.mark.parametrize("spec", NAMES)
def test_many_small_groups(spec):
    groups = [[f"a b {i}", f"a {i} c d", "e"] for i in range(33_334)]
    values = score(groups, spec)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values[::5000], score(groups[::5000], spec), **REDUCTION)


def test_any_bytes_survive():
    rows = [bytes(range(256)), b"\xff\xfe", b"\xe6\xbc", b"", b"a\x00b", "語".encode() * 40, b"\xf0\x9f\x91"]
    text = Ragged.from_strings(rows)
    groups = np.array([0, len(rows)], np.int64)
    # every byte that is not UTF-8 is one character
    characters = []
    for row in rows:
        found, at = [], 0
        while at < len(row):
            for width in (1, 2, 3, 4):
                try:
                    found.append(row[at : at + width].decode())
                    break
                except UnicodeDecodeError:
                    continue
            else:
                found.append("\ufffd")
                width = 1
            at += width
        characters.append(found)
    expected = all_pairs(characters, lambda a, b: levenshtein(a, b) / max(len(a), len(b), 1))
    np.testing.assert_allclose(edit(text, groups), [expected], **REDUCTION)
    assert 0 <= chrf(text, groups)[0] <= 100
    for name in ("words", "rouge", "chars"):
        view = Ragged(*_core.tokenize(text.values, text.offsets, name))
        assert 0 <= rouge_l(view, groups)[0] <= 1
        assert 0 <= jaccard(view, groups)[0] <= 1


def test_a_million_characters():
    rng = random.Random(1)
    words = [str(rng.randrange(5000)) for _ in range(210_000)]
    one = " ".join(words)
    assert len(one) > 1_000_000
    words[100_000:100_010] = ["x"]
    words[7] = "y"
    other = " ".join(words)
    distance = pytest.importorskip("rapidfuzz.distance.Levenshtein").distance
    expected = distance(one, other, score_cutoff=2000) / len(one)
    assert score([[one, other]], "edit")[0] == pytest.approx(expected)
    assert score([[one, other]], "edit:unit=words")[0] == pytest.approx(11 / 210_000)
    assert 0.99 < score([[one, "a short one"], [one, other]], "chrf")[1] / 100 < 1
    assert score([[one, other]], "jaccard")[0] == pytest.approx(2 / 5002)
    # quadratic: a tenth of it
    assert 0.99 < score([[one[:100_000], other[:100_000]]], "rouge_l")[0] < 1


def test_long_rows_against_many():
    # stripes, carries kept for a few rows at a time, tables of more n-grams than the cache holds
    rng = random.Random(2)
    rows = [
        [rng.randrange(3000) for _ in range(size)] for size in (20_000, 19_000, 9000, 700, 650, 600, 80, 3)
    ]
    view, groups = tokens(rows), np.array([0, len(rows)], np.int64)
    lcs = pytest.importorskip("rapidfuzz.distance.LCSseq").similarity
    expected = all_pairs(rows, lambda a, b: 2 * lcs(a, b) / (len(a) + len(b)))
    np.testing.assert_allclose(rouge_l(view, groups), [expected], **REDUCTION)
    sets = [set(row) for row in rows]
    expected = all_pairs(sets, lambda a, b: 1 - len(a & b) / len(a | b))
    np.testing.assert_allclose(jaccard(view, groups), [expected], **REDUCTION)
    large = [list(range(start, start + 70_000)) for start in (0, 10_000, 69_000)]
    sets = [set(row) for row in large]
    expected = all_pairs(sets, lambda a, b: 1 - len(a & b) / len(a | b))
    np.testing.assert_allclose(jaccard(tokens(large), np.array([0, 3])), [expected], **REDUCTION)


def test_a_corpus_is_sampled_and_says_so():
    rng = random.Random(3)
    texts = [" ".join(rng.choice("abcdefgh") for _ in range(9)) for _ in range(400)]
    specs = ["rouge_l:sample=50", "rouge_l:sample=50,seed=1", "rouge_l", "chrf:sample=60"]
    blocks = [[text] for text in texts]
    report = divfast.score(blocks, specs, scopes=["pooled"])
    values = [report[spec, "pooled"].value for spec in specs]
    assert values[0] != values[1]
    assert str(report["rouge_l:sample=50", "pooled"].signature).startswith(
        "rouge_l:sample=50,seed=0|scope:pooled|"
    )
    assert values[2] == pytest.approx(score([texts], "rouge_l")[0], rel=1e-12)
    assert abs(values[0] - values[2]) < 0.05 and abs(values[1] - values[2]) < 0.05
    # the sample is that of the rows, however they come in
    view = Ragged.from_strings(texts)
    corpus = ChrfCorpus(sample=60)
    for start in range(0, 400, 7):
        corpus.add(view.slice(start, min(400, start + 7)))
    assert corpus.result() == pytest.approx(values[3], rel=1e-12)
    drawn = corpus.drawn.rows()
    assert len(drawn) == 60
    assert corpus.result() == chrf(drawn, np.array([0, 60]))[0]


def test_a_prompt_is_never_sampled():
    texts = [" ".join("abcdefgh"[: i % 7 + 1]) for i in range(60)]
    assert score([texts], "rouge_l:sample=2,seed=9")[0] == score([texts], "rouge_l")[0]


def test_nothing_seen_is_undefined():
    assert np.isnan(RougeLCorpus().result())


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("edit:unit=bytes", "must be one of chars, words"),
        ("jaccard:n=0", "must be an n-gram order"),
        ("jaccard:multiset=yes", "must be true or false"),
        ("rouge_l:seed=-1", "must be a whole number from 0"),
        ("rouge_l:sample=0", "must be a whole number of at least 1"),
        ("chrf:word_order=65", "must be an n-gram order"),
        ("chrf:beta=0", "must be greater than 0"),
    ],
)
def test_wrong_parameters_are_answered(spec, reason):
    with pytest.raises(divfast.errors.MetricError, match=reason):
        score([["a", "b"]], spec)


@pytest.mark.parametrize("groups", [[0, 3], [1, 0, 2], [], [-1, 2]])
def test_offsets_are_checked(groups):
    view = tokens([[1, 2], [3]])
    for call in (rouge_l, jaccard):
        with pytest.raises(ValueError, match="groups"):
            call(view, np.array(groups, np.int64))
    with pytest.raises(ValueError, match="offsets"):
        rouge_l(Ragged(view.values, np.array([0, 9], np.int64)), np.array([0, 1]))
    with pytest.raises(ValueError, match="at least 1"):
        _core.jaccard_means(view.values, view.offsets, np.array([0, 2]), 0, False)
    with pytest.raises(ValueError, match="at least 1"):
        text = Ragged.from_strings(["a", "b"])
        _core.chrf_means(text.values, text.offsets, np.array([0, 2]), 0, 0, 2.0)


def test_it_can_be_interrupted():
    rng = np.random.default_rng(0)
    view = tokens([rng.integers(0, 1 << 30, 400_000).tolist() for _ in range(2)])
    timer = threading.Timer(0.2, signal.raise_signal, [signal.SIGINT])
    start = time.perf_counter()
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        _core.edit_means_of_tokens(view.values, view.offsets, np.array([0, 2]))
    assert time.perf_counter() - start < 5
