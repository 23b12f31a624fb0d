"""NLI diversity: by hand, as the paper's code draws, over a corpus, and against what that code gives."""

import importlib.util
import math
import random
import re

import numpy as np
import pytest

import divfast
from conftest import SHARED, parity_case, parity_files
from divfast.judged import JudgedRows
from divfast.metrics import nli as module
from divfast.metrics.nli import NliCorpus, nli
from divfast.samples import Ragged
from divfast.sentences import drawn_places, split_sentences
from divfast.testing import build, overlap_judge

WITHOUT = [name for name in ("torch", "transformers") if importlib.util.find_spec(name) is None]
needs_models = [
    pytest.mark.model,
    pytest.mark.skipif(bool(WITHOUT), reason=f"not installed: {', '.join(WITHOUT)} (the embed extra)"),
]
LONG = [" ".join(f"x{i * j % 3} y{(i + j * j) % 4}." for j in range(7)) for i in range(6)]


def scores(groups, **parameters):
    return nli(*build("judgments", groups), **parameters)


# Known.


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        (" \n\t\r\n ", []),
        ("One.", ["One."]),
        ("One. Two", ["One", "Two"]),
        ("What?! Yes...  3.5 is fine.", ["What", "Yes", "3.5 is fine."]),
        ("a\r\nb\n\n\nc\td", ["a", "b", "c d"]),
        ("...", ["..."]),
        ("漢字。かな", ["漢字。かな"]),
    ],
)
def test_sentences(text, sentences):
    assert split_sentences(text) == sentences


def test_by_hand():
    # "a b" entails "a" with 0.75; "a" is neutral of "a b" with 0.25 and 0.25; nothing shared: -0.75 both ways.
    assert scores([["a b", "a"]])[0] == pytest.approx(1 - (0.75 + 0.0) / 2)
    assert scores([["a", "c"]])[0] == pytest.approx(1.75)
    assert scores([["a", "a"]])[0] == pytest.approx(0.25)
    # One pair of two aligned sentences and two of one: a mean over four, not over three pairs.
    assert scores([["a. b", "a. c", "a"]])[0] == pytest.approx(1 - (0.75 - 0.75 + 0.75 + 0.75) / 4)


def test_what_has_no_pair_is_undefined():
    values = scores([[], ["a"], ["", " \n"], ["a", ""], ["a", "a"]])
    assert np.isnan(values).tolist() == [True, True, True, True, False]
    assert scores([[], ["a"], ["", " \n"]], preset="paper").tolist() == [0.0, 0.0, 0.0]


def test_no_answer_is_undefined():
    def silent(texts, pairs):
        found = overlap_judge(texts, pairs)
        found[[texts[a] == "x" for a, _ in pairs]] = np.nan
        return found

    rows, groups = build("judgments", [["a", "b"], ["a", "x"]])
    rows.judge = silent
    assert np.isnan(nli(rows, groups)).tolist() == [False, True]


# What is drawn.


def test_draws_are_fair_and_without_replacement():
    keys = np.random.default_rng(0).integers(0, 2**63, (2, 60_000), np.uint64)
    places = drawn_places(*keys, np.full(60_000, 5), 3, 0)
    assert (np.sort(places, axis=1)[:, 1:] > np.sort(places, axis=1)[:, :-1]).all()
    _, counts = np.unique(np.sort(places, axis=1) @ [25, 5, 1], return_counts=True)
    assert len(counts) == 10
    assert abs(counts - 6000).max() < 6 * np.sqrt(6000)
    np.testing.assert_array_equal(places, drawn_places(*keys[::-1], np.full(60_000, 5), 3, 0))
    assert (places != drawn_places(*keys, np.full(60_000, 5), 3, 1)).any()


def test_another_seed_draws_other_sentences():
    values = {scores([LONG], sentences=2, seed=seed)[0] for seed in range(8)}
    assert len(values) > 4
    assert scores([LONG], sentences=10, seed=1)[0] == scores([LONG], sentences=None)[0]


def with_blocks(blocks):
    """Return the values of a dump that is read in blocks."""
    streams, out = {}, []
    for number, groups in enumerate(blocks):
        rows, offsets = build("judgments", groups)
        block = JudgedRows(
            rows.text,
            rows.judge,
            rows.prompts,
            rows.prompt_of,
            rows.logprobs,
            rows.tokens,
            streams=streams,
            block=number,
        )
        first = nli(block, offsets, sentences=2, preset="paper")
        # Another spec of the same seed draws what the first one drew.
        np.testing.assert_array_equal(nli(block, offsets, sentences=2, preset="paper"), first)
        out.append(first)
    return np.concatenate(out)


def test_the_stream_of_the_paper_runs_through_groups_and_blocks():
    groups = [LONG[:3], LONG[2:], ["a"], LONG, LONG[::2]]
    together = scores(groups, sentences=2, preset="paper")
    np.testing.assert_array_equal(with_blocks([groups]), together)
    np.testing.assert_array_equal(with_blocks([groups[:1], [], groups[1:4], groups[4:]]), together)
    assert scores(groups[3:], sentences=2, preset="paper")[0] != together[3]


def test_the_stream_is_that_of_the_published_code():
    stream = random.Random(7)
    expected = []
    for group in ([LONG[0], LONG[0], LONG[1]], LONG[2:4]):
        found = []
        for i in range(len(group)):
            for j in range(i + 1, len(group)):
                a, b = split_sentences(group[i]), split_sentences(group[j])
                for at in stream.sample(list(range(min(len(a), len(b)))), 3):
                    both = overlap_judge([a[at], b[at]], np.array([[0, 1], [1, 0]])).astype(float)
                    found.append((both[:, 0] - both[:, 2]).mean())
        expected.append(1 - np.mean(found))
    got = scores([[LONG[0], LONG[0], LONG[1]], LONG[2:4]], seed=7, preset="paper")
    np.testing.assert_allclose(got, expected, rtol=1e-12)


# Over a corpus.


def test_a_corpus_is_sampled_by_rows():
    texts = [f"a{i % 7} b{i % 3}. c{i % 5}" for i in range(300)]
    whole = scores([texts])[0]

    def corpus(**parameters):
        drawn = NliCorpus(**parameters)
        for part in (texts[:100], texts[100:]):
            drawn.add(build("judgments", [part])[0])
        return drawn.result()

    assert corpus() == pytest.approx(whole, rel=1e-12)
    assert corpus(sample=100) != whole
    assert corpus(sample=100) == pytest.approx(whole, abs=0.1)
    assert corpus(sample=100) == corpus(sample=100)
    assert corpus(sample=100, seed=1) != corpus(sample=100)
    assert math.isnan(NliCorpus().result())
    assert NliCorpus(preset="paper").result() == 0.0


# Survives.


@pytest.mark.parametrize("k", [1, 2, 15, 16, 17, 63, 64, 65])
def test_sizes(k):
    values = scores([[f"w{i % 5}" for i in range(k)], ["a", "a"]])
    assert np.isnan(values[0]) == (k < 2)
    assert values[1] == pytest.approx(0.25)


def test_large_groups_are_taken_in_strips(monkeypatch):
    expected = scores([LONG * 5, LONG], sentences=2)
    monkeypatch.setattr(module, "_PAIRS_AT_ONCE", 40)
    module._strip.cache_clear()
    np.testing.assert_allclose(scores([LONG * 5, LONG], sentences=2), expected, rtol=1e-12)
    np.testing.assert_array_equal(
        scores([LONG * 5, LONG], sentences=2, preset="paper"), with_blocks([[LONG * 5, LONG]])
    )


def test_hostile_texts():
    texts = ["x" * 100_000, "a. " * 30_000, "\U0001f468\u200d\U0001f469. مرحبا! 漢字", "\ud800 lone", "\x00"]
    assert 0 <= scores([texts])[0] <= 2
    text = Ragged(np.frombuffer(b"\xff\xfe. a\xc3", np.uint8), np.array([0, 3, 6]))
    rows, _ = build("judgments", [["", ""]])
    rows.text = text
    assert 0 <= nli(rows, np.array([0, 2]))[0] <= 2


def test_10_5_rows():
    values = scores([[f"a{i % 3} b", f"a{i % 2}"] for i in range(50_000)])
    assert values.shape == (50_000,) and np.isfinite(values).all()


# Outside.


@pytest.mark.skipif(not parity_files(), reason="the folder of shared test data is absent (DIVFAST_SHARED)")
class TestParity:
    pytestmark = needs_models

    @pytest.mark.parametrize("path", parity_files(), ids=lambda path: path.stem)
    def test_as_the_published_code(self, path):
        values, outputs = parity_case(path)
        report = divfast.score(
            [group[:6] for group in outputs[:25]],
            ["nli:sentences=all", "nli:seed=1234"],
            scopes=["prompt"],
            preset="paper",
            judge=str(SHARED / "models" / "tiny-nli"),
            cache=False,
        )
        for spec, key in (
            ("nli:sentences=all", "nli_all_sentences"),
            ("nli:seed=1234", "nli_sample3_seed1234"),
        ):
            published = values["per_group"][f"{key}__first25groups_first6outputs"]
            expected = np.array([math.nan if value is None else value for value in published])
            np.testing.assert_allclose(report[spec].values, expected, rtol=0, atol=1e-5)
        signature = str(report["nli:seed=1234"].signature)
        assert re.search(
            r"nli:sentences=3,sample=500,seed=1234\|.*\|judge:tiny-nli@[0-9a-f]{8}/512/f32\|", signature
        )
