"""Sums of outer products, against the plain product of matrices."""

import numpy as np
import pytest

from divfast import _core
from tolerances import REDUCTION


@pytest.mark.parametrize("d", [1, 2, 7, 8, 9, 23, 24, 25, 47, 48, 49, 96, 128])
@pytest.mark.parametrize("n", [0, 1, 127, 128, 129, 300])
def test_every_edge(n, d):
    rows = np.random.default_rng(n + d).normal(size=(n, d))
    for given in (rows, rows.astype(np.float32), np.asfortranarray(rows)):
        for threads in (1, 3):
            products = np.zeros((d, d))
            _core.add_outer_products(products, given, threads=threads)
            exact = given.astype(np.float64)
            np.testing.assert_allclose(np.triu(products), np.triu(exact.T @ exact), **REDUCTION)


def test_by_hand():
    products = np.ones((2, 2))
    _core.add_outer_products(products, np.array([[1, 2], [3, 4]], np.float32))
    assert (products[0, 0], products[0, 1], products[1, 1]) == (11, 15, 21)


def test_threads_change_no_digit():
    rows = np.random.default_rng(0).normal(size=(5000, 100)).astype(np.float32)
    one, three = np.zeros((100, 100)), np.zeros((100, 100))
    _core.add_outer_products(one, rows, threads=1)
    _core.add_outer_products(three, rows, threads=3)
    assert (np.triu(one) == np.triu(three)).all()


def test_nan_stays_in_its_row_and_column():
    rows = np.ones((3, 30))
    rows[1, 4] = np.nan
    products = np.zeros((30, 30))
    _core.add_outer_products(products, rows)
    wrong = np.isnan(np.triu(products))
    assert wrong[4, 4:].all() and wrong[:5, 4].all() and wrong.sum() == 30


@pytest.mark.parametrize(
    ("products", "rows"),
    [
        (np.zeros((2, 3)), np.zeros((4, 2))),
        (np.zeros((2, 2)), np.zeros((4, 3))),
        (np.zeros(4), np.zeros((4, 2))),
        (np.zeros((2, 2)), np.zeros(4)),
    ],
)
def test_shapes_that_do_not_fit(products, rows):
    with pytest.raises(ValueError, match="must be"):
        _core.add_outer_products(products, rows)


def test_products_are_the_callers_own():
    with pytest.raises(TypeError):
        _core.add_outer_products(np.zeros((2, 2), np.float32), np.zeros((4, 2)))
    with pytest.raises(TypeError):
        _core.add_outer_products(np.zeros((4, 2, 2))[:, 0, :], np.zeros((4, 2)))
