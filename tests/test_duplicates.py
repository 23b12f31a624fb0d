"""Exact and near-duplicates: by hand, against all pairs, the same in any blocks, threads and memory."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import divfast
from divfast import _core
from divfast.duplicate_clusters import Recipe
from divfast.duplicates import find_duplicates
from divfast.errors import DivfastError, MetricError
from divfast.samples import Ragged, Samples

WORDS = ("a", "b", "cat", "dog", "sat", "on", "the", "mat", "é", "漢", "👍🏽")
texts = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
# Texts like one another: each is one of a few with a word put in, so that there is something to find.
groups = st.lists(st.lists(texts, max_size=6), min_size=1, max_size=4)
thresholds = st.sampled_from([0.2, 0.5, 0.6, 0.75, 0.8, 1.0])


def shingle_set(text, n, unit):
    """Return the shingles of a text as Python has them."""
    units = (
        list(text) if unit == "chars" else "".join(c.lower() if c.isalnum() else " " for c in text).split()
    )
    if not units:
        return set()
    return {tuple(units[i : i + n]) for i in range(max(1, len(units) - n + 1))}


def components(flat, *, near, threshold, n, unit):
    """Return for every text the first of its component, looking at all pairs."""
    root = list(range(len(flat)))

    def find(i):
        while root[i] != i:
            i = root[i]
        return i

    sets = [shingle_set(text, n, unit) for text in flat]
    for i, j in combinations(range(len(flat)), 2):
        a, b = sets[i], sets[j]
        alike = near and a and b and len(a & b) / len(a | b) >= threshold
        if flat[i] == flat[j] or alike:
            low, high = sorted((find(i), find(j)))
            root[high] = low
    return [find(i) for i in range(len(flat))]


def clusters(found):
    return found.samples.column("cluster").to_pylist()


def first_of(labels):
    """Return for every row the first row with its label."""
    return [labels.index(label) for label in labels]


def test_by_hand():
    # 16 five-character shingles of "a cat sat on the mat"; the full stop adds one.
    found = find_duplicates(
        [["a cat sat on the mat", "a cat sat on the mat.", ""], ["a cat sat on the mat", "no", "", ""]]
    )
    assert found.samples.to_pydict() == {
        "input_id": ["0", "0", "0", "1", "1", "1", "1"],
        "position": [0, 1, 2, 3, 4, 5, 6],
        "cluster": [0, 0, 1, 0, 2, 1, 1],
        "size": [3, 3, 3, 3, 1, 3, 3],
        "kept": [True, False, True, False, True, False, False],
        "exact": [False, False, False, True, False, True, True],
    }
    (row,) = found.totals()
    assert row == {
        "dump": None, "prompts": 2, "samples": 7, "exact": 3, "near": 1, "kept": 3,
        "unique_exact": 4 / 7, "unique_near": 3 / 7,
    }  # fmt: skip
    assert [text for _, text in found.largest] == ["a cat sat on the mat", ""]
    assert str(found.signature).startswith(
        "dedupe:threshold=0.8,unit=chars,shingle=5,hashes=128,bands=21x6,seed=0|scope:pooled|groups:1|rows:7|norm:none|data:"
    )


def test_by_prompt_by_hand():
    found = find_duplicates([["a b", "a b"], ["a b", "x"]], scope="prompt")
    assert clusters(found) == [0, 0, 1, 2]
    assert found.recall == 1
    assert "bands" not in str(found.signature)


@pytest.mark.parametrize("scope", ["pooled", "prompt"])
def test_the_threshold_itself_is_near(scope):
    # {1, 2, 3, 4} of {1, 2, 3, 4, 5}: exactly 0.8, which no binary fraction is.
    pair = [["1 2 3 4", "1 2 3 4 5"]]
    more = {"unit": "words", "shingle": 1, "scope": scope, "hashes": 1024, "bands": 1024}
    assert clusters(find_duplicates(pair, threshold=0.8, **more)) == [0, 0]
    assert clusters(find_duplicates(pair, threshold=0.8000001, **more)) == [0, 1]


def test_chains_are_one_cluster():
    # Neighbours share 4 of 6 words, the ends 3 of 7.
    chain = [["1 2 3 4 5", "2 3 4 5 6", "3 4 5 6 7"]]
    for scope in ("pooled", "prompt"):
        found = find_duplicates(chain, threshold=0.6, unit="words", shingle=1, scope=scope, bands=128)
        assert clusters(found) == [0, 0, 0]


def test_different_texts_with_the_same_shingles():
    found = find_duplicates([["a" * 5, "a" * 9, "aaaa"]])
    assert clusters(found) == [0, 0, 1]
    assert found.samples.column("exact").to_pylist() == [False, False, False]


def test_words_and_folding():
    pair = [["The cat, sat on the mat", "the CAT sat  on the mat "]]
    assert clusters(find_duplicates(pair)) == [0, 1]
    words = find_duplicates(pair, unit="words")
    assert clusters(words) == [0, 0] and not words.exact.any()
    folded = find_duplicates([["The  cat", " the\tCAT\n", "a cat"]], normalise="fold", exact=True)
    assert clusters(folded) == [0, 0, 1] and folded.exact.tolist() == [False, True, False]
    assert "|norm:fold|" in str(folded.signature)
    assert str(folded.signature).startswith("dedupe:exact|")


def test_no_word_is_equal_to_the_same_and_near_to_none():
    found = find_duplicates([["...", "!!!", "...", "", ""]], unit="words")
    assert clusters(found) == [0, 1, 0, 2, 2]


@given(st.lists(st.text("aB É\t\n\u3000漢İ👍", max_size=12), max_size=6))
def test_folding_is_what_python_does(many):
    rows = Ragged.from_strings(many)
    folded = Ragged(*_core.fold_text(rows.values, rows.offsets)).strings()
    assert folded == [" ".join("".join(c.lower() for c in text).split()) for text in many]


@settings(max_examples=60)
@given(groups, thresholds, st.integers(1, 6), st.sampled_from(["chars", "words"]), st.booleans())
def test_prompts_agree_with_all_pairs(outputs, threshold, n, unit, near):
    found = find_duplicates(
        outputs, scope="prompt", threshold=threshold, shingle=n, unit=unit, exact=not near
    )
    labels, start = clusters(found), 0
    for group in outputs:
        expected = components(group, near=near, threshold=threshold, n=n, unit=unit)
        assert first_of(labels[start : start + len(group)]) == expected
        start += len(group)
    assert found.kept.tolist() == [labels.index(label) == i for i, label in enumerate(labels)]
    assert found.size.tolist() == [labels.count(label) for label in labels]


@settings(max_examples=60)
@given(groups, thresholds, st.integers(1, 6), st.sampled_from(["chars", "words"]), st.integers(0, 9))
def test_the_corpus_agrees_with_all_pairs(outputs, threshold, n, unit, seed):
    flat = [text for group in outputs for text in group]
    expected = components(flat, near=True, threshold=threshold, n=n, unit=unit)
    asked = {"threshold": threshold, "shingle": n, "unit": unit, "seed": seed}
    # With many bands of one hash nothing that is similar escapes.
    assert first_of(clusters(find_duplicates(outputs, hashes=512, bands=512, **asked))) == expected
    # With few bands whatever is together belongs together.
    few = first_of(clusters(find_duplicates(outputs, hashes=16, bands=2, **asked)))
    assert all(expected[i] == expected[few[i]] for i in range(len(flat)))


def similar_texts(count, seed=0):
    """Return texts most of which are like some others: a sentence with a few words replaced."""
    rng = np.random.default_rng(seed)
    words = np.array([f"w{i}" for i in range(300)])
    sentences = rng.choice(words, (max(1, count // 10), 30))
    out = []
    for i in range(count):
        row = sentences[i % len(sentences)].copy()
        for at in rng.integers(0, 30, rng.integers(0, 6)):
            row[at] = rng.choice(words)
        out.append(" ".join(row))
    return out


@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_many_of_one_prompt_agree_with_all_pairs(threshold):
    # More than are compared each with each, some large clusters, some alone.
    flat = similar_texts(200)
    found = find_duplicates([flat], scope="prompt", threshold=threshold)
    expected = components(flat, near=True, threshold=threshold, n=5, unit="chars")
    assert first_of(clusters(found)) == expected
    assert 10 < len(set(expected)) < 190


@pytest.mark.parametrize("count", [1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 300])
def test_one_bucket_of_many(count):
    # One template and a number: all share bands, not all reach the threshold.
    flat = [f"the answer to your question is {i * 7919 % 1000:03d} and not more" for i in range(count)]
    expected = components(flat, near=True, threshold=0.84, n=5, unit="chars")
    for scope in ("prompt", "pooled"):
        found = find_duplicates([flat], scope=scope, threshold=0.84, hashes=256, bands=256)
        assert first_of(clusters(found)) == expected


def test_recall_is_what_is_promised():
    # Pairs of 40 shingles that share 32 of 40: exactly the threshold.
    rng = np.random.default_rng(5)
    flat = []
    for i in range(2000):
        shared = [f"{i}s{j}" for j in rng.permutation(32)]
        flat += [" ".join([*shared, *(f"{i}{side}{j}" for j in range(4))]) for side in "xy"]
    found = find_duplicates([flat], unit="words", shingle=1, hashes=64, bands=8)
    pairs = np.count_nonzero(found.size == 2) / 2
    assert abs(pairs / 2000 - found.recall) < 4 * np.sqrt(found.recall * (1 - found.recall) / 2000)
    assert 0.5 < found.recall < 0.9


def test_bands_are_chosen_for_recall():
    def recipe(threshold, hashes=128):
        return Recipe("pooled", threshold, False, "chars", 5, hashes, None, "none", 0)

    assert recipe(0.8).bands_and_rows == (21, 6)
    assert recipe(0.8).recall == pytest.approx(1 - (1 - 0.8**6) ** 21)
    for threshold in (0.3, 0.5, 0.7, 0.9, 0.99):
        bands, rows = recipe(threshold).bands_and_rows
        assert recipe(threshold).recall >= 0.99
        assert 1 - (1 - threshold ** (rows + 1)) ** (128 // (rows + 1)) < 0.99
        assert bands * rows <= 128
    assert recipe(1.0).bands_and_rows == (1, 128)
    # Where even single hashes are too few, they are still all there is.
    assert recipe(0.01, hashes=2).bands_and_rows == (2, 1)


def test_survives():
    million = " ".join(map(str, range(170_000)))
    rows = Ragged.from_strings(
        [
            million,
            million + "x",
            b"\xff\xfe\x80",
            b"\xff\xfe\x81",
            "e\u0301" * 9,
            "👩‍👩‍👧" * 5,
            "שלום עולם" * 3,
            "",
            " ",
        ]
    )
    samples = Samples.from_lists([["x"] * len(rows)])
    samples = Samples(rows, samples.groups, samples.ids, samples.prompts, samples.positions)
    for unit in ("chars", "words"):
        for scope in ("pooled", "prompt"):
            found = find_duplicates(samples, unit=unit, scope=scope)
            assert clusters(found) == [0, 0, 1, 2, 3, 4, 5, 6, 7]
    assert len(found.largest[0][1]) < 500
    empty = find_duplicates(Samples.from_lists([]))
    assert len(empty) == 0 and empty.totals()[0]["unique_near"] is None
    assert clusters(find_duplicates([[], [""], []])) == [0]
    many = find_duplicates([["same text here"] * 100_000])
    assert many.size.tolist() == [100_000] * 100_000 and many.kept.sum() == 1


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=20), max_size=8), st.integers(1, 4))
def test_any_bytes(rows, n):
    text = Ragged.from_strings(rows)
    groups = np.array([0, len(rows)])
    equal, near = _core.group_duplicates(text.values, text.offsets, groups, True, "chars", n, 0.5)
    decoded = [row.decode("utf-8", "surrogateescape") for row in rows]
    assert near.tolist() == components(decoded, near=True, threshold=0.5, n=n, unit="chars")
    assert equal.tolist() == first_of(rows)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"scope": "first"}, "scope cannot be 'first'"),
        ({"unit": "bytes"}, "unit cannot be 'bytes'"),
        ({"normalise": "nfc"}, "normalise cannot be 'nfc'"),
        ({"threshold": 0}, "threshold must be above 0"),
        ({"threshold": float("nan")}, "threshold must be above 0"),
        ({"shingle": 0}, "shingle must be from 1"),
        ({"hashes": 0}, "hashes must be from 1"),
        ({"hashes": 8, "bands": 9}, "bands must be from 1 to 8"),
        ({"seed": -1}, "seed must be from 0"),
    ],
)
def test_bad_recipes(asked, message):
    with pytest.raises(MetricError, match=message):
        find_duplicates([["a"]], **asked)


def test_a_full_disk_is_one_sentence(monkeypatch):
    import tempfile

    monkeypatch.setattr(tempfile, "TemporaryFile", lambda **more: Path("/dev/full").open("rb+"))  # noqa: SIM115
    with pytest.raises(DivfastError, match="cannot be kept in a temporary file: no space left"):
        find_duplicates([["abc " * 100]], memory=4)


def test_the_core_refuses_what_would_not_end_well():
    values, offsets = np.zeros(3, np.uint8), np.array([0, 1, 3])
    with pytest.raises(ValueError):
        _core.group_duplicates(values, np.array([0, 9]), np.array([0, 1]), True, "chars", 5, 0.8)
    with pytest.raises(ValueError):
        _core.group_duplicates(values, offsets, np.array([1, 2]), True, "chars", 5, 0.8)
    with pytest.raises(ValueError):
        _core.group_duplicates(values, offsets, np.array([0, 2]), True, "chars", 0, 0.8)
    held = _core.DistinctTexts(0, -1)
    assert held.add(values, offsets).tolist() == [0, 1]
    with pytest.raises(ValueError):
        held.near("chars", 5, float("nan"), 1, 1, 0, 0)
    with pytest.raises(ValueError):
        held.near("chars", 5, 0.8, 0, 1, 0, 0)
    with pytest.raises(IndexError):
        held.gather(np.array([2], np.uint32))


def test_real_dumps(shared):
    pattern = str(shared / "data" / "cruxeval" / "cruxeval_output__*7b@T0.8.jsonl.gz")
    found = find_duplicates(pattern)
    flat = [
        text
        for path in sorted({*map(str, found.dumps)})
        for block in divfast.read(path)
        for text in block.text.strings()
    ]
    assert len(found) == len(flat)
    assert np.count_nonzero(found.exact) == len(flat) - len(set(flat))
    distinct = list(dict.fromkeys(flat))[:600]
    expected = components(distinct, near=True, threshold=0.8, n=5, unit="chars")
    assert first_of(clusters(find_duplicates([distinct], hashes=256, bands=64))) == expected
