"""The vectors of one model's samples, prompt by prompt, and how alike those of two models are."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from divfast import _core
from divfast.errors import DataError
from divfast.means import group_means
from divfast.neighbours import MATRIX_ROWS, cosines, nearest_similarity
from divfast.samples import Samples
from divfast.scope import first_rows, one_group
from divfast.similarity import pairs
from divfast.views import View


class ModelVectors:
    """What is held of one dump: sums of the vectors of every prompt, and the vectors themselves where they are needed.

    Parameters
    ----------
    blocks : iterable of Samples
        The dump.
    view : View
        What makes its vectors.
    name : str
        What to call it in messages.
    keep_rows : bool
        Hold all vectors, 4 d bytes a sample, and not only the sums, 16 d bytes a prompt.

    Attributes
    ----------
    ids : pyarrow.Array
        Of its prompts.
    sizes : numpy.ndarray
        ``int64[g]``, samples of every prompt.
    fingerprint : str
        Of its texts and groups, as in a signature.
    """

    def __init__(self, blocks: Iterable[Samples], view: View, name: str, *, keep_rows: bool) -> None:
        ids, sizes, sums, squares, firsts, kept = [], [], [], [], [], []
        data = 0
        for block in blocks:
            data = _core.fingerprint(block.text.values, block.text.offsets, block.groups, data)
            ids.append(block.ids)
            sizes.append(np.diff(block.groups))
            rows = view.build(block)
            total = np.zeros((len(block), rows.shape[1]))
            some = np.flatnonzero(sizes[-1] > 0)
            if len(some):
                total[some] = np.add.reduceat(rows, block.groups[some], axis=0, dtype=np.float64)
            sums.append(total)
            of_rows = np.einsum("ij,ij->i", rows, rows, dtype=np.float64)
            squares.append(np.bincount(np.repeat(np.arange(len(block)), sizes[-1]), of_rows, len(block)))
            first = np.zeros_like(total, np.float32)
            first[some] = rows[first_rows(block.groups)]
            firsts.append(first)
            if keep_rows:
                kept.append(rows)
        self.name = name
        self.ids = pa.chunked_array(ids, pa.large_string()).combine_chunks()
        self.sizes: NDArray[np.int64] = np.concatenate([np.zeros(0, np.int64), *sizes])
        self.fingerprint = f"{data >> 32:08x}"
        if hasattr(view, "finish"):
            view.finish(int(self.sizes.sum()))
        if pc.count_distinct(self.ids, mode="all").as_py() != len(self.ids):
            raise DataError(
                "has several prompts of the same id, which cannot be matched.",
                where=name,
                remedy="Give every prompt an id of its own.",
            )
        self.sums = np.concatenate(sums) if sums else np.zeros((0, 1))
        self.squares: NDArray[np.float64] = np.concatenate([np.zeros(0), *squares])
        self.firsts = np.concatenate(firsts) if firsts else np.zeros((0, 1), np.float32)
        self.groups = np.concatenate([[0], np.cumsum(self.sizes)])
        self.rows = np.concatenate(kept) if kept else None

    def take(self, index: NDArray[np.int64]) -> None:
        """Keep the prompts that `index` names alone, in its order."""
        if self.rows is not None:
            parts = [np.arange(self.groups[i], self.groups[i + 1]) for i in index.tolist()]
            self.rows = self.rows[np.concatenate(parts)]
        self.ids = self.ids.take(pa.array(index))
        self.sizes, self.sums, self.squares = self.sizes[index], self.sums[index], self.squares[index]
        self.firsts = self.firsts[index]
        self.groups = np.concatenate([[0], np.cumsum(self.sizes)])


def mean_similarity(a: ModelVectors, b: ModelVectors, scope: str) -> NDArray[np.float64]:
    """Return the mean cosine over all pairs of a sample of `a` and one of `b`, one value a group.

    Of a model and itself, over all pairs of two samples; NaN where there is none. In closed form: the sum of all
    products is the product of the sums.
    """
    sums_a, squares_a, n_a = _moments(a, scope)
    sums_b, squares_b, n_b = (sums_a, squares_a, n_a) if a is b else _moments(b, scope)
    products = np.einsum("ij,ij->i", sums_a, sums_b)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Lengths that float32 has rounded are taken out, as in the metric cosine.
        means: NDArray[np.float64] = (
            (products / squares_a - 1.0) / (n_a - 1.0)
            if a is b
            else products / np.sqrt(squares_a * squares_b * n_a * n_b)
        )
    return means


def _moments(
    model: ModelVectors, scope: str
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return of every group the sum of its rows, the sum of their squared lengths, and how many they are."""
    if scope == "prompt":
        return model.sums, model.squares, np.asarray(model.sizes, np.float64)
    if scope == "pooled":
        n = np.array([float(model.sizes.sum())])
        return model.sums.sum(axis=0, keepdims=True), np.array([model.squares.sum()]), n
    squares = np.einsum("ij,ij->", model.firsts, model.firsts, dtype=np.float64)
    total = model.firsts.sum(axis=0, dtype=np.float64)[None]
    return total, np.array([squares]), np.array([float(len(model.firsts))])


def nearest_match(a: ModelVectors, b: ModelVectors, scope: str) -> NDArray[np.float64]:
    """Return the mean over the samples of `a` of the cosine with the nearest sample of `b`, one value a group.

    Of a model and itself, with the nearest other sample; NaN where there is none.
    """
    rows_a, groups_a = _rows(a, scope)
    rows_b, groups_b = _rows(b, scope)
    if a is b:
        return group_means(nearest_similarity(rows_a, groups_a), groups_a)
    out = np.full(len(groups_a) - 1, np.nan)
    for g in range(len(out)):
        here, there = rows_a[groups_a[g] : groups_a[g + 1]], rows_b[groups_b[g] : groups_b[g + 1]]
        if len(here) and len(there):
            out[g] = _nearest_of(here, there).mean()
    return out


def _nearest_of(rows: NDArray[np.float32], others: NDArray[np.float32]) -> NDArray[np.float64]:
    if max(len(rows), len(others)) > MATRIX_ROWS:
        return cosines(rows, others[pairs(rows, others, nearest=1).neighbours[:, 0]])
    x, y = rows.astype(np.float64), others.astype(np.float64)
    x /= np.sqrt(np.einsum("ij,ij->i", x, x))[:, None]
    y /= np.sqrt(np.einsum("ij,ij->i", y, y))[:, None]
    nearest: NDArray[np.float64] = (x @ y.T).max(axis=1)
    return nearest


def _rows(model: ModelVectors, scope: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return the rows and the groups of a scope."""
    if scope == "first":
        return model.firsts, one_group(len(model.firsts))
    assert model.rows is not None
    return model.rows, model.groups if scope == "prompt" else one_group(len(model.rows))


def shared_prompts(models: list[ModelVectors]) -> dict[str, dict[str, Any]]:
    """Keep those prompts that all models have samples of, in the order of the first; return what each has besides.

    Raises
    ------
    DataError
        Where there is none.
    """
    common = models[0].ids.filter(pa.array(models[0].sizes > 0))
    for model in models[1:]:
        theirs = model.ids.filter(pa.array(model.sizes > 0))
        common = common.filter(pc.is_in(common, value_set=theirs))
    if not len(common):
        raise DataError(
            f"no prompt has samples in all of {', '.join(model.name for model in models)}.",
            remedy="Give dumps of the same prompts; --id-field names the field that holds the id.",
        )
    left_out = {}
    for model in models:
        others = model.ids.filter(pc.invert(pc.is_in(model.ids, value_set=common)))
        if len(others):
            left_out[model.name] = {"prompts": len(others), "ids": others.slice(0, 5).to_pylist()}
        model.take(np.asarray(pc.index_in(common, value_set=model.ids), np.int64))
    return left_out
