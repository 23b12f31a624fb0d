"""Means and bootstrap intervals."""

import numpy as np
import pytest

from divfast import _core
from divfast.stats import (
    bootstrap_intervals,
    effect_size,
    holm,
    mean_and_std,
    paired_differences,
    sign_flip_p,
)


def test_mean_and_std_leave_out_the_undefined():
    mean, std = mean_and_std(np.array([1.0, np.nan, 3.0]))
    assert (mean, std) == (2.0, pytest.approx(2**0.5))


@pytest.mark.parametrize("values", [[], [np.nan]])
def test_nothing_has_no_mean(values):
    assert np.isnan(mean_and_std(np.array(values, float))).all()


def test_one_value_has_no_spread():
    mean, std = mean_and_std(np.array([4.0]))
    assert mean == 4.0
    assert np.isnan(std)
    assert np.isnan(bootstrap_intervals([np.array([4.0])])[0]).all()


def test_interval_is_that_of_an_independent_bootstrap():
    values = np.random.default_rng(3).exponential(size=400)
    low, high = bootstrap_intervals([values], seed=1, replicates=20000)[0]
    draws = np.random.default_rng(4).integers(0, 400, (20000, 400))
    expected = np.quantile(values[draws].mean(axis=1), [0.025, 0.975])
    # The 2.5% point of 20,000 replicates has a standard error of 0.019 of that of the mean; four of them, twice.
    np.testing.assert_allclose([low, high], expected, atol=0.107 * values.std() / 20)


@pytest.mark.parametrize("g", [8191, 8192, 8193, 50000])
def test_blocks_of_groups_are_drawn_as_one(g):
    # The mean of an indicator of one part: its bootstrap variance is p (1 - p) / g wherever block borders fall.
    values = np.zeros(g)
    values[: g // 4] = 1.0
    means = _core.bootstrap_means(values[None], 4000, 1, threads=2)[0]
    p = values.mean()
    assert means.mean() == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / g / 4000))
    assert means.std() == pytest.approx(np.sqrt(p * (1 - p) / g), rel=0.06)


def test_coverage():
    random = np.random.default_rng(0)
    covered = sum(
        low <= 0.0 <= high
        for low, high in (bootstrap_intervals([random.normal(size=60)], seed=i)[0] for i in range(400))
    )
    # 95% nominal, a little less at 60 values; four binomial standard errors either way.
    assert 0.89 * 400 <= covered <= 0.98 * 400


def test_same_seed_same_interval_whatever_the_threads():
    values = np.random.default_rng(0).normal(size=(2, 333))
    one = _core.bootstrap_means(values, 200, 7, threads=1)
    np.testing.assert_array_equal(one, _core.bootstrap_means(values, 200, 7, threads=4))
    assert (one != _core.bootstrap_means(values, 200, 8, threads=1)).any()


def test_metrics_share_their_draws():
    values = np.random.default_rng(0).normal(size=100)
    both = bootstrap_intervals([values, 2 * values + 1])
    alone = bootstrap_intervals([values])[0]
    assert both[0] == alone
    np.testing.assert_allclose(both[1], 2 * np.array(alone) + 1)


def test_undefined_groups_are_left_out_of_each_replicate():
    values = np.array([1.0, np.nan, 1.0, np.nan, 1.0])
    assert bootstrap_intervals([values])[0] == (1.0, 1.0)
    assert np.isnan(bootstrap_intervals([np.array([np.nan, 2.0, np.nan])])[0]).all()


@pytest.mark.parametrize(
    ("differences", "p"),
    [
        ([1.0, 2.0, 3.0], 2 / 8),  # +++ and ---
        ([1.0, 2.0, -3.0], 8 / 8),  # the mean is 0, and every other one is as far from it
        ([1.0, 2.0, -1.0], 6 / 8),  # sums of 4, 2, 2, 0 and their opposites; it is 2
        ([0.0, 0.0, 5.0, 5.0, 5.0, 5.0, 5.0], 2 / 32),  # a difference of 0 has no sign
        ([np.nan, 4.0], 1.0),
        ([0.0], 1.0),
    ],
)
def test_sign_flips_by_hand(differences, p):
    assert sign_flip_p([np.array(differences)]) == [p]


def test_sums_that_differ_in_rounding_alone_are_as_far():
    # 0.1 + 0.2 + 0.3 and its opposite, added in another order
    assert sign_flip_p([np.array([0.1, 0.2, 0.3, -0.0])]) == [2 / 8]
    assert sign_flip_p([np.array([0.3, 0.1, 0.2] * 4)]) == [2 / 2**12]


def test_what_rounding_leaves_is_no_difference():
    nan, inf = float("nan"), float("inf")
    before = np.array([0.3, 1.0, nan, 5.0, -inf, inf, 1e-9])
    after = np.array([0.1 + 0.2, nan, 2.0, 5.0 + 1e-9, 1.0, inf, 2e-9])
    wanted = [0.0, nan, nan, (5.0 + 1e-9) - 5.0, inf, nan, 2e-9 - 1e-9]
    np.testing.assert_array_equal(paired_differences(before, after), wanted)
    # The limit goes with the values, which may all be small.
    assert paired_differences(np.array([1e-20]), np.array([2e-20])).tolist() == [1e-20]


def test_no_difference_is_undefined():
    assert np.isnan(sign_flip_p([np.array([np.nan])])).all()
    assert np.isnan(sign_flip_p([np.array([])])).all()
    assert sign_flip_p([]) == []


@pytest.mark.parametrize("m", [12, 40, 333])
def test_sign_flips_are_those_of_scipy(m):
    scipy = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(m).normal(0.18, 1.0, m)
    exact = 2**m <= 10_000
    theirs = scipy.permutation_test(
        (values,), np.mean, permutation_type="samples", n_resamples=np.inf if exact else 40_000, rng=1
    ).pvalue
    ours = sign_flip_p([values])[0]
    # Both are random beyond 13 pairs: four binomial standard errors.
    slack = 0.0 if exact else 4 * (theirs * (1 - theirs) * (1 / 9999 + 1 / 40_000)) ** 0.5
    assert ours == pytest.approx(theirs, abs=slack + 1e-12)


def test_columns_share_their_flips_and_keep_their_seed():
    random = np.random.default_rng(0)
    one, two = random.normal(size=(2, 50))
    two[::7] = np.nan
    together = sign_flip_p([one, 3 * one, two], seed=4)
    assert together[0] == together[1] == sign_flip_p([one], seed=4)[0]
    assert together[2] == sign_flip_p([two], seed=4)[0]
    assert sign_flip_p([one], seed=4) != sign_flip_p([one], seed=5)


def test_columns_at_a_time_change_nothing(monkeypatch):
    columns = [np.random.default_rng(i).normal(0.1, 1, 40) for i in range(7)]
    columns[3][:30] = np.nan
    together = sign_flip_p(columns, seed=5, flips=999)
    monkeypatch.setattr("divfast.stats._SUMS", 2000)
    assert sign_flip_p(columns, seed=5, flips=999) == together


def test_p_is_uniform_where_there_is_no_difference():
    random = np.random.default_rng(1)
    p = np.array(sign_flip_p([random.normal(size=11) for _ in range(2000)]))
    for level in (0.05, 0.25, 0.5):
        assert (p <= level).mean() == pytest.approx(
            level, abs=4 * (level * (1 - level) / 2000) ** 0.5 + 2**-10
        )


@pytest.mark.parametrize("m", [14, 100, 5000])
def test_the_smallest_p_is_not_zero(m, recwarn):
    # of 2^14 changes of sign two are as far, so about one in 9999 drawn
    assert 1 / 10_000 <= sign_flip_p([np.ones(m)])[0] <= (8 if m == 14 else 1) / 10_000
    assert not recwarn.list


@pytest.mark.parametrize(
    ("p", "corrected"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.6], [1.0, 1.0]),
        ([0.02], [0.02]),
        ([float("nan"), 0.02, 0.01], [float("nan"), 0.02, 0.02]),
        ([], []),
    ],
)
def test_holm(p, corrected):
    np.testing.assert_allclose(holm(p), corrected, rtol=1e-12)


@pytest.mark.parametrize("n", [4, 5, 10, 30, 100, 5000])
def test_ends_are_those_of_the_expanded_percentile(n):
    scipy = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(n).exponential(size=n)
    tail = scipy.norm.cdf(-np.sqrt(n / (n - 1)) * scipy.t.ppf(0.975, n - 1))
    expected = np.quantile(_core.bootstrap_means(values[None], 1000, 3)[0], [tail, 1 - tail])
    np.testing.assert_allclose(bootstrap_intervals([values], seed=3)[0], expected, atol=1e-3 * values.std())
    # For many groups it is the plain percentile.
    assert tail == pytest.approx(0.025, rel=10 / n)


def test_an_interval_of_two_values_is_between_them():
    assert bootstrap_intervals([np.array([1.0, 3.0])]) == [(1.0, 3.0)]


def test_intervals_of_what_follows_from_means():
    random = np.random.default_rng(5)
    base, model = random.normal(1.0, 0.1, 60), random.normal(0.6, 0.1, 60)
    model[:7] = np.nan

    def ratio_and_base(means):
        return np.stack([means[1] / means[0], means[0]])

    ratio, mean = bootstrap_intervals([base, model], of=ratio_and_base, seed=2)
    drawn = _core.bootstrap_means(np.stack([base, model]), 1000, 2)
    low, high = np.quantile(drawn[1] / drawn[0], [0.025, 0.975])
    # A little wider than the plain percentile for the 53 prompts on which both are defined.
    assert ratio[0] < low < np.nanmean(model) / base.mean() < high < ratio[1]
    assert ratio[1] - ratio[0] == pytest.approx(high - low, rel=0.12)
    alone = bootstrap_intervals([base], seed=2)[0]
    assert mean[0] <= alone[0] < alone[1] <= mean[1]
    for few in ([base[:1], model[8:9]], [base[:0], model[:0]], [base[:9], model[:9] * np.nan]):
        assert np.isnan(bootstrap_intervals(few, of=ratio_and_base)).all()
    # Replicates without a ratio are left out.
    with np.errstate(divide="ignore"):
        zero = bootstrap_intervals([np.array([0.0, 0.0, 1.0, 1.0]), np.ones(4)], of=lambda m: m[1:] / m[:1])
    assert np.isfinite(zero).all()


def test_effect_size_by_hand():
    effect = effect_size(np.array([2.0, -1.0, 0.0, np.nan, 3.0]))
    # mean 1, variance (1 + 4 + 1 + 4) / 3
    assert effect.d == pytest.approx(1 / (10 / 3) ** 0.5)
    assert (effect.superiority, effect.up, effect.down) == (2.5 / 4, 2, 1)
    assert effect.d_interval[0] < effect.d < effect.d_interval[1]
    low, high = effect.superiority_interval
    assert 0.0 <= low < effect.superiority < high <= 1.0


@pytest.mark.parametrize("differences", [[], [np.nan], [0.3], [0.0, 0.0], [0.1, 0.1, 0.1], [0.1 + 0.2, 0.3]])
def test_no_spread_no_effect_size(differences, recwarn):
    effect = effect_size(np.array(differences, float))
    assert np.isnan([effect.d, *effect.d_interval]).all()
    assert (effect.up, effect.down) == (sum(x > 0 for x in differences), 0)
    assert not recwarn.list


def test_effect_size_does_not_depend_on_the_unit():
    values = np.random.default_rng(8).normal(0.4, 1.0, 50)
    one, other = effect_size(values), effect_size(1e-9 * values)
    np.testing.assert_allclose(other.d_interval, one.d_interval, rtol=1e-9)
    assert (other.superiority, other.superiority_interval) == (one.superiority, one.superiority_interval)
    opposite = effect_size(-values)
    assert (opposite.d, opposite.superiority) == (-one.d, 1 - one.superiority)
