"""Cases of metrics over vectors, and of making the vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import engine
from divfast.samples import Samples
from divfast.throughput import inputs
from divfast.throughput.case import Absent, Case, Goal, Implementation, Place, Prepared, Tolerance
from divfast.throughput.peers import minilm_folder, paper_code


def _cosine(place: Place, *, prompts: int, samples: int, dimensions: int) -> Prepared:
    from divfast.metrics.cosine import cosine

    rows = inputs.unit_vectors(prompts * samples, dimensions)
    groups = np.arange(0, len(rows) + 1, samples)
    # The first call compiles, or loads what was compiled.
    cosine(rows, groups[:2])
    return Prepared(
        lambda: cosine(rows, groups), lambda scores: {"per prompt": scores}, {"samples": len(rows)}
    )


def _paper_vectors(
    place: Place, rows: int, dimensions: int, dtype: str = "float32"
) -> tuple[Any, Any, dict[str, str]]:
    """Return the paper's calculator, vectors, and the commit."""
    module, versions = paper_code(place)
    import torch

    # Without __init__: for vectors that are there it needs no model and no cache.
    calculator = object.__new__(module.SentenceBERTDiversityCalculator)
    return calculator, torch.from_numpy(inputs.unit_vectors(rows, dimensions).astype(dtype)), versions


def _cosine_paper(place: Place, *, prompts: int, samples: int, dimensions: int) -> Prepared:
    calculator, rows, versions = _paper_vectors(place, prompts * samples, dimensions)
    offsets = [(start, start + samples) for start in range(0, len(rows), samples)]
    return Prepared(
        lambda: calculator.per_input_from_embeddings(rows, offsets),
        lambda scores: {"per prompt": np.array(scores)},
        {"samples": len(rows)},
        versions,
    )


def _vendi(place: Place, *, prompts: int, samples: int, dimensions: int) -> Prepared:
    from divfast.metrics.vendi import vendi

    rows = inputs.unit_vectors(prompts * samples, dimensions)
    groups = np.arange(0, len(rows) + 1, samples)
    return Prepared(
        lambda: vendi(rows, groups), lambda scores: {"per prompt": scores}, {"samples": len(rows)}
    )


def _vendi_paper(place: Place, *, prompts: int, samples: int, dimensions: int) -> Prepared:
    calculator, rows, versions = _paper_vectors(place, prompts * samples, dimensions)
    offsets = [(start, start + samples) for start in range(0, len(rows), samples)]
    return Prepared(
        lambda: calculator.vendi_per_input_from_embeddings(rows, offsets),
        lambda scores: {"per prompt": np.array(scores)},
        {"samples": len(rows)},
        versions,
    )


def _vendi_pooled(place: Place, *, samples: int, dimensions: int) -> Prepared:
    from divfast.metrics.vendi import VendiCorpus

    rows = inputs.unit_vectors(samples, dimensions)

    def run() -> float:
        corpus = VendiCorpus(q=1.0)
        corpus.add(rows)
        return corpus.result()

    return Prepared(run, lambda score: {"pooled": np.array([score])}, {"samples": samples})


def _vendi_pooled_paper(dtype: str) -> Any:
    def prepare(place: Place, *, samples: int, dimensions: int) -> Prepared:
        calculator, rows, versions = _paper_vectors(place, samples, dimensions, dtype)
        return Prepared(
            lambda: calculator._vendi_score(rows),
            lambda score: {"pooled": np.array([score])},
            {"samples": samples},
            versions,
        )

    return prepare


def _pairs(place: Place, *, samples: int, dimensions: int, nearest: int) -> Prepared:
    from divfast.similarity import pairs

    rows = inputs.unit_vectors(samples, dimensions)
    return Prepared(
        lambda: pairs(rows, nearest=nearest),
        lambda found: {"similarity": found.similarity.astype(float)},
        {"samples": samples},
    )


def _pairs_faiss(place: Place, *, samples: int, dimensions: int, nearest: int) -> Prepared:
    try:
        import faiss
    except ImportError:
        raise Absent("faiss is not installed: pip install 'divfast[cluster]'") from None
    rows = inputs.unit_vectors(samples, dimensions)
    faiss.omp_set_num_threads(engine.threads())
    index = faiss.IndexFlatIP(dimensions)
    index.add(rows)
    return Prepared(
        # One more: a row finds itself.
        lambda: index.search(rows, nearest + 1),
        lambda found: {"similarity": found[0][:, 1:].astype(float)},
        {"samples": samples},
    )


def _novel(place: Place, dumps: str, prompts: int) -> list[list[str]]:
    found = sorted(inputs.folder(place, "noveltybench").glob(dumps))
    return [texts for path in found for texts in inputs.dump_texts(path, prompts=prompts)]


def _distances(
    vectors: NDArray[np.float32], texts: Sequence[Sequence[str]]
) -> dict[str, NDArray[np.float64]]:
    from divfast.metrics.cosine import cosine

    groups = np.cumsum([0, *(len(group) for group in texts)])
    return {"mean of prompts": np.array([cosine(np.ascontiguousarray(vectors, np.float32), groups).mean()])}


def _encode(place: Place, *, dumps: str, prompts: int, dtype: str) -> Prepared:
    texts = _novel(place, dumps, prompts)
    samples = Samples.from_lists(texts)
    minilm_folder()
    from divfast.views.vectors import open_encoder

    encoder = open_encoder("minilm", dtype=dtype, cache=False)
    encoder.build(Samples.from_lists(texts[:2]))
    return Prepared(
        lambda: encoder.build(samples), lambda vectors: _distances(vectors, texts), {"texts": samples.rows}
    )


def _encode_sentence_transformers(place: Place, *, dumps: str, prompts: int, dtype: str) -> Prepared:
    texts = _novel(place, dumps, prompts)
    flat = [text for group in texts for text in group]
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise Absent("sentence-transformers is not installed") from None
    model = SentenceTransformer(str(minilm_folder()))
    model.encode(flat[:20], show_progress_bar=False)
    return Prepared(
        lambda: model.encode(flat, show_progress_bar=False),
        lambda vectors: _distances(vectors, texts),
        {"texts": len(flat)},
    )


_PACKAGES = ("numpy", "numba", "torch")
_ENCODERS = ("torch", "transformers", "sentence-transformers")

CASES = (
    Case(
        "cosine",
        "mean pairwise cosine distance of every prompt, from vectors in memory",
        ({"prompts": 500, "samples": 16, "dimensions": 768},),
        {"prompts": 10, "samples": 16, "dimensions": 64},
        (Implementation("divfast", _cosine, _PACKAGES), Implementation("paper", _cosine_paper, ("torch",))),
        # The paper's code sums products of float32.
        Tolerance(relative=2e-6),
        Goal(ratio=20),
    ),
    Case(
        "vendi",
        "Vendi Score of every prompt, from vectors in memory",
        tuple({"prompts": n // 16, "samples": 16, "dimensions": 768} for n in (8000, 10**5)),
        {"prompts": 10, "samples": 16, "dimensions": 64},
        (
            Implementation("divfast", _vendi, ("numpy",)),
            # Its matrix of similarities is in float32.
            Implementation("paper", _vendi_paper, ("numpy", "torch"), Tolerance(relative=1e-5)),
        ),
        Tolerance(relative=1e-6),
        Goal(ratio=5),
    ),
    Case(
        "vendi-pooled",
        "Vendi Score of all samples together, from vectors in memory",
        ({"samples": 8000, "dimensions": 768},),
        {"samples": 400, "dimensions": 64},
        (
            Implementation("divfast", _vendi_pooled, ("numpy", "torch")),
            # In float32 its zero eigenvalues come out as 1e-9, and there are thousands of them.
            Implementation(
                "paper", _vendi_pooled_paper("float32"), ("numpy", "torch"), Tolerance(relative=2e-4)
            ),
            Implementation("paper, float64", _vendi_pooled_paper("float64"), ("numpy", "torch")),
        ),
        Tolerance(relative=1e-6),
        Goal(ratio=300),
    ),
    Case(
        "pairs",
        "every sample's nearest among all, beside exhaustive search, from vectors in memory",
        tuple(
            {"samples": samples, "dimensions": 384, "nearest": nearest}
            for samples, nearest in ((10_000, 1), (20_000, 1), (20_000, 10), (100_000, 1), (100_000, 10))
        ),
        {"samples": 1000, "dimensions": 384, "nearest": 10},
        (
            Implementation("divfast", _pairs, ("numpy",)),
            Implementation("faiss", _pairs_faiss, ("faiss-cpu", "numpy")),
        ),
        # Rounding of float32 products, on both sides.
        Tolerance(absolute=3e-6),
        Goal(ratio=1),
    ),
    Case(
        "encode",
        "all-MiniLM-L6-v2 in bfloat16 beside sentence-transformers as it comes",
        ({"dumps": "*.jsonl.gz", "prompts": 100, "dtype": "bfloat16"},),
        {"dumps": "*human*.jsonl.gz", "prompts": 5, "dtype": "bfloat16"},
        (
            Implementation("divfast", _encode, _ENCODERS),
            Implementation("sentence-transformers", _encode_sentence_transformers, _ENCODERS),
        ),
        Tolerance(absolute=1e-3),
        Goal(ratio=3),
    ),
)
