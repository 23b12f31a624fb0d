"""Self-BLEU: by hand, against nltk in every smoothing method, in any number of blocks and any memory."""

import itertools
import math
import os
import tempfile
import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import divfast
from conftest import parity_case, parity_files
from divfast import _core, engine
from divfast.errors import DataError, MetricError
from divfast.metrics.self_bleu import SelfBleuCorpus, self_bleu, self_bleu_samples
from divfast.reference.self_bleu import clipped
from divfast.registry import parse_spec
from divfast.samples import Ragged
from divfast.throughput.inputs import zipf_texts
from tolerances import EXACT, REDUCTION

DEFAULTS = {"n": 4, "weights": None, "smoothing": 1}
rows_of_tokens = st.lists(st.lists(st.integers(0, 4), max_size=9), max_size=6)


def build(rows):
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return Ragged(np.array([token for row in rows for token in row], np.uint64), offsets)


def one(rows):
    return np.array([0, len(rows)], np.int64)


def scored(texts, **parameters):
    words = {word: i for i, word in enumerate(" ".join(texts).split())}
    rows = [[words[word] for word in text.split()] for text in texts]
    return self_bleu_samples(build(rows), one(rows), **parameters)


# --- known ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "parameters", "expected"),
    [
        # 2 of 3 words, 1 of 2 bigrams
        (["a b c", "a b d"], {"n": 2}, [math.sqrt(1 / 3)] * 2),
        (["a b c", "a b d"], {"n": 1}, [2 / 3] * 2),
        # no trigram of one: 0.1
        (["a b c", "a b d"], {"n": 3}, [(2 / 3 * 1 / 2 * 0.1) ** (1 / 3)] * 2),
        (["a b c", "a b d"], {"n": 3, "smoothing": 0}, [0.0] * 2),
        (["a b c", "a b d"], {"n": 3, "smoothing": 2}, [(2 / 3 * 2 / 3 * 1 / 2) ** (1 / 3)] * 2),
        (["a b c", "a b d"], {"n": 3, "smoothing": 3}, [(2 / 3 * 1 / 2 * 1 / 2) ** (1 / 3)] * 2),
        (["a b c", "a b d"], {"n": 2, "weights": (0.75, 0.25)}, [(2 / 3) ** 0.75 * 0.5**0.25] * 2),
        (["a b c", "a b d"], {"n": 3, "weights": (1.0, 0.0, 0.0), "smoothing": 0}, [2 / 3] * 2),
        # clipped: two of three are in the other; the other is shorter than its reference
        (["a a a", "a a"], {"n": 1}, [2 / 3, math.exp(1 - 3 / 2)]),
        # two rows have most of it, so each may match all
        (["a a", "a a", "a"], {"n": 1}, [1.0, 1.0, math.exp(1 - 2 / 1)]),
        # lengths 2 and 4 are as close to 3, so the shorter one counts: no penalty
        (["a b c", "a b", "a b c d"], {"n": 1}, [1.0, math.exp(1 - 3 / 2), 3 / 4]),
        (["x", "y"], {"n": 1}, [0.0, 0.0]),
        (["a", "a", ""], {"n": 4}, [(0.1**3) ** 0.25, (0.1**3) ** 0.25, 0.0]),
        (["a"], {}, [math.nan]),
        (["", ""], {}, [math.nan, math.nan]),
        (["a", ""], {}, [0.0, 0.0]),
    ],
)
def test_by_hand(texts, parameters, expected):
    np.testing.assert_allclose(scored(texts, **DEFAULTS | parameters), expected, **REDUCTION)


def test_specs():
    report = divfast.score([["a b c", "a b d"]], ["self_bleu:n=2,weights=0.75/0.25", "self_bleu:n=3"])
    assert report["self_bleu:n=2,weights=0.75/0.25", "pooled"].value == pytest.approx(
        (2 / 3) ** 0.75 * 0.5**0.25
    )
    assert str(report["self_bleu:n=3"].signature).startswith("self_bleu:n=3,weights=uniform,smoothing=1|")
    assert (
        parse_spec("self_bleu:n=2,weights=0.75/0.25").canonical
        == "self_bleu:n=2,weights=0.75/0.25,smoothing=1"
    )


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("self_bleu:n=0", "from 1 to 8"),
        ("self_bleu:n=9", "from 1 to 8"),
        ("self_bleu:smoothing=8", "0 for none, or 1 to 7"),
        ("self_bleu:n=2,weights=0.5/x", "is not a number"),
        ("self_bleu:n=2,weights=0.5/0.6", "sum to 1"),
        ("self_bleu:n=2,weights=1.5/-0.5", "at least 0"),
        ("self_bleu:weights=0.5/0.5", "order 4 has 4 weights, got 2"),
    ],
)
@pytest.mark.parametrize("scope", ["prompt", "pooled"])
def test_refusals(spec, message, scope):
    with pytest.raises(MetricError, match=message):
        divfast.score([["a b", "a c"]], [spec], scopes=[scope])


# --- agrees --------------------------------------------------------------------------------------------------------


@given(st.lists(rows_of_tokens, max_size=4), st.integers(1, 6), st.integers(1, 3))
def test_matches(groups, order, threads):
    rows = list(itertools.chain.from_iterable(groups))
    tokens = build(rows)
    bounds = np.concatenate([[0], np.cumsum([len(group) for group in groups])]).astype(np.int64)
    matches = _core.group_matches(tokens.values, tokens.offsets, bounds, max_order=order, threads=threads)
    expected = [
        [clipped(row, [*group[:i], *group[i + 1 :]], n)[0] for n in range(1, order + 1)]
        for group in groups
        for i, row in enumerate(group)
    ]
    np.testing.assert_array_equal(matches, np.array(expected).reshape(-1, order))
    for group in groups:
        blocks = [build([row]).values for row in group]
        lengths = np.array([len(row) for row in group], np.int64)
        expected = [
            [clipped(row, [*group[:i], *group[i + 1 :]], n)[0] for n in range(1, order + 1)]
            for i, row in enumerate(group)
        ]
        for memory in (0, 1):
            matches = _core.corpus_matches(blocks, -1, lengths, order, memory, threads)
            np.testing.assert_array_equal(matches, np.array(expected).reshape(-1, order))


@given(rows_of_tokens)
def test_closest_lengths(rows):
    lengths = [len(row) for row in rows]
    expected = [
        min(lengths[:i] + lengths[i + 1 :], key=lambda other: (abs(other - own), other), default=-1)
        for i, own in enumerate(lengths)
    ]
    assert _core.closest_lengths(np.array(lengths, np.int64), one(rows)).tolist() == expected


# --- outside -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", range(8))
@given(
    st.lists(st.lists(st.integers(0, 5), max_size=12), min_size=2, max_size=5),
    st.integers(1, 6),
    st.booleans(),
)
def test_nltk(smoothing, rows, n, skewed):
    bleu = pytest.importorskip("nltk.translate.bleu_score")
    weights = tuple(2 * (n - i) / (n * (n + 1)) for i in range(n)) if skewed else (1 / n,) * n
    method = getattr(bleu.SmoothingFunction(), f"method{smoothing}")
    values = self_bleu_samples(
        build(rows), one(rows), n=n, weights=weights if skewed else None, smoothing=smoothing
    )
    for i, row in enumerate(rows):
        if not any(rows):
            assert np.isnan(values[i])
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = bleu.sentence_bleu(rows[:i] + rows[i + 1 :], row, weights, method)
        except (AssertionError, IndexError):
            # Only method 6, without a trigram in common, or an order of 3.
            assert smoothing == 6
            continue
        if smoothing == 0 and values[i] == 0:
            # A precision of 0 is the smallest float there.
            assert expected < 1e-14
            continue
        np.testing.assert_allclose(values[i], expected, **REDUCTION)


@pytest.mark.parametrize("path", parity_files(), ids=lambda path: path.stem)
def test_fast_bleu(path):
    published, outputs = parity_case(path)
    specs = [f"self_bleu:n={n}" for n in range(2, 6)]
    report = divfast.score(outputs[:60], specs, scopes=["prompt"])
    flat = [text for group in outputs for text in group if text.strip()][:400]
    pooled = divfast.score([flat], specs, scopes=["pooled"])
    for n in range(2, 6):
        values = report[f"self_bleu:n={n}"].values
        theirs = np.array(published["per_group"][f"self_bleu_{n}__first60groups"], float)
        # Where lengths are very unequal its brevity penalty is not always the same, so a few groups go to nltk.
        apart = np.flatnonzero(np.abs(values - theirs) > 1e-6)
        assert len(apart) <= 3
        for group in apart:
            assert values[group] == pytest.approx(nltk_mean(outputs[group], n), abs=1e-9)
        corpus = published["corpus"][f"self_bleu_{n}__first400nonempty"]
        assert pooled[f"self_bleu:n={n}", "pooled"].value == pytest.approx(corpus, abs=1e-6)


def nltk_mean(texts, n):
    bleu = pytest.importorskip("nltk.translate.bleu_score")
    rows = [text.split() for text in texts]
    method = bleu.SmoothingFunction().method1
    scores = [
        bleu.sentence_bleu(rows[:i] + rows[i + 1 :], row, (1 / n,) * n, method) for i, row in enumerate(rows)
    ]
    return sum(scores) / len(scores)


# --- laws ----------------------------------------------------------------------------------------------------------


@given(rows_of_tokens.filter(any), st.integers(0, 7))
def test_it_is_the_mean_of_its_samples(rows, smoothing):
    parameters = {"n": 3, "weights": None, "smoothing": smoothing}
    samples = self_bleu_samples(build(rows), one(rows), **parameters)
    value = self_bleu(build(rows), one(rows), **parameters)[0]
    np.testing.assert_allclose(value, samples.mean(), **REDUCTION)
    corpus = SelfBleuCorpus(**parameters)
    for row in rows:
        corpus.add(build([row]))
    np.testing.assert_array_equal(corpus.samples(), samples)
    np.testing.assert_allclose(corpus.result(), value, **REDUCTION)


def test_specs_that_need_the_same_counts_share_them(monkeypatch):
    texts = [["a b c d e", "a b c d f", "b c d e"], ["x y", "x y z", "y z"]]
    specs = ["self_bleu:n=2", "self_bleu:n=5", "self_bleu:smoothing=5", "ead", "distinct:n=2", "distinct:n=3"]
    scopes = ["prompt", "first", "pooled"]
    alone = [result for spec in specs for result in divfast.score(texts, [spec], scopes=scopes)]
    calls = []
    for name in ("group_matches", "corpus_matches", "ngram_counts"):
        counted = getattr(_core, name)
        monkeypatch.setattr(
            _core,
            name,
            lambda *args, _name=name, _counted=counted, **kw: (calls.append(_name), _counted(*args, **kw))[1],
        )
    together = divfast.score(texts, specs, scopes=scopes)
    for result in alone:
        np.testing.assert_array_equal(together[result.metric, result.scope].values, result.values)
    assert [calls.count(name) for name in ("group_matches", "corpus_matches", "ngram_counts")] == [1, 2, 1]


@pytest.fixture(scope="module")
def blocks():
    """Some hundred thousand tokens, frequent and rare ones, in blocks."""
    texts = [text for group in zipf_texts(60, 50, 60) for text in group]
    texts[7] = texts[8] = "a a a b " * 5000
    rows = divfast.views.tokens.BuiltInTokens("whitespace").build(divfast.Samples.from_lists([texts]))
    cuts = [0, 1, 1, 700, 701, 2999, 3000]
    return [rows.slice(a, b) for a, b in itertools.pairwise(cuts)]


def corpora(blocks, orders=(4, 2, 5)):
    """Return accumulators that share what the first has seen."""
    first, *others = [SelfBleuCorpus(**DEFAULTS | {"n": n}) for n in orders]
    assert all(first.adopt(other) for other in others)
    for block in blocks:
        first.add(block)
    return [first, *others]


@pytest.mark.parametrize("memory", [1, 1 << 16, 1 << 20, 1 << 24])
@pytest.mark.parametrize("threads", [1, 3])
def test_memory_changes_no_digit(blocks, memory, threads):
    expected = [corpus.result() for corpus in corpora(blocks)]
    with engine.use_memory(memory), engine.use_threads(threads):
        limited = corpora(blocks)
        assert (limited[0]._seen.tape.file is not None) == (memory < 1 << 22)
        assert [corpus.result() for corpus in limited] == expected
    whole = Ragged.concat(blocks)
    one_group = self_bleu(whole, np.array([0, len(whole)]), n=5, weights=None, smoothing=1)[0]
    np.testing.assert_allclose(expected[2], one_group, **EXACT)


def test_merged_from_files(blocks):
    expected = corpora(blocks)[0].result()
    with engine.use_memory(1 << 16):
        left, right = corpora(blocks[:3])[0], corpora(blocks[3:])[0]
        left.merge(right)
        assert left.result() == expected


def test_matches_in_many_passes_are_those_in_one(blocks):
    values = [np.ascontiguousarray(block.values[block.offsets[0] : block.offsets[-1]]) for block in blocks]
    lengths = np.concatenate([block.lengths for block in blocks])
    once = _core.corpus_matches(values, -1, lengths, 5)
    for memory in (1, 1 << 18, 1 << 21):
        np.testing.assert_array_equal(_core.corpus_matches(values, -1, lengths, 5, memory), once)


# --- survives ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [0, 1, 2, 15, 16, 17, 63, 64, 65, 100_000])
def test_identical_rows(k):
    rows = build([[1, 2, 3, 1, 2]] * k)
    value = self_bleu(rows, np.array([0, k]), **DEFAULTS)[0]
    corpus = SelfBleuCorpus(**DEFAULTS)
    corpus.add(rows)
    for score in (value, corpus.result()):
        assert np.isnan(score) if k < 2 else score == 1


def test_one_frequent_word_needs_no_memory_of_its_own():
    long = np.zeros(400_000, np.uint64)
    matches = _core.corpus_matches([long, long], -1, np.array([400_000, 400_000]), 3, memory=1)
    np.testing.assert_array_equal(matches, [[400_000, 399_999, 399_998]] * 2)


@pytest.mark.parametrize("length", [63, 64, 65, 127, 128, 129, 1_000_000])
def test_long_rows(length):
    rows = build([[*range(length)], [*range(length // 2)], [], [0]])
    for matches in (
        _core.group_matches(rows.values, rows.offsets, np.array([0, 4]), 3),
        _core.corpus_matches([rows.values], -1, rows.lengths, 3),
    ):
        half = length // 2
        assert matches.tolist() == [
            [half, half - 1, half - 2],
            [half, half - 1, half - 2],
            [0, 0, 0],
            [1, 0, 0],
        ]


def test_hostile_arrays():
    values, lengths = np.zeros(4, np.uint64), np.array([2, 2])
    for block, sizes in ((values, [2, 3]), (values, [3, -1, 2]), (values, [2]), (values, [1 << 40, 1])):
        with pytest.raises(ValueError, match=r"rows|lengths"):
            _core.corpus_matches([block], -1, np.array(sizes), 2)
    with pytest.raises(ValueError, match="whole rows"):
        _core.corpus_matches([values[:1], values[1:]], -1, lengths, 2)
    with pytest.raises(ValueError, match="max_order"):
        _core.corpus_matches([values], -1, lengths, 0)
    with pytest.raises(OSError, match="descriptor"):
        _core.corpus_matches([], os.dup(0) + 99, lengths, 2)


def test_odd_texts():
    texts = ["👩‍👩‍👧 שלום 你好", "👩‍👩‍👧 שלום", "...", "", "é" * 100_000]
    value = divfast.score([texts], ["self_bleu:n=2"], scopes=["prompt"])["self_bleu:n=2"].value
    assert 0 < value < 1


@pytest.mark.parametrize("broken", ["write", "read"])
def test_temporary_files_are_gone_whatever_happens(blocks, tmp_path, monkeypatch, broken):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with engine.use_memory(1 << 16):
        corpus = corpora(blocks)[0]
        assert list(tmp_path.iterdir()) == []
        if broken == "read":
            corpus._seen.tape.file.truncate(100)
            with pytest.raises(DataError, match="cannot be read"):
                corpus.result()
            return
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
        with pytest.raises(DataError, match="cannot be put aside: no such file or directory"):
            corpora(blocks)
    assert list(tmp_path.iterdir()) == []
