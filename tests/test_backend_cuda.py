"""The backend for a GPU: the same numbers, on a GPU or in Triton's interpreter, and what is said where it cannot be."""

import importlib.util
import json
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import divfast
from divfast import backends, device
from divfast.cli import main
from divfast.errors import BackendError
from divfast.metrics.cosine import CosineCorpus, CosineCorpusOnCuda, cosine, cosine_on_cuda
from divfast.metrics.vendi import VendiCorpus, VendiCorpusOnCuda, vendi, vendi_on_cuda
from divfast.registry import OnCuda, metric, parse_spec, registry_restored
from tolerances import SPECTRAL

pytestmark = pytest.mark.filterwarnings("ignore:.*encountered in:RuntimeWarning")
VENDI = parse_spec("vendi").metric


@pytest.fixture
def kernels():
    """Skip where no kernel runs."""
    if reason := device.missing():
        pytest.skip(reason[0])


def draw(n, d=6, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, d)) + 0.3
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize("preset", ["default", "paper"])
def test_values_are_those_of_the_cpu(preset):
    rows, groups = draw(150), np.array([0, 0, 1, 5, 13, 13, 150])
    np.testing.assert_allclose(
        cosine_on_cuda(rows, groups, preset=preset), cosine(rows, groups, preset=preset), **SPECTRAL
    )
    for q in (0.5, 2.0) if preset == "paper" else (1.0, 2.0):
        np.testing.assert_allclose(
            vendi_on_cuda(rows, groups, q=q, preset=preset),
            vendi(rows, groups, q=q, preset=preset),
            **SPECTRAL,
        )


@pytest.mark.usefixtures("kernels")
@pytest.mark.parametrize(
    ("here", "there", "options"),
    [(CosineCorpus, CosineCorpusOnCuda, {}), (VendiCorpus, VendiCorpusOnCuda, {"q": 1.0})],
)
@pytest.mark.parametrize("n", [0, 1, 5, 40])
def test_accumulators_are_those_of_the_cpu(here, there, options, n):
    rows = draw(n)
    first, second, whole = there(**options), there(**options), here(**options)
    first.add(rows[: n // 2])
    second.add(rows[n // 2 :])
    first.merge(second)
    whole.add(rows)
    np.testing.assert_allclose(first.result(), whole.result(), rtol=1e-12)


@pytest.mark.usefixtures("kernels")
def test_rows_are_sent_in_parts(monkeypatch):
    rows = draw(40)
    expected = device.outer_products(rows)
    monkeypatch.setattr(device, "_ROWS", 7)
    np.testing.assert_allclose(device.outer_products(rows), expected, rtol=1e-12)


@pytest.mark.usefixtures("kernels")
def test_short_memory_means_smaller_parts(monkeypatch):
    import torch

    rows, groups = draw(16), np.array([0, 4, 8, 12, 16])
    expected = cosine_on_cuda(rows, groups)
    upload = device.upload

    def little(part):
        if len(part) > 4:
            raise torch.OutOfMemoryError
        return upload(part)

    monkeypatch.setattr(device, "upload", little)
    np.testing.assert_array_equal(cosine_on_cuda(rows, groups), expected)
    with pytest.raises(BackendError, match="no memory for a group of 16 rows"):
        cosine_on_cuda(rows, np.array([0, 16]))


@pytest.mark.usefixtures("kernels")
def test_score_by_name():
    rows, groups = draw(12), np.array([0, 5, 12])
    options = {"embeddings": rows, "groups": groups, "metrics": ["cosine", "vendi:q=2"]}
    there, here = divfast.score(**options, backend="cuda"), divfast.score(**options, backend="cpu")
    assert there.run["backend"] == "cuda" and here.run["backend"] == "cpu"
    assert "fallback" not in there.run and "fallback" not in here.run
    for mine, theirs in zip(there.results, here.results, strict=True):
        assert mine.signature == theirs.signature
        np.testing.assert_allclose(mine.values, theirs.values, **SPECTRAL)


def test_auto_falls_back_and_says_so(monkeypatch):
    options = {"embeddings": draw(6), "groups": np.array([0, 3, 6]), "metrics": ["cosine", "vendi"]}
    monkeypatch.setattr(device, "driver", lambda: False)
    assert divfast.score(**options).run["fallback"] == "cosine and vendi on the CPU: there is no CUDA device."
    monkeypatch.setattr(device, "driver", lambda: True)
    monkeypatch.setattr(device, "missing", lambda: ("triton is not installed.", "pip"))
    run = divfast.score(**options).run
    assert run["fallback"] == "cosine and vendi on the CPU: triton is not installed."
    assert run["backend"] == "cpu"
    assert "fallback" not in divfast.score([["a b"]], ["ead"]).run
    monkeypatch.setattr(device, "missing", lambda: None)
    assert (
        backends.place(VENDI, "auto") == "cuda" and backends.place(parse_spec("ead").metric, "auto") == "cpu"
    )


@pytest.mark.parametrize(("package", "extra"), [("torch", "embed"), ("triton", "gpu")])
def test_a_missing_package_is_told_with_the_remedy(monkeypatch, package, extra):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == package else find(name))
    with pytest.raises(BackendError, match=f"{package} is not installed") as error:
        divfast.score(embeddings=draw(4), metrics=["vendi"], backend="cuda")
    assert f"divfast[{extra}]" in error.value.remedy
    assert backends.why_not(VENDI, "cuda") == f"{package} is not installed."


def test_no_gpu_and_a_broken_installation_are_told(monkeypatch):
    launching = pytest.importorskip("divfast.kernels.launching")
    torch = sys.modules["torch"]
    monkeypatch.setattr(launching, "interpreted", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "finds no CUDA device" in backends.why_not(VENDI, "cuda")
    result = CliRunner().invoke(main, ["doctor", "--format", "json"])
    assert "finds no CUDA device" in json.loads(result.stdout)["backends"]["vendi"]["cuda"]

    def broken():
        raise RuntimeError("libcudart is torn")

    monkeypatch.setattr(torch.cuda, "is_available", broken)
    assert "libcudart is torn" in backends.why_not(VENDI, "cuda")


def test_mixed_dimensions_are_told():
    pytest.importorskip("torch")
    with pytest.raises(divfast.errors.DataError, match=r"must be \[n, d\]"):
        device.upload(np.zeros(3, np.float32))


def test_the_function_for_a_gpu_has_the_parameters_of_the_metric():
    with registry_restored(), pytest.raises(ValueError, match="cuda has not the parameters"):

        @metric("new", view="vectors", unit="x", higher="y", cuda=OnCuda(cosine_on_cuda))
        def new(rows, groups):
            """Return nothing."""
