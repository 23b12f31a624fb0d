"""Semantic entropy, classes and kernel entropy against tables worked out by hand."""

import math

import numpy as np
import pytest

import divfast
from divfast.errors import MetricError
from divfast.judged import JudgedRows
from divfast.metrics.kernel_entropy import kernel_entropy
from divfast.metrics.nli_clusters import nli_clusters
from divfast.metrics.semantic_entropy import semantic_entropy
from divfast.samples import Ragged
from divfast.testing import build
from divfast.views.judgments import JudgmentView

# What A, B, C, D say of each other, premise by row: E entails, N neutral, C contradicts.
TABLE = {"A": "-ENC", "B": "E-EN", "C": "NE-N", "D": "CNE-"}
CHANCES = {"E": (0.8, 0.15, 0.05), "N": (0.2, 0.7, 0.1), "C": (0.0, 0.1, 0.9), "-": (1.0, 0.0, 0.0)}


def by_table(texts, pairs):
    said = [(texts[a].split()[-1], texts[b].split()[-1]) for a, b in pairs]
    return np.array([CHANCES[TABLE[a]["ABCD".index(b)]] for a, b in said], np.float32).reshape(-1, 3)


def rows_of(*groups, logprobs=None, tokens=None, prompts=None, judge=by_table):
    flat = [text for group in groups for text in group]
    offsets = np.cumsum([0, *map(len, groups)])
    of = np.repeat(np.arange(len(groups)), np.diff(offsets))
    if prompts is None:
        of[:] = -1
    unknown = [np.nan] * len(flat)
    numbers = [np.array(values or unknown, float) for values in (logprobs, tokens)]
    return JudgedRows(
        Ragged.from_strings(flat), judge, Ragged.from_strings(prompts or []), of, *numbers
    ), offsets


def entropy(*shares):
    return -sum(share * math.log(share) for share in shares)


# A and B entail one another, and so do B and C, but A and C are neutral both ways. D: contradicts A, neutral of B both
# ways, entails C, which is neutral of it.
@pytest.mark.parametrize(
    ("rule", "samples", "sizes"),
    [
        ("first", "ABCD", [2, 1, 1]),  # C is compared with A, the first member
        ("first", "BACD", [3, 1]),
        ("first", "AABB", [4]),
        ("strict", "ABCD", [2, 1, 1]),
        ("strict", "ACBD", [1, 2, 1]),  # C begins a class and takes B out of that of A
        ("first", "ACBD", [2, 1, 1]),
        ("nonstrict", "ACBD", [1, 3]),  # C takes B and D: no contradiction, not both neutral
        ("nonstrict", "ABCD", [2, 2]),
        ("either", "ABCD", [2, 2]),
        ("either", "DCBA", [2, 2]),
        ("strict", "AACBA", [3, 2]),
    ],
)
def test_classes_by_hand(rule, samples, sizes):
    rows, groups = rows_of(list(samples))
    assert nli_clusters(rows, groups, rule=rule).tolist() == [len(sizes)]
    shares = [size / len(samples) for size in sizes]
    np.testing.assert_allclose(
        semantic_entropy(rows, groups, rule=rule), [entropy(*shares)], rtol=1e-12, atol=1e-12
    )


def test_weighted_by_likelihood():
    logprobs = [math.log(p) for p in (0.4, 0.2, 0.1, 0.1)]
    rows, groups = rows_of(list("ABCD"), logprobs=logprobs)
    # Classes {A, B}, {C}, {D}: 0.6, 0.1 and 0.1 of 0.8.
    value = semantic_entropy(rows, groups, estimator="likelihood")
    np.testing.assert_allclose(value, [entropy(0.75, 0.125, 0.125)], rtol=1e-12)
    value = semantic_entropy(rows, groups, estimator="sampled")
    np.testing.assert_allclose(value, [-(2 * math.log(0.6) + 2 * math.log(0.1)) / 4], rtol=1e-12)


def test_normalized_by_length():
    logprobs, tokens = [2 * math.log(0.5), 3 * math.log(0.2)], [2.0, 3.0]
    rows, groups = rows_of(list("AD"), logprobs=logprobs, tokens=tokens)
    value = semantic_entropy(rows, groups, estimator="likelihood", normalized=True)
    np.testing.assert_allclose(value, [entropy(5 / 7, 2 / 7)], rtol=1e-12)


def test_very_unlikely_samples():
    rows, groups = rows_of(list("AD"), logprobs=[-5000.0, -5000.0])
    for estimator, value in (("likelihood", math.log(2)), ("sampled", 5000.0)):
        np.testing.assert_allclose(semantic_entropy(rows, groups, estimator=estimator), [value], rtol=1e-12)


@pytest.mark.parametrize("bad", [math.nan, -math.inf, math.inf])
@pytest.mark.parametrize("estimator", ["likelihood", "sampled"])
def test_a_log_probability_that_is_none(estimator, bad):
    rows, groups = rows_of(list("AD"), logprobs=[-1.0, bad])
    assert np.isnan(semantic_entropy(rows, groups, estimator=estimator)).all()
    assert semantic_entropy(rows, groups)[0] == pytest.approx(math.log(2))


def test_kernel_by_hand():
    # Two samples: the eigenvalues of L are 0 and 2 w, with w = (0.8 + 0.075) x 2 for A and B.
    rows, groups = rows_of(list("AB"), list("AA"), list("A"), [])
    decay = math.exp(-0.3 * 2 * 2 * 0.875)
    same = math.exp(-0.3 * 2 * 2 * 1.0)
    expected = [entropy(1 / (1 + x), x / (1 + x)) for x in (decay, same)]
    np.testing.assert_allclose(kernel_entropy(rows, groups), [*expected, 0.0, np.nan], rtol=1e-6, atol=1e-12)


def test_kernel_of_strangers_is_log_k():
    def strangers(texts, pairs):
        return np.tile(np.array([0, 0, 1], np.float32), (len(pairs), 1))

    rows, groups = rows_of(list("ABCD"), judge=strangers)
    assert kernel_entropy(rows, groups)[0] == pytest.approx(math.log(4))


def test_prompts_are_put_before_the_samples():
    seen = []

    def listening(texts, pairs):
        seen.extend(texts)
        return by_table(texts, pairs)

    rows, groups = rows_of(list("AB"), list("CD"), prompts=["Why?", "How?"], judge=listening)
    assert nli_clusters(rows, groups, context="prompt").tolist() == [1.0, 2.0]
    assert sorted(seen) == ["How? C", "How? D", "Why? A", "Why? B"]
    rows, groups = rows_of(list("AB"))
    for metric in (nli_clusters, semantic_entropy, kernel_entropy):
        assert np.isnan(metric(rows, groups, context="prompt")).all()


def test_equal_samples_are_not_judged():
    def deaf(texts, pairs):
        raise AssertionError("asked")

    rows, groups = rows_of(["A"] * 5, ["B"], [], judge=deaf)
    np.testing.assert_array_equal(nli_clusters(rows, groups), [1.0, 1.0, np.nan])
    np.testing.assert_array_equal(semantic_entropy(rows, groups), [0.0, 0.0, np.nan])


def test_no_answer_is_undefined():
    def silent(texts, pairs):
        found = by_table(texts, pairs)
        found[[texts[a] == "D" for a, _ in pairs]] = np.nan
        return found

    rows, groups = rows_of(list("ABC"), list("ABD"), list("DD"), judge=silent)
    for metric, undefined in ((nli_clusters, 1), (semantic_entropy, 1), (kernel_entropy, 2)):
        assert np.isnan(metric(rows, groups)).sum() == undefined


def test_metrics_of_one_block_share_what_was_judged(monkeypatch):
    asked = []

    def counting(texts, pairs):
        asked.append(len(pairs))
        return by_table(texts, pairs)

    from divfast.views import opening

    class Fake:
        recipe, device = "fake", "cpu"

    def opened(sources):
        def view(path):
            return JudgmentView(
                type("Judge", (), {"judge": Fake, "counts": {}, "__call__": staticmethod(counting)})()
            )

        return view

    monkeypatch.setitem(opening.KINDS, "judgments", opening.Kind(opened))
    specs = ["semantic_entropy", "nli_clusters", "nli_clusters:rule=strict", "semantic_entropy:rule=either"]
    report = divfast.score([list("ABCD"), list("AB")], specs, scopes=["prompt"])
    assert asked == [14]
    assert report["nli_clusters"].values.tolist() == [3.0, 1.0]
    assert "|judge:fake|" in str(report["nli_clusters"].signature)


def test_over_a_corpus_they_are_not_defined():
    with pytest.raises(MetricError, match="not defined over a corpus"):
        divfast.score([["a"]], ["semantic_entropy"], scopes=["pooled"], judge="nowhere")


@pytest.mark.parametrize("k", [1, 15, 16, 17, 63, 64, 65])
def test_sizes(k):
    rows, groups = build("judgments", [[f"w{i % 7}" for i in range(k)]])
    assert nli_clusters(rows, groups)[0] == min(k, 7)
    assert semantic_entropy(rows, groups)[0] <= math.log(7) + 1e-12
    assert 0 <= kernel_entropy(rows, groups)[0] <= math.log(k) + 1e-12


def test_10_5_rows():
    rows, groups = build("judgments", [["a", "b"] * 5] * 10_000)
    assert (nli_clusters(rows, groups) == 2).all()
