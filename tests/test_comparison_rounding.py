"""Comparison of runs that are the same but for rounding."""

import numpy as np

import divfast
from divfast import Samples


def test_samples_in_another_order_are_no_difference():
    """Their values differ in the last digits, which nothing may take for a prompt that moved."""
    random = np.random.default_rng(0)
    a = [[" ".join(f"w{w}" for w in random.integers(0, 9, 7)) for _ in range(9)] for _ in range(40)]
    b = [[samples[i] for i in random.permutation(9)] for samples in a]
    ids = [f"p{i}" for i in range(40)]
    reports = [
        divfast.score(Samples.from_lists(outputs, ids=ids), ["self_bleu"], scopes=["prompt"])
        for outputs in (a, b)
    ]
    assert not np.array_equal(*(report["self_bleu"].values for report in reports))
    (result,) = divfast.compare(*reports)
    assert (result.difference, result.interval, result.p) == (0.0, (0.0, 0.0), 1.0)
    assert (result.effect.up, result.effect.down, result.most_up, result.most_down) == (0, 0, [], [])
    assert np.isnan(result.effect.d)
