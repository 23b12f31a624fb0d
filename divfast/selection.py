"""A small subset of a dump that is as diverse as can be: a coreset."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import divfast
from divfast import _core, engine
from divfast.dumps import AllDumps, Progress, block_limits, short_names, tell_apart
from divfast.errors import MetricError
from divfast.greedy import Picks, Recipe, covering_radius, find_backend, pick
from divfast.metrics.vendi import vendi
from divfast.readers import Blocks, find_dumps, read
from divfast.result import Signature, run_facts
from divfast.samples import Samples, samples_or_paths
from divfast.scope import one_group
from divfast.selected import Part, Selection
from divfast.vector_store import VectorStore
from divfast.views.opening import KINDS, Sources


@dataclass
class _Seen:
    """What is kept of the samples, in the order of reading."""

    store: VectorStore
    positions: list[NDArray[np.int64]] = field(default_factory=list)
    sizes: list[NDArray[np.int64]] = field(default_factory=list)
    ids: list[pa.Array] = field(default_factory=list)
    fingerprint: int = 0


def select(
    source: Any,
    k: int,
    *,
    method: str = "k_centre",
    q: float = 1.0,
    scope: str = "pooled",
    encoder: str | None = None,
    dtype: str = "float32",
    embeddings: Any = None,
    draws: int = 8,
    seed: int = 0,
    backend: str = "auto",
    threads: int | None = None,
    memory: int | None = None,
    cache: bool = True,
    progress: Progress | None = None,
    join: bool = False,
    **reading: Any,
) -> Selection:
    """Select the most diverse samples of a dump.

    Parameters
    ----------
    source : str, Path, Samples, list of list of str, or a list of paths
        A dump on disk (``-`` is standard input), a pattern, several of them (one corpus), or texts in memory, one list
        of strings a prompt.
    k : int
        How many samples: in all, or of every prompt. Where there are fewer, all are taken.
    method : {"k_centre", "vendi"}
        ``k_centre``: next is the sample farthest from all that were picked, so that the subset comes close to every
        sample. ``vendi``: next is the sample with which the Vendi Score of the subset is highest.
    q : float
        Order of the Vendi Score, also of the one reported for ``k_centre``; for ``vendi`` from 0.5 to 2.
    scope : {"pooled", "prompt"}
        ``k`` samples of all, or of each prompt's.
    encoder, dtype, embeddings, cache
        Where vectors come from, as for `divfast.score`; one of encoder and embeddings.
    draws : int
        Random subsets of the same size to compare with.
    seed : int
        Of these draws. What is selected does not depend on it.
    backend : {"auto", "cpu", "cuda", "reference"}
        Where samples are picked. A named one works or raises; ``auto`` takes a GPU for the scope ``pooled`` where there
        is one.
    threads : int, optional
        By default all cores this process may use.
    memory : int, optional
        About how many bytes to work in; vectors that take more than half of it stand in a temporary file. Changes
        nothing that is selected.
    progress : callable, optional
        Called as ``progress(done, total, unit)``; nothing is ever printed.
    join : bool
        Several dumps are parts of one: samples with the same id are one prompt's.
    **reading
        Options of `divfast.read`.

    Returns
    -------
    Selection
        What was picked, in the order of picking, and what it is worth; `Selection.save` writes it as a dump.

    Raises
    ------
    DivfastError
        One sentence: where, what, and the remedy.

    Notes
    -----
    The first pick is the sample nearest to the mean of all; a subset of one is the typical sample. Of samples that are
    equally good the first in the dump is taken. So a copy of a picked sample comes last, and the selection is the same
    in every run, on any number of threads.

    *k_centre* (Gonzalez): with d the Euclidean distance of unit rows, which orders samples as one minus their cosine
    ``d^2 / 2`` does, the next pick is the sample whose nearest pick is farthest. The coverage radius, the distance
    from any sample to its nearest pick, is at most twice that of the best possible k samples.

    *vendi*: with x a candidate and G the cosines of the m picks, ``VS_q`` of m + 1 samples is highest where
    ``tr f(G')`` is least, f(x) = ``(x^q - x) / (q - 1)`` and x log x at q = 1. The Vendi Score itself is not
    submodular, but ``-tr f`` is for 0 < q <= 2 (f' is operator monotone there: Friedland and Gaubert): a candidate
    never costs less than it did when there were fewer picks. So both methods count again only those samples whose cost
    from earlier is below the least one found: the picks are those of the full search. Orders above 2 have no such
    bound. ``tr f`` of the larger matrix is an integral over its resolvent and needs no eigenvalue of it.
    No guarantee holds for the greedy score: it falls again where only copies are left.

    A pick costs O(n d) at most for k_centre and O(n m d) for vendi, and in practice few samples are looked at. Sums in
    float64; vendi to 1e-10, and 1e-8 at q = 0.5. The vectors are held: 4 d bytes a sample, and 20 more.

    References
    ----------
    Gonzalez (1985), "Clustering to minimize the maximum intercluster distance". Friedman and Dieng (2023), "The Vendi
    Score", arXiv 2210.02410. Friedland and Gaubert (2013), "Submodular spectral functions of principal submatrices of a
    hermitian matrix, extensions and applications", arXiv 1007.3478. Minoux (1978), "Accelerated greedy algorithms for
    maximizing submodular set functions".

    Examples
    --------
    >>> import numpy as np
    >>> vectors = np.array([[1, 0], [0.8, 0.6], [0, 1], [0, 1]])
    >>> found = select([["east", "north-east", "north", "north"]], 2, embeddings=vectors, draws=0)
    >>> found.samples.column("position").to_pylist()          # the one in the middle, then the farthest from it
    [1, 2]
    >>> [round(row["radius"], 3) for row in found.gained]     # of all, of the two: one minus a cosine of 0.8
    [0.0, 0.2]
    """
    started = time.perf_counter()
    recipe = Recipe(k, method, q, scope, draws, seed)
    backend = find_backend(backend, scope)
    sources = Sources(encoder=encoder, dtype=dtype, embeddings=embeddings, cache=cache, progress=progress)
    sources.check()
    if remedy := KINDS["vectors"].lacking(sources):
        raise MetricError("samples are selected by vectors, and there are none.", remedy=remedy)
    with engine.use_threads(threads), engine.use_memory(memory), VectorStore(memory) as store:
        opener = KINDS["vectors"].open(sources)
        parts, facts, signatures = [], [], []
        seen = _Seen(store)
        dumps = _open(source, join, memory, reading)
        told = None
        if progress is not None and all(path is not None for _, path, _ in dumps):
            told = AllDumps([paths for paths, _, _ in dumps], progress)
        for i, (paths, path, blocks) in enumerate(dumps):
            view = opener(path)
            fact = _look(seen, blocks, view, told.of(i) if told else None)
            parts.append(Part(blocks, paths, fact["prompts"], fact["samples"]))
            facts.append(fact)
            signatures.append(view.signature)
        _name(parts, facts)
        rows = store.rows()
        sizes = np.concatenate([*seen.sizes, np.zeros(0, np.int64)])
        prompts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        groups = prompts if scope == "prompt" else one_group(len(rows))
        picks = pick(rows, groups, recipe, backend, progress)
        gained = _gained(rows, groups, picks, recipe)
    signature = _signature(recipe, len(rows), len(sizes), signatures, seen.fingerprint)
    return Selection(
        recipe=recipe,
        signature=signature,
        gained=[{**row, "signature": str(signature)} for row in gained],
        ids=pa.chunked_array(seen.ids, pa.large_string()).combine_chunks(),
        prompts=prompts,
        positions=np.concatenate([*seen.positions, np.zeros(0, np.int64)]),
        picks=picks,
        parts=parts,
        short=int(np.count_nonzero(np.diff(groups) < k)),
        run=run_facts(time.perf_counter() - started) | {"backend": backend, "seed": seed, "dumps": facts},
    )


def _open(
    source: Any, join: bool, memory: int | None, reading: Mapping[str, Any]
) -> list[tuple[Sequence[Path], Path | None, Iterable[Samples]]]:
    """Return the files of every dump, the one that names it, and its samples."""
    given = samples_or_paths(source)
    if isinstance(given, Samples):
        return [((), None, [given])]
    paths = find_dumps(given)
    dumps: list[list[Path]] = [paths] if join else [[path] for path in paths]
    limits = block_limits(memory)
    return [(dump, dump[0], read(dump if join else dump[0], **limits, **reading)) for dump in dumps]


def _look(seen: _Seen, blocks: Iterable[Samples], view: Any, progress: Progress | None) -> dict[str, Any]:
    """Take the samples of one dump; return what is to be told of it."""
    prompts = samples = 0
    meta: Mapping[str, Any] = {}
    stream = engine.ahead(blocks) if engine.threads() > 1 and isinstance(blocks, Blocks) else blocks
    for block in stream:
        text = block.text
        seen.fingerprint = _core.fingerprint(text.values, text.offsets, block.groups, seen.fingerprint)
        seen.store.add(view.build(block))
        seen.positions.append(block.positions)
        seen.sizes.append(np.diff(block.groups))
        seen.ids.append(block.ids)
        prompts, samples, meta = prompts + len(block), samples + block.rows, block.meta
        if progress is not None and isinstance(blocks, Blocks):
            progress(*blocks.position, "bytes")
    view.finish(samples)
    fact: dict[str, Any] = {"prompts": prompts, "samples": samples}
    if isinstance(blocks, Blocks):
        meta = blocks.meta
        fact |= {"dump": blocks.name, "reader": blocks.reader, "counts": dict(blocks.counts)}
        if blocks.skipped:
            fact["skipped_records"] = list(blocks.skipped)
    fact |= {"model": meta.get("model"), "task": meta.get("task"), "vectors": dict(view.facts)}
    return fact


def _name(parts: Sequence[Part], facts: Sequence[dict[str, Any]]) -> None:
    """Say of every dump which model and task it is of; several are told apart, as their prompts may have equal ids."""
    if len(parts) > 1:
        names = short_names([part.paths[0] for part in parts])
        labels = [(fact["model"] or name, fact["task"]) for fact, name in zip(facts, names, strict=True)]
        for fact, model in zip(facts, tell_apart(labels, names), strict=True):
            fact["model"] = model
    for part, fact in zip(parts, facts, strict=True):
        part.labels = {name: fact[name] for name in ("model", "task") if fact[name] is not None}


def _gained(
    rows: NDArray[np.float32], groups: NDArray[np.int64], picks: Picks, recipe: Recipe
) -> list[dict[str, Any]]:
    """Return what all samples, those selected, and random ones are worth: means over prompts, and over draws."""

    def worth(chosen: NDArray[np.int64], bounds: NDArray[np.int64]) -> tuple[float, float]:
        order = np.sort(chosen) if len(bounds) == 2 else chosen
        scores = vendi(rows[order], bounds, q=recipe.q)
        return _mean(scores), _mean(covering_radius(rows, groups, chosen, bounds))

    of_all = vendi(rows, groups, q=recipe.q) if rows.shape[1] else np.full(len(groups) - 1, np.nan)
    out = [
        {"of": "all", "samples": len(rows), "vendi": _mean(of_all), "radius": 0.0 if len(rows) else np.nan}
    ]
    if not len(picks.rows):
        return out
    score, radius = worth(picks.rows, picks.bounds)
    out.append({"of": "selected", "samples": len(picks.rows), "vendi": score, "radius": radius})
    if recipe.draws:
        rng = np.random.default_rng(recipe.seed)
        drawn = np.array(
            [worth(_drawn(rng, groups, picks.bounds), picks.bounds) for _ in range(recipe.draws)]
        )
        (score, radius), (low, closest), (high, widest) = drawn.mean(0), drawn.min(0), drawn.max(0)
        out.append(
            {"of": "random", "samples": len(picks.rows), "vendi": float(score), "radius": float(radius)}
        )
        out[-1] |= {"vendi_range": [float(low), float(high)], "radius_range": [float(closest), float(widest)]}
    return out


def _mean(values: NDArray[np.float64]) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


def _drawn(
    rng: np.random.Generator, groups: NDArray[np.int64], bounds: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return as many rows of every group as were picked of it, drawn without replacement."""
    if len(groups) == 2:
        return np.sort(rng.choice(int(groups[1]), int(bounds[1]), replace=False))
    of = np.repeat(np.arange(len(groups) - 1), np.diff(groups))
    order = np.lexsort((rng.random(len(of)), of))
    kept = np.arange(len(of)) - groups[of] < np.diff(bounds)[of]
    return np.sort(order[kept])


def _signature(recipe: Recipe, rows: int, prompts: int, vectors: Sequence[str], data: int) -> Signature:
    parts: dict[str, Any] = {"scope": recipe.scope, "groups": prompts if recipe.scope == "prompt" else 1}
    # Dumps share an encoder, and have embeddings of their own.
    key = vectors[0].partition(":")[0]
    recipes = dict.fromkeys(one.partition(":")[2] for one in vectors)
    parts |= {"rows": rows, key: "+".join(recipes), "data": f"{data >> 32:08x}"}
    if recipe.draws:
        parts |= {"draws": recipe.draws, "rs": recipe.seed}
    return Signature(recipe.canonical, parts | {"v": divfast.__version__})
