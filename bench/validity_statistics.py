"""How well values follow labels, under many weightings at once: every replicate of a bootstrap is one."""

import numpy as np


class Ranks:
    """The order of some values, and their ranks under many weightings at once."""

    def __init__(self, values):
        _, self.tie = np.unique(values, return_inverse=True)
        self.order = np.argsort(self.tie, kind="stable")
        self.starts = np.flatnonzero(np.diff(self.tie[self.order], prepend=-1))

    def totals(self, weights):
        """Return the weight of each different value in ascending order, ``float64[r, m]``."""
        return np.add.reduceat(weights[:, self.order], self.starts, axis=1)

    def mid(self, weights):
        """Return the weighted mean rank of every value, ``float64[r, n]``, less its mean."""
        total = self.totals(weights)
        ranks = (np.cumsum(total, axis=1) - total / 2)[:, self.tie]
        return ranks - (ranks * weights).sum(1, keepdims=True) / weights.sum(1, keepdims=True)


def correlation(x, y, weights):
    """Return the weighted correlation of centred ranks, ``float64[r]``; NaN where one of them is constant."""
    across = (weights * x * y).sum(1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return across / np.sqrt((weights * x * x).sum(1) * (weights * y * y).sum(1))


def spearman(x, y, weights=None):
    """Return Spearman's correlation of two columns under every weighting, by default one of equal weights."""
    weights = np.ones((1, len(x))) if weights is None else weights
    return correlation(Ranks(x).mid(weights), Ranks(y).mid(weights), weights)


def oca(x, high, weights=None):
    """Return the accuracy of the best threshold above which a set is called high, under every weighting."""
    weights = np.ones((1, len(x))) if weights is None else weights
    ranks = Ranks(x)
    low_below = np.cumsum(ranks.totals(weights * ~high), axis=1)
    high_below = np.cumsum(ranks.totals(weights * high), axis=1)
    above = high_below[:, -1:] - high_below
    # The first cut is below all values: everything is called high.
    hits = np.concatenate([high_below[:, -1:], low_below + above], axis=1)
    return hits.max(1) / weights.sum(1)


def draws(contexts, replicates, seed):
    """Return how often the bootstrap draws each set, ``float64[1 + replicates, n]``; row 0 is each of them once."""
    g = int(contexts.max()) + 1
    counts = np.random.default_rng(seed).multinomial(g, np.full(g, 1 / g), replicates)
    return np.concatenate([np.ones((1, len(contexts))), counts[:, contexts]]).astype(float)


def agreements(values, classes, weights):
    """Return how many pairs of ways to sample a prompt differ in classes, and which share of them values order so.

    Parameters
    ----------
    values, classes : numpy.ndarray
        ``float64[ways, prompts]``. Equal or undefined values count as half a pair ordered so.
    weights : numpy.ndarray
        ``float64[r, prompts]``.
    """
    i, j = np.triu_indices(len(values), 1)
    apart = np.sign(classes[i] - classes[j])
    same = np.nan_to_num(np.sign(values[i] - values[j])) * apart
    counted = (apart != 0).sum(0)
    agreeing = (((1 + same) / 2) * (apart != 0)).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        return int(counted.sum()), (weights * agreeing).sum(1) / (weights * counted).sum(1)
