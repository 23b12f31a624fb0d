"""Products of the rows of small groups, against the plain product of matrices."""

import numpy as np
import pytest

from divfast import _core
from tolerances import REDUCTION


@pytest.mark.parametrize("d", [1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 100])
@pytest.mark.parametrize("k", [0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 64, 65])
def test_every_edge(k, d):
    rows = np.random.default_rng(k + d).normal(size=(3 * k + 2, d)).astype(np.float32)
    starts = np.array([2 * k + 2, 0, k + 1, 1])
    exact = np.stack([rows[start : start + k].astype(float) for start in starts])
    for threads in (1, 3):
        products = _core.group_products(rows, starts, k, threads=threads)
        assert products.shape == (4, k, k)
        np.testing.assert_allclose(products, exact @ exact.transpose(0, 2, 1), **REDUCTION)
        np.testing.assert_array_equal(products, products.transpose(0, 2, 1))


def test_by_hand():
    rows = np.array([[1, 2], [3, 4], [0, 1]], np.float32)
    products = _core.group_products(rows, np.array([0, 1]), 2)
    assert products.tolist() == [[[5, 11], [11, 25]], [[25, 4], [4, 1]]]


def test_threads_change_no_digit():
    rows = np.random.default_rng(0).normal(size=(6000, 100)).astype(np.float32)
    starts = np.arange(0, 6000, 6)
    one, three = (_core.group_products(rows, starts, 6, threads=threads) for threads in (1, 3))
    assert (one == three).all()


def test_nan_stays_in_its_group_and_row():
    rows = np.ones((6, 10), np.float32)
    rows[1, 4] = np.nan
    products = _core.group_products(rows, np.array([0, 3]), 3)
    wrong = np.isnan(products)
    assert wrong[0, 1].all()
    assert wrong[0, :, 1].all()
    assert wrong.sum() == 5


def test_no_groups():
    assert _core.group_products(np.ones((2, 3), np.float32), np.zeros(0, np.int64), 2).shape == (0, 2, 2)
    assert _core.group_products(np.ones((2, 0), np.float32), np.array([0]), 2).tolist() == [[[0, 0], [0, 0]]]


@pytest.mark.parametrize("starts", [[-1], [3], [2**62], [-(2**62)], [0, 5]])
def test_groups_outside_of_the_rows(starts):
    with pytest.raises(ValueError, match="not inside of rows"):
        _core.group_products(np.ones((4, 3), np.float32), np.array(starts), 2)


def test_shapes_that_do_not_fit():
    rows = np.ones((4, 3), np.float32)
    with pytest.raises(ValueError, match="rows must be n x d"):
        _core.group_products(rows[0], np.array([0]), 1)
    with pytest.raises(ValueError, match="one-dimensional"):
        _core.group_products(rows, np.array([[0]]), 1)
    for k in (-1, 5000):
        with pytest.raises(ValueError, match="k must be from 0"):
            _core.group_products(rows, np.array([0]), k)
