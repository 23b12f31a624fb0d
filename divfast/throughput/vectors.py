"""Cases of metrics over all pairs of vectors and over their spectra."""

from __future__ import annotations

from typing import Any

import numpy as np

from divfast.throughput import inputs
from divfast.throughput.case import Absent, Case, Goal, Implementation, Place, Prepared, Tolerance
from divfast.throughput.peers import package_module

# Its n x n distances are several matrices of float64.
_MOST_OF_PEER = 10_000


def _per_prompt(name: str, **parameters: Any) -> Any:
    def prepare(place: Place, *, prompts: int, samples: int, dimensions: int) -> Prepared:
        from divfast.registry import parse_spec

        metric = parse_spec(name).metric.function
        rows = inputs.unit_vectors(prompts * samples, dimensions)
        groups = np.arange(0, len(rows) + 1, samples)
        metric(rows, groups[:2], **parameters)
        return Prepared(
            lambda: metric(rows, groups, **parameters),
            lambda scores: {"per prompt": scores},
            {"samples": len(rows)},
        )

    return prepare


def _pooled(name: str, **parameters: Any) -> Any:
    def prepare(place: Place, *, samples: int, dimensions: int) -> Prepared:
        from divfast.registry import parse_spec

        corpus_of = parse_spec(name).metric.corpus
        assert corpus_of is not None
        rows = inputs.unit_vectors(samples, dimensions)

        def run() -> float:
            corpus = corpus_of(**parameters)
            corpus.add(rows)
            return corpus.result()

        # The first call compiles, or loads what was compiled.
        warm = corpus_of(**parameters)
        warm.add(rows[:2])
        warm.result()
        return Prepared(run, lambda score: {"pooled": np.array([score])}, {"samples": samples})

    return prepare


def _diversity(place: Place) -> tuple[Any, list[Any]]:
    """Return the module of the package `diversity` with an encoder that gives what the list holds."""
    module = package_module("diversity", "embedding")
    held: list[Any] = []

    class Encoder:
        def __init__(self, name: str) -> None: ...

        def encode(self, *_: Any, **__: Any) -> Any:
            return held[0]

    module.SentenceTransformer = Encoder
    return module, held


def _diversity_per_prompt(name: str) -> Any:
    def prepare(place: Place, *, prompts: int, samples: int, dimensions: int) -> Prepared:
        module, held = _diversity(place)
        rows = inputs.unit_vectors(prompts * samples, dimensions)

        def run() -> list[float]:
            scores = []
            for start in range(0, len(rows), samples):
                held[:] = [rows[start : start + samples]]
                scores.append(getattr(module, name)([]))
            return scores

        return Prepared(run, lambda scores: {"per prompt": np.array(scores)}, {"samples": len(rows)})

    return prepare


def _diversity_pooled(name: str, *, without_itself: bool) -> Any:
    def prepare(place: Place, *, samples: int, dimensions: int) -> Prepared:
        if samples > _MOST_OF_PEER:
            raise Absent(f"diversity holds {samples:,} x {samples:,} distances")
        module, held = _diversity(place)
        held[:] = [inputs.unit_vectors(samples, dimensions)]
        # It counts the distance of 0 of a sample to itself.
        factor = samples / (samples - 1) if without_itself else 1.0
        return Prepared(
            lambda: getattr(module, name)([]),
            lambda score: {"pooled": np.array([score * factor])},
            {"samples": samples},
        )

    return prepare


def _conditional_vendi(place: Place, *, prompts: int, samples: int, dimensions: int) -> Prepared:
    from divfast.metrics.conditional_vendi import ConditionalVendiCorpus
    from divfast.views.prompted import PromptedVectors

    outputs = inputs.unit_vectors(prompts * samples, dimensions)
    rows = PromptedVectors(outputs, np.repeat(outputs[::samples], samples, axis=0))

    def run() -> float:
        corpus = ConditionalVendiCorpus(q=1.0)
        corpus.add(rows)
        return corpus.result()

    return Prepared(run, lambda score: {"pooled": np.array([score])}, {"samples": len(rows)})


_PACKAGES = ("numpy",)
_PEER = ("diversity", "numpy", "scikit-learn")
# It rounds to three decimals.
_ROUNDED = Tolerance(absolute=0.51e-3)
_PROMPTS = {"prompts": 500, "samples": 16, "dimensions": 768}
_FEW = {"prompts": 10, "samples": 16, "dimensions": 64}
_ROWS = tuple({"samples": samples, "dimensions": 384} for samples in (1_000, 10_000, 100_000))
_FEW_ROWS = {"samples": 400, "dimensions": 64}

CASES = (
    Case(
        "chamfer",
        "mean distance to the nearest other sample of every prompt, from vectors in memory",
        (_PROMPTS,),
        _FEW,
        (
            Implementation("divfast", _per_prompt("chamfer"), _PACKAGES),
            Implementation("diversity", _diversity_per_prompt("chamfer_dist"), _PEER),
        ),
        _ROUNDED,
        Goal(ratio=10),
    ),
    Case(
        "chamfer-pooled",
        "mean distance to the nearest other of all samples, every pair looked at",
        _ROWS,
        _FEW_ROWS,
        (
            Implementation("divfast", _pooled("chamfer"), _PACKAGES),
            Implementation("diversity", _diversity_pooled("chamfer_dist", without_itself=False), _PEER),
        ),
        _ROUNDED,
    ),
    Case(
        "remote-clique",
        "mean over samples of the mean distance to all others, from vectors in memory",
        _ROWS,
        _FEW_ROWS,
        (
            Implementation("divfast", _pooled("remote_clique"), _PACKAGES),
            Implementation("diversity", _diversity_pooled("remote_clique", without_itself=True), _PEER),
        ),
        # Rounded, and then taken for n - 1 of n.
        Tolerance(absolute=0.52e-3),
        Goal(ratio=100),
    ),
    Case(
        "dcscore",
        "DCScore of every prompt, from vectors in memory",
        (_PROMPTS,),
        _FEW,
        (Implementation("divfast", _per_prompt("dcscore", tau=1.0), _PACKAGES),),
    ),
    Case(
        "spread",
        "log-determinant of every prompt, from vectors in memory",
        (_PROMPTS,),
        _FEW,
        (Implementation("divfast", _per_prompt("spread", ridge=1.0), _PACKAGES),),
    ),
    Case(
        "vendi-rbf",
        "Vendi Score of order 2 with the RBF kernel over all samples, by random Fourier features",
        _ROWS[1:],
        _FEW_ROWS,
        (Implementation("divfast", _pooled("vendi", q=2.0, kernel="rbf"), _PACKAGES),),
    ),
    Case(
        "conditional-vendi",
        "Conditional Vendi Score of all samples given their prompts",
        ({"prompts": 200, "samples": 10, "dimensions": 384},),
        {"prompts": 10, "samples": 16, "dimensions": 64},
        (Implementation("divfast", _conditional_vendi, _PACKAGES),),
    ),
)
