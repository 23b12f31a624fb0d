"""What the core counts for the statistics of texts: in any split, on any number of threads, arguments checked."""

import math
import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from divfast import _core
from divfast.registry import parse_spec
from divfast.samples import Ragged


@given(st.lists(st.text(" a\n\té漢", max_size=80), max_size=6))
def test_spaces_are_single_blanks(texts):
    rows = Ragged.from_strings(texts)
    tokens = Ragged(*_core.tokenize(rows.values, rows.offsets, "spaces"))
    assert tokens.lengths.tolist() == [len(text.split(" ")) for text in texts]
    for text in texts:
        found = [token.decode() for token in _core.token_strings(text.encode(), "spaces")]
        assert found == text.split(" ")


@given(st.lists(st.lists(st.lists(st.integers(0, 4), max_size=9), max_size=6), max_size=5), st.integers(1, 5))
def test_counts_are_those_of_a_dictionary(blocks, order):
    parts = []
    for block in blocks:
        bounds = np.concatenate([[0], np.cumsum([len(row) for row in block])]).astype(np.int64)
        flat = np.array([token for row in block for token in row], np.uint64)
        counts = _core.NgramCounts(order)
        counts.add(flat, bounds)
        parts.append(pickle.loads(pickle.dumps(counts)))
    whole = _core.NgramCounts(order)
    for part in parts:
        whole.merge(part)
    grams = Counter(
        tuple(row[i : i + order]) for block in blocks for row in block for i in range(len(row) - order + 1)
    )
    expected = sorted(Counter(grams.values()).items(), reverse=True)
    count, many = whole.spectrum()
    assert list(zip(count.tolist(), many.tolist(), strict=True)) == expected
    whole.merge(whole)
    assert whole.spectrum()[0].tolist() == [2 * c for c, _ in expected]


@pytest.mark.parametrize("threads", [1, 3])
def test_rows_share_ngrams_over_threads_and_processes(threads):
    random = np.random.default_rng(2)
    lengths = random.integers(0, 40, 20_000)
    bounds = np.concatenate([[0], np.cumsum(lengths)])
    tokens = random.integers(0, 60, bounds[-1]).astype(np.uint64)
    groups = np.array([0, 0, 5_000, 20_000])
    hits = _core.shared_ngrams(tokens, bounds, groups, order=2, threads=threads)
    rows = _core.RowNgrams(2)
    rows.add(tokens, bounds[:5001], threads=threads)
    other = _core.RowNgrams(2)
    other.add(tokens, bounds[5000:], threads=threads)
    assert rows.hits(threads=threads).tolist() == hits[:5000].tolist()
    assert pickle.loads(pickle.dumps(other)).hits(threads=threads).tolist() == hits[5000:].tolist()
    rows.merge(other)
    whole = _core.shared_ngrams(tokens, bounds, np.array([0, 20_000]), order=2, threads=threads)
    assert len(rows) == 20_000
    assert rows.hits(threads=threads).tolist() == whole.tolist()


def test_counts_are_shared_between_metrics_and_made_anew_for_other_groups():
    rows = Ragged(np.array([1, 2, 1, 2, 3], np.uint64), np.array([0, 2, 5]))
    entropy, distinct = parse_spec("entropy").metric.function, parse_spec("distinct").metric.function
    one, two = np.array([0, 2]), np.array([0, 1, 2])
    assert distinct(rows, one).tolist() == [3 / 5]
    assert distinct(rows, two).tolist() == [1.0, 1.0]
    assert distinct(rows, one, n=2).tolist() == [2 / 3]
    assert entropy(rows, two)[0] == pytest.approx(math.log(2))
    assert entropy(rows, one)[0] == pytest.approx(0.8 * math.log(2.5) + 0.2 * math.log(5))


@pytest.mark.parametrize("name", ["ngram_spectrum", "shared_ngrams"])
def test_arguments_are_checked(name):
    function = getattr(_core, name)
    tokens, offsets = np.zeros(3, np.uint64), np.array([0, 3])
    with pytest.raises(ValueError, match="groups"):
        function(tokens, offsets, np.array([0, 2]), order=1)
    with pytest.raises(ValueError, match="order"):
        function(tokens, offsets, np.array([0, 1]), order=0)
    with pytest.raises(ValueError, match="offsets"):
        function(tokens, np.array([0, 4]), np.array([0, 1]), order=1)


def test_more_arguments_are_checked():
    tokens, offsets = np.zeros(3, np.uint64), np.array([0, 3])
    for words in (
        {"measure": "hdd"},
        {"measure": "mattr", "window": 0},
        {"measure": "mtld", "threshold": 1.0},
    ):
        with pytest.raises(ValueError, match=r"measure|window|threshold"):
            _core.type_token(tokens, offsets, **words)
    with pytest.raises(ValueError, match="normalization"):
        _core.text_fingerprints(np.zeros(3, np.uint8), offsets, "casefold")
    for kind in (_core.NgramCounts, _core.RowNgrams):
        with pytest.raises(ValueError, match="order"):
            kind(0)
        with pytest.raises(ValueError, match="order"):
            kind(1).merge(kind(2))
