"""The RBF kernel of the Vendi Score: exact while there are few rows, random features past that; signatures."""

import itertools
import warnings

import numpy as np
import pytest

import divfast
from divfast.errors import DivfastWarning, MetricError
from divfast.fourier import FourierProducts
from divfast.metrics.vendi import VendiCorpus, vendi
from divfast.reference.vendi import vendi as truth
from divfast.registry import parse_spec
from test_vendi import ORDERS, draw, offsets, unit
from tolerances import REDUCTION, SPECTRAL


def kinds(n, of, d=16, seed=0):
    """Return rows of a few kinds, crowded about their centres."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((of, d))
    return unit(centres[random.integers(0, of, n)] + 0.1 * random.standard_normal((n, d)))


@pytest.mark.parametrize("q", ORDERS)
def test_two_rows_by_hand(q):
    rows = np.array([[1, 0], [0, 1]], np.float32)  # eigenvalues (1 +- exp(-1 / scale^2)) / 2
    p = (1 + np.array([1, -1]) * np.exp(-1 / 0.8**2)) / 2
    expected = {1.0: np.exp(-np.sum(p * np.log(p))), np.inf: 1 / p.max()}.get(q)
    if expected is None:
        expected = np.sum(p**q) ** (1 / (1 - q))
    np.testing.assert_allclose(vendi(rows, offsets([2]), q=q, kernel="rbf", scale=0.8), [expected])


@pytest.mark.parametrize("q", [0.5, 1.0, 2.0, np.inf])
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_agrees(q, preset):
    sizes = [0, 1, 2, 17, 40, 40, 3]
    rows, groups = draw(sum(sizes), 16), offsets(sizes)
    options = {"q": q, "kernel": "rbf", "scale": 0.6, "preset": preset}
    np.testing.assert_allclose(vendi(rows, groups, **options), truth(rows, groups, **options), **SPECTRAL)


def test_a_narrow_kernel_tells_all_apart_and_a_wide_one_none():
    rows = draw(20)
    assert vendi(rows, offsets([20]), kernel="rbf", scale=0.01)[0] == pytest.approx(20)
    assert vendi(rows, offsets([20]), kernel="rbf", scale=1e3)[0] == pytest.approx(1, abs=1e-4)
    assert vendi(rows, offsets([20]), kernel="rbf", scale=np.inf)[0] == pytest.approx(1)


# Features.


def test_features_are_close_to_the_kernel():
    rows = draw(30)
    products = FourierProducts(0.8, 20_000, seed=1)
    (features,) = products.features(rows)
    np.testing.assert_allclose(features @ features.T, products.gram(rows), atol=5 / np.sqrt(20_000))
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)


@pytest.mark.filterwarnings("ignore::divfast.errors.DivfastWarning")
@pytest.mark.parametrize("q", [1.0, 2.0, np.inf])
def test_more_rows_than_features(q):
    rows = kinds(900, 6)
    exact = truth(rows, [0, 900], q=q, kernel="rbf")[0]
    value = vendi(rows, offsets([900]), q=q, kernel="rbf", rank=200)[0]
    assert value != exact
    assert value == pytest.approx(exact, rel=3 / np.sqrt(2 * 200))
    assert vendi(rows, offsets([900]), q=q, kernel="rbf", rank=450)[0] == pytest.approx(exact, rel=1e-6)


@pytest.mark.filterwarnings("ignore::divfast.errors.DivfastWarning")
def test_more_frequencies_come_closer_from_below():
    rows = draw(600, 32)
    exact = truth(rows, [0, 600], kernel="rbf")[0]
    values = [vendi(rows, offsets([600]), kernel="rbf", rank=rank)[0] for rank in (20, 60, 180, 290)]
    assert np.all(np.diff(values) > 0)
    assert values[-1] < exact


def test_low_orders_warn_where_features_stand_in():
    rows, groups = draw(50), offsets([50])
    with pytest.warns(DivfastWarning, match="over 50 rows is low.*20 features"):
        vendi(rows, groups, kernel="rbf", rank=10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vendi(rows, groups, kernel="rbf", rank=10, q=2.0)
        vendi(rows, groups, kernel="rbf", rank=25)


@pytest.mark.parametrize("q", [2.0, np.inf])
def test_corpus_is_one_group_however_it_was_cut(q):
    rows = draw(120, 32)
    options = {"kernel": "rbf", "rank": 20, "seed": 3}
    whole = vendi(rows, offsets([120]), q=q, **options)[0]
    parts = [rows[:0], rows[:1], rows[1:18], rows[18:60], rows[60:]]
    for order in itertools.permutations(range(5)):
        left = VendiCorpus(q=q, **options)
        for i in order:
            corpus = VendiCorpus(q=q, **options)
            corpus.add(parts[i])
            left.merge(corpus)
        np.testing.assert_allclose(left.result(), whole, **REDUCTION)


def test_the_seed_draws_the_frequencies():
    rows, groups = draw(60), offsets([60])
    values = [vendi(rows, groups, q=2.0, kernel="rbf", rank=10, seed=seed)[0] for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


# What is written.


def test_signatures_spell_what_has_a_say():
    assert parse_spec("vendi").canonical == "vendi:q=1"
    assert parse_spec("vendi:kernel=cosine,q=2").canonical == "vendi:q=2"
    assert parse_spec("vendi:kernel=rbf").canonical == "vendi:q=1,kernel=rbf,scale=1,rank=1000,seed=0"
    assert parse_spec("rke").canonical == "rke:kernel=cosine"
    assert parse_spec("rke:kernel=rbf,scale=0.5").canonical == "rke:kernel=rbf,scale=0.5"
    for spec in ("vendi:kernel=rbf,seed=7", "vendi:q=3", "rke:kernel=rbf"):
        assert parse_spec(parse_spec(spec).canonical).parameters == parse_spec(spec).parameters


def test_what_has_no_say_is_refused():
    with pytest.raises(MetricError, match=r"parameter scale has no say in vendi:q=1\.\nLeave scale out\."):
        parse_spec("vendi:scale=2")
    with pytest.raises(MetricError, match="must be one of cosine, rbf"):
        parse_spec("vendi:kernel=gauss")


def test_over_a_corpus():
    rows = draw(60)
    report = divfast.score(
        embeddings=rows, groups=offsets([30, 30]), metrics=["vendi:q=2,kernel=rbf,rank=10"]
    )
    assert "vendi:q=2,kernel=rbf,scale=1,rank=10,seed=0|scope:pooled|" in str(
        report["vendi:q=2,kernel=rbf,rank=10", "pooled"].signature
    )
    assert 1 < report["vendi:q=2,kernel=rbf,rank=10", "pooled"].value < 20
