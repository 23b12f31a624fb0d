"""Statistics of texts and n-grams: literals worked out by hand, published implementations, hostile texts."""

import gzip
import importlib
import lzma
import math
import types

import numpy as np
import pyarrow as pa
import pytest

import divfast
from conftest import parity_case, parity_files
from divfast import _core
from divfast.errors import BackendError, MetricError
from divfast.registry import all_metrics, parse_spec
from divfast.samples import Ragged
from divfast.throughput.case import Absent
from divfast.throughput.peers import package_folder, package_module
from tolerances import EXACT, REDUCTION

MINE = [
    *("ngram_diversity", "repetition", "self_repetition", "compression", "type_token"),
    *("entropy", "zipf", "unique", "length"),
]
PRINTED = 1e-9 + 5e-9


def score(spec, groups, preset="default", scope="prompt"):
    report = divfast.score(groups, [spec], scopes=[scope], preset=preset)
    return report[spec].values if scope == "prompt" else report[spec, scope].value


def value(spec, samples, preset="default"):
    return score(spec, [samples], preset)[0]


@pytest.mark.parametrize(
    ("spec", "samples", "expected"),
    [
        # words: a b c among a b a c; bigrams: ab ac; nothing longer
        ("ngram_diversity:n=1-2", ["a b", "a c"], 3 / 4 + 2 / 2),
        ("ngram_diversity", ["a b c d", "a b c d"], 1 / 2 + 1 / 2 + 1 / 2 + 1 / 2),
        ("ngram_diversity", ["a b c"], math.nan),
        # bigrams ab bc ca ab bc ca ab; trigrams abc bca cab abc bca cab; four: abca bcab cabc abca bcab
        ("repetition", ["a b c a b c a b"], 3 / 7 * 3 / 6 * 3 / 5),
        ("repetition", ["a b c d e"], 1.0),
        # rep-2 = 1 - 4/6, rep-3 = 1 - 3/4, rep-4 = 1 - 2/2, over both samples
        ("repetition", ["a b c d", "a b a b"], 4 / 6 * 4 / 4 * 2 / 2),
        ("repetition", ["a b c"], math.nan),
        # the second sample says "a b" twice, which counts once
        ("self_repetition:n=2", ["a b c", "a b a b", "c d"], (math.log(2) + math.log(2) + 0) / 3),
        ("self_repetition", ["a b c d", "a b c d", "a b c d"], math.log(3)),
        ("self_repetition", ["a b c d e", "a b c d"], math.log(2)),
        ("self_repetition", ["a b c d"], math.nan),
        ("self_repetition", ["a b c", "a b c"], math.nan),
        ("type_token", ["a b a b", "a b c", ""], (2 / 4 + 3 / 3) / 2),
        ("type_token:measure=mattr,window=2", ["a a b c"], (1 / 2 + 2 / 2 + 2 / 2) / 3),
        ("type_token:measure=mattr,window=9", ["a a b c"], 3 / 4),
        # forwards a factor at "a b a" (2/3) and the rest "b c"; backwards "c b a b" is 3/4, with the last a 3/5
        ("type_token:measure=mtld", ["a b a b c"], (5 / 1 + 5 / 1) / 2),
        # never below the threshold: 4 types of 5, so 0.2 / 0.28 of a factor
        ("type_token:measure=mtld", ["a b c d a"], 5 / ((1 - 4 / 5) / (1 - 0.72))),
        ("type_token:measure=mtld", ["a b c d"], math.nan),
        ("type_token:measure=mtld", ["a b c d", "a a"], 2.0),
        ("entropy", ["a a", "b c"], 0.5 * math.log(2) + 0.5 * math.log(4)),
        ("entropy", ["a a a"], 0.0),
        ("entropy:n=2", ["a b", "c"], 0.0),
        ("entropy:normalized=true", ["a a", "b b"], 1.0),
        ("entropy:normalized=true", ["a a a"], math.nan),
        ("zipf", ["a a a a b b"], 1.0),
        ("zipf", ["a a a a a a a a b b c"], None),
        ("zipf", ["a b", "c"], 0.0),
        ("zipf:ranks=1", ["a a b"], math.nan),
        ("zipf", ["a a"], math.nan),
        ("unique", ["Yes", " Yes\n", "yes", "no"], 3 / 4),
        ("unique:normalize=none", ["Yes", " Yes\n", "yes", "no"], 1.0),
        ("unique:normalize=lower", ["Yes", " Yes\n", "yes", "no"], 2 / 4),
        ("unique", ["a b", "a\u2003 b", "ab"], 2 / 3),
        ("unique:normalize=lower", ["ÄÖ", "äö", "ΣΑΣ", "σασ"], 2 / 4),
        ("unique", ["", " ", "a"], 2 / 3),
        ("length", ["a b c d", "a b", ""], 2.0),
        ("length:statistic=std", ["a b c d", "a b", ""], 2.0),
        ("length:statistic=std", ["a b"], math.nan),
        ("length:statistic=min", ["a b c d", "a b", ""], 0.0),
        ("length:statistic=max", ["a b c d", "a b", ""], 4.0),
        ("length:statistic=median", ["a b c d", "a b"], 3.0),
        ("length:statistic=p90", ["a b c d", "a b", ""], 3.6),
    ],
)
def test_by_hand(spec, samples, expected):
    if expected is None:
        x, y = np.log([1, 2, 3]), np.log([8, 2, 1])
        expected = -np.sum((x - x.mean()) * (y - y.mean())) / np.sum((x - x.mean()) ** 2)
    np.testing.assert_allclose(value(spec, samples), expected, **REDUCTION)
    np.testing.assert_allclose(score(spec, [samples], scope="pooled"), expected, **REDUCTION)


@pytest.mark.parametrize(
    ("spec", "samples", "expected"),
    [
        # "a b" and "b c" as a b b c, then bigrams ab bb bc; single blanks hold an empty word
        ("ngram_diversity:n=1-2", ["a b", "b c"], 3 / 4 + 3 / 3),
        ("ngram_diversity:n=1", ["a  b\nc"], 3 / 3),
        ("ngram_diversity:n=2", [""], math.nan),
        # the last n-gram of each sample is left out: abcabca within the first, "x y z" within the second
        ("repetition:n=2", ["a b c a b c a b", "x y z w"], (3 + 2) / (6 + 2)),
        ("self_repetition", ["a b c d"], 0.0),
        ("type_token", ["a a", ""], (1 / 2 + 0) / 2),
        ("type_token:measure=mtld", ["a b c d"], 0.0),
    ],
)
def test_paper_preset_by_hand(spec, samples, expected):
    np.testing.assert_allclose(value(spec, samples, "paper"), expected, **REDUCTION)
    np.testing.assert_allclose(score(spec, [samples], "paper", "pooled"), expected, **REDUCTION)


@pytest.mark.parametrize("codec", ["gzip", "zstd", "xz"])
@pytest.mark.parametrize("level", [None, 1])
def test_compression_is_what_the_library_makes(codec, level):
    samples = ["to be or not to be", "that is", "", "the question é 漢"] * 40
    text = " ".join(samples).encode()
    packed = {
        "gzip": gzip.compress(text, level or 9),
        "xz": lzma.compress(text, preset=level),
        "zstd": pa.Codec("zstd", compression_level=level or 3).compress(text, asbytes=True),
    }[codec]
    spec = f"compression:codec={codec}" + (f",level={level}" if level else "")
    assert value(spec, samples) == len(text) / len(packed)
    assert score(spec, [samples[:7], samples[7:]], scope="pooled") == len(text) / len(packed)


def test_compression_of_a_long_stream_is_that_of_one_piece():
    random = np.random.default_rng(0)
    words = np.array([f"w{i}" for i in range(3000)], object)
    blocks = [[" ".join(words[random.integers(0, 3000, 60)]) for _ in range(40)] for _ in range(12)]
    metric = parse_spec("compression").metric
    parts = []
    for block in blocks:
        part = metric.corpus(codec="gzip", level=None)
        part.add(Ragged.from_strings(block))
        parts.append(part)
    whole = parts[0]
    for part in parts[1:]:
        whole.merge(part)
    text = " ".join(text for block in blocks for text in block).encode()
    assert len(text) > 4 << 15  # several times what gzip looks back
    assert whole.result() == len(text) / len(gzip.compress(text))
    whole.merge(whole)
    assert whole.bytes == 2 * len(text) + 1
    assert whole.result() == whole.bytes / len(gzip.compress(text + b" " + text))


def test_another_order_changes_compression_a_little():
    random = np.random.default_rng(1)
    words = np.array([f"word{i}" for i in range(400)], object)
    samples = [" ".join(words[random.zipf(1.4, 60) % 400]) for _ in range(64)]
    shuffled = [samples[i] for i in random.permutation(64)]
    first, second = value("compression", samples), value("compression", shuffled)
    assert first != second
    assert first == pytest.approx(second, rel=0.01)


@pytest.mark.parametrize(
    ("spec", "message"),
    [("compression:level=10", "gzip has no level 10"), ("compression:codec=xz,level=22", "xz has no level")],
)
@pytest.mark.parametrize("scope", ["prompt", "pooled"])
def test_a_level_that_is_not_there(spec, message, scope):
    with pytest.raises(MetricError, match=message):
        score(spec, [["a"]], scope=scope)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("compression:codec=lzo", "must be one of gzip, zstd, xz"),
        ("compression:level=0", "must be a whole number of at least 1"),
        ("type_token:threshold=1", "must be between 0 and 1"),
        ("entropy:normalized=yes", "must be true or false"),
        ("entropy:n=65", "from 1 to 64"),
        ("length:statistic=p0", "percentile from p1 to p99"),
    ],
)
def test_mistakes(spec, message):
    with pytest.raises(MetricError, match=message):
        parse_spec(spec)


@pytest.mark.skipif(not parity_files(), reason="the folder of shared test data is absent (DIVFAST_SHARED)")
@pytest.mark.parametrize("path", parity_files(), ids=lambda path: path.stem)
def test_gzip_ratio_is_the_published_one(path):
    values, outputs = parity_case(path)
    report = divfast.score(outputs, ["compression"])
    printed = np.array([math.nan if v is None else v for v in values["per_group"]["gzip_ratio"]])
    np.testing.assert_allclose(report["compression"].values, printed, rtol=PRINTED, atol=0)
    assert [float(f"{v:.9g}") for v in report["compression"].values] == printed.tolist()
    assert float(f"{report['compression', 'pooled'].value:.9g}") == values["corpus"]["gzip_ratio"]


def published(package, name, **provided):
    """Return one module of a published package, or skip."""
    try:
        return package_module(package, name, **provided)
    except Absent as absent:
        pytest.skip(str(absent))


TEXTS = [
    ["the cat sat on the mat and the cat ate", "the cat sat on the sofa", "a dog sat on the mat and ate it"],
    ["one two three four five six", "one two three four five six", "six five\nfour  three two one"],
]


@pytest.mark.parametrize("samples", TEXTS)
def test_the_package_diversity(samples):
    peer = published("diversity", "ngram_diversity").ngram_diversity_score
    assert round(value("ngram_diversity", samples, "paper"), 3) == peer(samples)
    peer = published("diversity", "self_repetition").self_repetition_score
    assert value("self_repetition", samples, "paper") == pytest.approx(peer(samples, verbose=False))
    peer = published("diversity", "compression").compression_ratio
    assert round(value("compression:codec=xz", samples), 3) == peer(samples, "xz")
    # It compresses twice.
    twice = len(" ".join(samples).encode()) / len(gzip.compress(gzip.compress(" ".join(samples).encode())))
    assert value("compression", samples) > twice
    assert peer(samples, "gzip") == pytest.approx(twice, rel=0.2)


def test_the_package_lexical_diversity():
    old = types.SimpleNamespace(resource_filename=lambda package, name: package_folder(package) / name)
    peer = published("lexical_diversity", "lex_div", pkg_resources=old)
    random = np.random.default_rng(3)
    for size in (1, 2, 9, 10, 11, 49, 50, 51, 60, 400):
        words = [f"w{i}" for i in random.zipf(1.5, size) % 60]
        sample = [" ".join(words)]
        assert value("type_token", sample, "paper") == pytest.approx(peer.ttr(words))
        assert value("type_token:measure=mattr", sample, "paper") == pytest.approx(peer.mattr(words))
        assert value("type_token:measure=mtld", sample, "paper") == pytest.approx(peer.mtld(words))


HOSTILE = [
    *(["", ""], ["", "a"], ["a"], ["!!! ???", "..."], ["\u200f\u05d0\u05d1 \u05d2", "\u05d0\u05d1 \u05d2"]),
    *(
        ["漢字かな交じり文", "漢字 かな"],
        ["👩‍👩‍👧‍👦 👍🏽", "👩‍👩‍👧‍👦"],
        ["a " * 500_000 + "b", "x" * 1_000_000],
        ["same"] * 65,
    ),
]
ALL = [spec for name in MINE for spec in (name,)] + ["type_token:measure=mattr", "type_token:measure=mtld"]


@pytest.mark.parametrize("preset", ["default", "paper"])
def test_survives_hostile_texts(preset):
    metrics = [*ALL, "compression:codec=zstd"]
    report = divfast.score(HOSTILE, metrics, scopes=["prompt", "first", "pooled"], preset=preset)
    for spec in metrics:
        assert len(report[spec].values) == len(HOSTILE)
        assert not np.isinf(report[spec].values).any()
    assert report["unique"].values.tolist()[-1] == 1 / 65
    assert report["length"].values.tolist()[-2] == 250_001


@pytest.mark.parametrize("name", MINE)
def test_survives_bytes_that_are_no_utf8(name):
    rows = Ragged.from_strings([b"\xff\xfe a b c d", b"\xc3 a b c d", b"\xe2\x82", b"\xed\xa0\x80" * 40])
    metric = parse_spec(name).metric
    if metric.view == "tokens":
        rows = Ragged(*_core.tokenize(rows.values, rows.offsets, "whitespace"))
    values = metric.function(rows, np.array([0, 2, 4]), **parse_spec(name).parameters)
    assert values.shape == (2,) and not np.isinf(values).any()


@pytest.mark.parametrize("k", [0, 1, 15, 16, 17, 63, 64, 65])
@pytest.mark.parametrize("name", MINE)
def test_groups_of_every_size(name, k):
    samples = [f"sample number {i % 7} of a group of many" for i in range(k)]
    parsed = parse_spec(name)
    reference = importlib.import_module(f"divfast.reference.{name}")
    rows = samples if parsed.metric.view == "text" else [sample.split() for sample in samples]
    expected = getattr(reference, name)(rows, [0, k], **parsed.parameters)
    np.testing.assert_allclose(score(name, [samples, ["a"]])[:1], expected, **REDUCTION)


def test_survives_many_rows():
    tokens = np.random.default_rng(5).integers(0, 1000, 400_000).astype(np.uint64)
    rows = Ragged(tokens, np.arange(0, 400_001, 4))
    groups = np.arange(0, 100_001, 10)
    for metric in all_metrics():
        if metric.name not in MINE or metric.view != "tokens":
            continue
        parameters = parse_spec(metric.name).parameters
        values = metric.function(rows, groups, **parameters)
        assert np.isfinite(values).all(), metric.name
        corpus = metric.corpus(**parameters)
        corpus.add(rows)
        whole = metric.function(rows, np.array([0, len(rows)]), **parameters)
        np.testing.assert_allclose(corpus.result(), whole[0], **REDUCTION)


def test_groups_need_not_begin_with_the_first_row():
    rows = Ragged.from_strings(["x y x y x", "a b a b c", "a b a b", "b b", "z"])
    for name in MINE:
        parsed = parse_spec(name)
        view = rows
        if parsed.metric.view == "tokens":
            view = Ragged(*_core.tokenize(rows.values, rows.offsets, "whitespace"))
        for preset in ("default", "paper") if parsed.metric.takes_preset else ("default",):
            words = {**parsed.parameters} | ({"preset": preset} if parsed.metric.takes_preset else {})
            inner = parsed.metric.function(view, np.array([1, 3, 4]), **words)
            cut = parsed.metric.function(view.slice(1, 4), np.array([0, 2, 3]), **words)
            np.testing.assert_allclose(inner, cut, **EXACT)


def test_a_reference_without_a_codec_is_one_sentence():
    with pytest.raises(BackendError, match="the reference has gzip and xz"):
        divfast.score([["a b", "a c"]], ["compression:codec=zstd"], backend="reference")
