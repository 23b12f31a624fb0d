"""Clusters of a corpus: all pairs, an index whose recall is measured, what happens without FAISS."""

import builtins

import numpy as np
import pytest

from divfast import _core
from divfast.clusters import corpus
from divfast.clusters.corpus import cluster_rows
from divfast.clusters.inverted import InvertedFile
from divfast.errors import BackendError, MetricError
from test_clusters import bunches, first_of, recipe, unit


@pytest.mark.parametrize("method", ["threshold", "leader"])
@pytest.mark.parametrize("index", ["flat", "ivf"])
def test_a_corpus_is_clustered_as_one_group_is(method, index):
    pytest.importorskip("faiss")
    rows, own = bunches(700, 24, 40, seed=1)
    plain = _core.group_components if method == "threshold" else _core.group_leaders
    expected = plain(rows, np.array([0, len(rows)]), 0.8)
    labels, search = cluster_rows(rows, recipe(method=method, index=index))
    assert search.index.partition("/")[0] == index
    assert search.recall == pytest.approx(1.0, abs=0.02)
    assert labels.tolist() == expected.tolist()
    assert first_of(labels) == first_of(own)


def test_recall_is_measured_and_falls_with_fewer_probes():
    pytest.importorskip("faiss")
    rows, _ = bunches(900, 8, 450, seed=2, spread=0.4)
    recalls = []
    for probes in (1, 3, 12):
        file = InvertedFile(rows, probes, seed=0)
        measured = file.recall(0.9)
        near = file._near
        products = np.triu(rows @ rows.T >= 0.9, 1)
        i, j = np.nonzero(products)
        shared = (near[i][:, :, None] == near[j][:, None, :]).any(axis=(1, 2))
        found = {
            pair
            for of_list in file.pairs(0.9)
            for a, b in of_list
            for pair in zip(a.tolist(), b.tolist(), strict=True)
        }
        assert found == set(zip(i[shared].tolist(), j[shared].tolist(), strict=True))
        assert measured == pytest.approx(shared.mean(), abs=0.1)
        recalls.append(measured)
    assert recalls[0] < recalls[1] <= recalls[2]
    assert np.isnan(InvertedFile(unit(np.eye(50)), 2, seed=0).recall(0.9))


def test_without_faiss(monkeypatch):
    real = builtins.__import__

    def refuse(name, *args, **more):
        if name == "faiss":
            raise ImportError(name)
        return real(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    monkeypatch.setattr(corpus, "has_faiss", lambda: False)
    rows, own = bunches(300, 16, 10, seed=10)
    monkeypatch.setattr(corpus, "FLAT_ROWS", 100)
    labels, search = cluster_rows(rows, recipe())
    assert search.index == "flat" and first_of(labels) == first_of(own)
    for of in (recipe(method="kmeans"), recipe(index="ivf")):
        with pytest.raises(BackendError, match="needs FAISS, which is not installed") as error:
            cluster_rows(rows, of)
        assert error.value.remedy == "pip install 'divfast[cluster]'"
    monkeypatch.setattr(corpus, "MOST_FLAT_ROWS", 100)
    with pytest.raises(BackendError, match="an index over"):
        cluster_rows(rows, recipe())


def test_a_gpu_stands_in_for_faiss(monkeypatch):
    rows, own = bunches(300, 16, 10, seed=11)
    assert corpus.gpu_pairs(rows, 0.8) is None or _has_gpu()
    monkeypatch.setattr(corpus, "has_faiss", lambda: False)
    monkeypatch.setattr(corpus, "FLAT_ROWS", 100)
    monkeypatch.setattr(corpus, "MOST_FLAT_ROWS", 100)
    asked = []
    # Rows that are the same have become one before.
    distinct = np.unique(rows, axis=0)

    def kernel(rows, tau):
        asked.append(len(rows))
        left, right = np.nonzero(np.triu(rows @ rows.T >= tau, 1))
        return iter([(left, right)])

    monkeypatch.setattr(corpus, "gpu_pairs", kernel)
    for method in ("threshold", "leader"):
        labels, search = cluster_rows(rows, recipe(method=method))
        assert first_of(labels) == first_of(own) and search.recall == 1.0
    assert asked == [len(distinct)] * 2


def _has_gpu():
    import torch

    return torch.cuda.is_available()


def test_leaders_say_when_pairs_do_not_fit(monkeypatch):
    pytest.importorskip("faiss")
    rows = unit(np.ones((400, 4)) + 0.01 * np.random.default_rng(0).standard_normal((400, 4)))
    monkeypatch.setattr(corpus, "_MOST_PAIRS", 1000)
    with pytest.raises(MetricError, match="pairs are at least as alike as tau"):
        cluster_rows(rows, recipe(method="leader", index="ivf"))
