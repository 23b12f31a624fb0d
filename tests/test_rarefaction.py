"""Scores at equal K and at equal N: expectations over subsets, by formula, in full, or drawn."""

import gzip
import itertools
import json
from dataclasses import replace

import numpy as np
import pytest

import divfast
from divfast import Samples, rarefaction
from divfast.errors import MetricError
from divfast.rarefaction import _draw, at_k
from divfast.registry import parse_spec
from tolerances import REDUCTION

# Four of one kind and four of their own, as a sampler leaves them that sorts by likelihood.
SORTED = ["a", "a", "a", "a", "b", "c", "d", "e"]
# distinct:n=1 of four of them: the chance to see a is 1 - 1/70, that to see each other one is 1/2.
SORTED_AT_4 = (69 / 70 + 4 / 2) / 4
REDUCTION_ARGS = {"rel": REDUCTION["rtol"], "abs": REDUCTION["atol"]}


def texts(random, rows, words=12):
    return [" ".join(f"w{w}" for w in random.integers(0, words, random.integers(1, 9))) for _ in range(rows)]


def ids(g):
    return np.arange(g, dtype=np.uint64)


def one(metric, parameters, rows, groups, values, k, **options):
    """Return the expectation of one metric, and whether it was drawn."""
    calls = [(metric, parameters, "rows")]
    (found,), drawn = at_k(calls, {"rows": rows}, groups, [values], k, ids=ids(len(groups) - 1), **options)
    return found, drawn == {0}


def dump(path, outputs):
    path.write_text(
        "".join(json.dumps({"input_id": f"p{i}", "outputs": row}) + "\n" for i, row in enumerate(outputs)),
        encoding="utf-8",
    )
    return path


def test_by_hand():
    report = divfast.score([["a b", "a c", "b d"], ["x", "x y"], ["q"]], ["distinct"], at_k=(1, 2, 3))
    # pairs of the first prompt: a b c of four, a b d of four, a b c d of four; of the second: x y of three
    np.testing.assert_allclose(report["distinct@k=2"].values, [2.5 / 3, 2 / 3, np.nan], **REDUCTION)
    np.testing.assert_allclose(report["distinct@k=1"].values, [1.0, 1.0, 1.0], **REDUCTION)
    np.testing.assert_allclose(report["distinct@k=3"].values, [4 / 6, np.nan, np.nan], **REDUCTION)
    result = report["distinct@k=3"]
    assert (result.k, result.n, result.groups, result.undefined) == (3, None, 3, 2)
    assert report["distinct"].k is None


def test_the_first_k_are_no_random_k():
    report = divfast.score([SORTED], ["distinct"], at_k=(4,), draws=70)
    assert report["distinct@k=4"].value == pytest.approx(SORTED_AT_4, **REDUCTION_ARGS)
    first = divfast.score([SORTED[:4]], ["distinct"])["distinct"].value
    last = divfast.score([SORTED[4:]], ["distinct"])["distinct"].value
    assert (first, last) == (1 / 4, 1.0)
    # Drawn, it does not matter in which order they stand either.
    drawn = [
        divfast.score([order] * 300, ["distinct"], at_k=(4,), draws=8)["distinct@k=4"]
        for order in (SORTED, SORTED[::-1])
    ]
    for result in drawn:
        assert result.value == pytest.approx(SORTED_AT_4, abs=4 * result.std / 300**0.5)


def test_real_samples_that_are_sorted(shared):
    path = shared / "data" / "cruxeval" / "cruxeval_input__phind@T0.8.jsonl.gz"
    if not path.exists():
        pytest.skip("this dump of sorted samples is absent")
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        outputs = [json.loads(line)["outputs"] for line in file.read().split("\n") if line]
    first, last = (
        divfast.score([row[part] for row in outputs], ["distinct"], scopes=["prompt"])["distinct"]
        for part in (slice(5), slice(5, 10))
    )
    forwards, backwards = (
        divfast.score(rows, ["distinct"], scopes=["prompt"], at_k=(5,))["distinct@k=5"]
        for rows in (outputs, [row[::-1] for row in outputs])
    )
    half = (forwards.interval[1] - forwards.interval[0]) / 2
    assert last.value - first.value > 2 * half
    assert first.value < forwards.value < last.value
    assert forwards.value == pytest.approx(backwards.value, abs=half / 5)


@pytest.mark.parametrize("spec", ["ead", "distinct:n=2"])
def test_in_full_it_is_the_mean_over_all_subsets(spec):
    outputs = texts(np.random.default_rng(1), 7)
    report = divfast.score([outputs], [spec], at_k=(3, 7), draws=35)
    every = [list(subset) for subset in itertools.combinations(outputs, 3)]
    expected = divfast.score(every, [spec])[spec].value
    assert report[f"{spec}@k=3"].value == pytest.approx(expected, **REDUCTION_ARGS)
    assert report[f"{spec}@k=7"].value == report[spec].value
    assert "|k:3|draws:exact|" in str(report[f"{spec}@k=3"].signature)


@pytest.mark.parametrize(("size", "k", "draws"), [(9, 4, 20), (7, 3, 5), (8, 6, 3), (6, 3, 1)])
def test_draws_are_unbiased_and_converge(size, k, draws):
    outputs = texts(np.random.default_rng(2), size)
    # The same samples as many prompts of their own draws.
    copies = 4000
    result = divfast.score([outputs] * copies, ["distinct"], at_k=(k,), draws=draws)[f"distinct@k={k}"]
    exact = divfast.score([outputs], ["distinct"], at_k=(k,), draws=10**6)[f"distinct@k={k}"].value
    assert f"|draws:{draws}|" in str(result.signature)
    assert result.value == pytest.approx(exact, abs=4.5 * result.std / copies**0.5)
    more = divfast.score([outputs] * copies, ["distinct"], at_k=(k,), draws=draws + 12)[f"distinct@k={k}"]
    assert more.std < result.std


@pytest.mark.parametrize(("size", "k"), [(10, 4), (10, 8), (7, 3), (12, 6), (5, 5), (9, 1)])
def test_every_sample_is_drawn_equally_often(size, k):
    whole = size // np.gcd(size, k)
    drawn = _draw(ids(50), size, k, int(3 * whole), 0)
    assert drawn.shape == (50, 3 * whole, k)
    assert all(len(set(subset)) == k for subset in drawn.reshape(-1, k).tolist())
    counts = np.apply_along_axis(np.bincount, 1, drawn.reshape(50, -1), minlength=size)
    assert (counts == 3 * whole * k // size).all()
    # and each first window is uniform: every sample about as often over many groups
    first = _draw(ids(20_000), size, k, 1, 0)
    share = np.bincount(first.ravel(), minlength=size) / len(first)
    np.testing.assert_allclose(share, k / size, atol=5 * np.sqrt(k / size / 20_000))


def test_balance_takes_variance_out():
    # The number of b among the samples is a sum over samples: any balanced round gives its expectation exactly.
    metric = replace(
        parse_spec("distinct").metric,
        function=lambda rows, groups: rows.lengths.reshape(-1, 4).mean(1),
        statistics=None,
    )
    rows = Samples.from_lists([["b" * i for i in range(10)]]).text
    values, drawn = one(metric, {}, rows, np.array([0, 10]), np.array([np.nan]), 4, draws=5)
    assert drawn
    np.testing.assert_allclose(values, [4.5], **REDUCTION)


def test_draws_depend_on_seed_and_key_alone():
    drawn = _draw(ids(4), 30, 7, 11, 5)
    np.testing.assert_array_equal(drawn[2:3], _draw(ids(4)[2:3], 30, 7, 11, 5))
    assert (drawn[0] != drawn[1]).any()
    assert (drawn != _draw(ids(4), 30, 7, 11, 6)).any()


def test_locality(tmp_path):
    random = np.random.default_rng(3)
    outputs = [texts(random, k) for k in random.integers(0, 12, 60)]
    names = [f"p{i}" for i in range(len(outputs))]
    whole = divfast.score(Samples.from_lists(outputs, ids=names), ["ead"], at_k=(4, 6), threads=1)
    column = "ead@k=4"
    alone = [
        divfast.score(Samples.from_lists([row], ids=[i]), ["ead"], at_k=(4,))[column].values[0]
        for row, i in zip(outputs, names, strict=True)
    ]
    np.testing.assert_allclose(whole[column].values, alone, **REDUCTION)
    order = random.permutation(len(outputs))
    shuffled = Samples.from_lists([outputs[i] for i in order], ids=[names[i] for i in order])
    values = divfast.score(shuffled, ["ead"], at_k=(4,))[column].values
    np.testing.assert_allclose(values, whole[column].values[order], **REDUCTION)
    path = dump(tmp_path / "d.jsonl", outputs)
    for options in ({"memory": 1 << 16}, {"threads": 3}):
        pieces = divfast.score(path, ["ead"], at_k=(4, 6), **options)
        for a, b in zip(whole, pieces, strict=True):
            np.testing.assert_array_equal(a.values, b.values)
            assert str(a.signature) == str(b.signature)


def test_chunks_change_nothing(monkeypatch):
    random = np.random.default_rng(4)
    outputs = [texts(random, k) for k in (3, 40, 40, 9, 40)]
    vectors = random.normal(size=(132, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    options = {"metrics": ["ead", "vendi"], "embeddings": vectors, "at_k": (3, 8)}
    whole = divfast.score(outputs, **options)
    monkeypatch.setattr(rarefaction, "_CHUNK_BYTES", 3000)
    for a, b in zip(whole, divfast.score(outputs, **options), strict=True):
        np.testing.assert_allclose(a.values, b.values, **REDUCTION)


def test_undefined_subsets_are_left_out():
    # distinct:n=2 of one word is undefined
    report = divfast.score([["a", "b c"], ["a", "b"]], ["distinct:n=2"], at_k=(1,))
    np.testing.assert_array_equal(report["distinct:n=2@k=1"].values, [1.0, np.nan])


def test_a_mean_over_pairs_is_not_drawn():
    random = np.random.default_rng(5)
    vectors = random.normal(size=(60, 4)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    offsets = np.array([0, 50, 59, 60])
    report = divfast.score(
        embeddings=vectors, groups=offsets, metrics=["cosine", "vendi"], at_k=(2, 10), at_n=(20,)
    )
    cosine = report["cosine"].values
    np.testing.assert_array_equal(report["cosine@k=2"].values, cosine)
    np.testing.assert_array_equal(report["cosine@k=10"].values, [cosine[0], np.nan, np.nan])
    assert "|k:10|draws:exact|" in str(report["cosine@k=10"].signature)
    assert "|k:10|draws:32|" in str(report["vendi@k=10"].signature)
    assert report["cosine@n=20"].value == report["cosine", "pooled"].value
    assert "|n:20|draws:exact|" in str(report["cosine@n=20"].signature)


def test_a_metric_says_what_it_expects():
    def share(rows, groups, k, *, n):
        return np.full(len(groups) - 1, k / 10 + n)

    entry = parse_spec("distinct").metric
    rows, offsets = Samples.from_lists([["a"], ["b", "c", "d"]]).text, np.array([0, 1, 4])
    whole = np.array([7.0, 8.0])
    by_formula = one(replace(entry, expectation=share), {"n": 2}, rows, offsets, whole, 3)
    np.testing.assert_array_equal(by_formula[0], [np.nan, 2.3])
    by_rows = one(replace(entry, expectation="rows_mean"), {"n": 2}, rows, offsets, whole, 1)
    np.testing.assert_array_equal(by_rows[0], whole)
    assert not by_formula[1]
    assert not by_rows[1]


def test_what_the_report_says(tmp_path):
    report = divfast.score([SORTED, ["a", "b"]], ["distinct", "ead"], at_k=(4, 2), at_n=(5,), seed=3)
    assert [(r.column, r.scope) for r in report] == [
        *(
            (name, "prompt")
            for name in ("distinct", "distinct@k=4", "distinct@k=2", "ead", "ead@k=4", "ead@k=2")
        ),
        *((name, "pooled") for name in ("distinct", "distinct@n=5", "ead", "ead@n=5")),
    ]
    assert report.groups.column_names == [
        *("input_id", "n", "distinct", "distinct@k=4", "distinct@k=2", "ead", "ead@k=4", "ead@k=2")
    ]
    assert report["ead"].metric == report["ead@k=4"].metric == "ead"
    entries = report.to_dict()["results"]
    assert [entry.get("k") for entry in entries[:3]] == [None, 4, 2]
    assert "k" not in entries[0]
    assert entries[7]["n"] == 5
    signature = str(report["distinct@k=4"].signature)
    assert signature.startswith(
        "distinct:n=1|scope:prompt|groups:2|rows:10|k:4|draws:32|tok:whitespace|data:"
    )
    assert "|bs:1000|rs:3|" in signature
    assert "|n:5|draws:8|tok:whitespace|" in str(report["distinct@n=5"].signature)
    assert "|rs:3|" in str(report["distinct@n=5"].signature)
    with pytest.raises(MetricError, match="Did you mean"):
        report["ead@k=5"]


def test_at_n_by_hand():
    outputs = [["a b", "a c"], ["b d"], [], ["a b", "x", "y z"]]
    flat = [text for row in outputs for text in row]
    every = divfast.score([list(s) for s in itertools.combinations(flat, 3)], ["distinct"])["distinct"].value
    report = divfast.score(outputs, ["distinct"], scopes=["first", "pooled"], at_n=(3, 6, 7), draws=3000)
    three = report["distinct@n=3", "pooled"]
    assert len(three.values) == 3000
    assert three.value == pytest.approx(every, abs=4.5 * three.std / 3000**0.5)
    assert three.std == pytest.approx(np.std(three.values, ddof=1))
    assert np.isnan(three.interval).all()
    # The first samples are a b, b d and a b: three in all.
    assert report["distinct@n=3", "first"].value == report["distinct", "first"].value
    assert report["distinct@n=6", "pooled"].value == report["distinct", "pooled"].value
    seven = report["distinct@n=7", "pooled"]
    assert np.isnan(seven.value)
    assert (seven.groups, seven.undefined) == (1, 1)


def test_at_n_does_not_depend_on_blocks_and_depends_on_the_seed(tmp_path):
    random = np.random.default_rng(6)
    outputs = [texts(random, k, words=300) for k in random.integers(0, 12, 400)]
    path = dump(tmp_path / "d.jsonl", outputs)
    options = {"metrics": ["ead"], "scopes": ["first", "pooled"], "at_n": (50,)}
    whole = divfast.score(outputs, **options)
    pieces = divfast.score(path, memory=1 << 16, **options)
    for a, b in zip(whole, pieces, strict=True):
        np.testing.assert_array_equal(a.values, b.values)
    values = whole["ead@n=50", "pooled"].values
    assert len(np.unique(values)) == 8
    other = divfast.score(outputs, seed=1, **options)["ead@n=50", "pooled"].values
    assert not np.intersect1d(values, other).size


def test_the_reference_agrees():
    random = np.random.default_rng(7)
    outputs = [texts(random, k) for k in (9, 2, 4)]
    options = {"metrics": ["ead", "distinct:n=2"], "at_k": (3,), "at_n": (6,)}
    slow = divfast.score(outputs, backend="reference", **options)
    for a, b in zip(divfast.score(outputs, **options), slow, strict=True):
        np.testing.assert_allclose(a.values, b.values, **REDUCTION)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"at_k": (0,)}, "at_k must be whole numbers of at least 1, got 0"),
        ({"at_n": (-1,)}, "at_n must be whole numbers of at least 1"),
        ({"at_k": (2,), "scopes": ["pooled"]}, "at_k is for the scope prompt"),
        ({"at_n": (2,), "scopes": ["prompt"]}, "at_n is for the scopes first and pooled"),
        ({"at_k": (2,), "draws": 0}, "draws must be from 1 to 1,000,000"),
    ],
)
def test_refusals(options, message):
    with pytest.raises(MetricError, match=message):
        divfast.score([["a"]], ["ead"], **options)


def test_nothing_and_much():
    empty = divfast.score([], ["ead"], at_k=(2,), at_n=(2,))
    assert np.isnan([r.value for r in empty]).all()
    words = [f"w{i}" for i in range(100_000)]
    report = divfast.score([words, ["", ""], ["x"]], ["distinct"], at_k=(2, 49_999), draws=4)
    np.testing.assert_array_equal(report["distinct@k=2"].values, [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(report["distinct@k=49999"].values, [1.0, np.nan, np.nan])
