"""Exact and near-duplicates among samples: clusters, the sample of each that is kept, shares."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import divfast
from divfast import _core, engine
from divfast.dumps import AllDumps, Progress, block_limits
from divfast.duplicate_clusters import Clusters, Recipe, first_rows, number
from divfast.errors import DataError, os_reason
from divfast.readers import Blocks, find_dumps, read
from divfast.result import Signature, run_facts
from divfast.samples import Ragged, Samples, samples_or_paths

_LARGEST = 10
_EXEMPLAR_BYTES = 400


@dataclass
class _Seen:
    """What is kept of the samples, block by block, in the order of reading."""

    equal: list[NDArray[Any]] = field(default_factory=list)
    near: list[NDArray[np.int64]] = field(default_factory=list)
    positions: list[NDArray[np.int64]] = field(default_factory=list)
    sizes: list[NDArray[np.int64]] = field(default_factory=list)
    ids: list[pa.Array] = field(default_factory=list)
    exemplars: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)
    rows: int = 0
    fingerprint: int = 0


def find_duplicates(
    source: Any,
    *,
    scope: str = "pooled",
    threshold: float = 0.8,
    exact: bool = False,
    unit: str = "chars",
    shingle: int = 5,
    hashes: int = 128,
    bands: int | None = None,
    normalise: str = "none",
    seed: int = 0,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
    join: bool = False,
    **reading: Any,
) -> Clusters:
    """Find samples that are equal or nearly so.

    Parameters
    ----------
    source : str, Path, Samples, list of list of str, or a list of paths
        A dump on disk, a pattern, several of them (one corpus), or texts in memory, one list of strings a prompt.
    scope : {"pooled", "prompt"}
        Duplicates among all samples, or among those of one prompt.
    threshold : float
        Jaccard similarity of shingles, above 0 and at most 1, from which two texts are near-duplicates.
    exact : bool
        Only equal texts.
    unit : {"chars", "words"}
        What a shingle is made of: characters, white space included, which suit texts of any length and language; or
        words as the tokenizer of that name has them, lower-cased and without punctuation, for prose.
    shingle : int
        Units in a shingle. A shorter text is one shingle, all of it.
    hashes : int
        Length of a MinHash signature; only in the scope ``pooled``.
    bands : int, optional
        Bands that the signature is cut into, of ``hashes // bands`` rows each. By default as few as find a pair at the
        threshold with a probability of 0.99.
    normalise : {"none", "fold"}
        ``fold``: lower case, each run of white space one blank, none at the ends; for equal texts too.
    seed : int
        Of the hashes.
    threads : int, optional
        By default all cores this process may use.
    memory : int, optional
        About how many bytes to work in. Changes no cluster.
    progress : callable, optional
        Called as ``progress(done, total, unit)``; nothing is ever printed.
    join : bool
        Several dumps are parts of one: samples with the same id are one prompt's.
    **reading
        Options of `divfast.read`.

    Returns
    -------
    Clusters
        One row a sample in the order of the dump, and the totals.

    Raises
    ------
    DivfastError
        One sentence: where, what, and the remedy.

    Notes
    -----
    Two different texts are near-duplicates if ``|A & B| / |A | B|`` of their sets A and B of shingles reaches the
    threshold; shingles are compared by 64-bit fingerprints. A cluster is a component of that relation, so two of its
    members need not be near-duplicates themselves. An empty text has no shingles: it is equal to other empty texts and
    near to none, and so is, with ``unit="words"``, a text without a word. The sample that is kept is the first of its
    cluster in the dump.

    *Prompt*: every pair of a prompt is compared, or provably need not be; nothing is missed. Takes the memory of the
    largest prompt, about 60 times its text.

    *Pooled*: texts that are equal are one from then on. A pair is compared where its MinHash signatures agree in all
    rows of at least one band, which happens with probability ``1 - (1 - s^rows)^bands`` at similarity s: at the
    threshold that is `Clusters.recall`, above it more. So whatever is in one cluster belongs there, and a pair just
    above the threshold may be missed. Threads, blocks and memory change nothing. Time is linear in the text, except for
    texts of which many are alike and not enough so: all pairs of these may be compared. Beside about 40 bytes a
    sample, a different text takes 12 bytes and its text, up to 21 more while it is looked up, and
    ``4 bands + 16 threads`` more while bands are searched. With `memory` texts go to a temporary file, and bands are
    searched as many at a time as fit, down to 20 bytes a text.

    datasketch chooses bands that weigh misses against false finds, 9 of 13 rows at the threshold 0.8 with 128 hashes,
    and so misses 60% of the pairs at it; since here each find is verified, misses alone decide: 21 bands of 6 rows.

    References
    ----------
    Broder (1997), "On the resemblance and containment of documents". Indyk and Motwani (1998), "Approximate nearest
    neighbors: towards removing the curse of dimensionality". Bayardo, Ma and Srikant (2007), "Scaling up all pairs
    similarity search", for many texts of one prompt or bucket.

    Examples
    --------
    >>> found = find_duplicates([["a cat sat", "a cat sat"], ["a cat sat", "no"]])
    >>> found.samples.column("cluster").to_pylist(), found.samples.column("size").to_pylist()
    ([0, 0, 0, 1], [3, 3, 3, 1])
    >>> found.samples.column("kept").to_pylist()
    [True, False, False, True]
    """
    started = time.perf_counter()
    recipe = Recipe(scope, threshold, exact, unit, shingle, hashes, bands, normalise, seed)
    with engine.use_threads(threads), engine.use_memory(memory), ExitStack() as stack:
        dumps = _open(source, join, memory, reading)
        seen = _Seen()
        texts = _distinct_texts(memory, stack) if recipe.scope == "pooled" else None
        facts = []
        told = None
        if progress is not None and all(paths for _, paths, _ in dumps):
            told = AllDumps([paths for _, paths, _ in dumps], progress)
        for i, (name, _, blocks) in enumerate(dumps):
            rows, prompts = seen.rows, sum(map(len, seen.sizes))
            _look(seen, i, blocks, recipe, texts, told.of(i) if told else None)
            fact: dict[str, Any] = {
                "dump": name,
                "prompts": sum(map(len, seen.sizes)) - prompts,
                "samples": seen.rows - rows,
            }
            if isinstance(blocks, Blocks):
                fact |= {"reader": blocks.reader, "counts": dict(blocks.counts)}
                if blocks.skipped:
                    fact["skipped_records"] = list(blocks.skipped)
            facts.append(fact)
        found = _finish(seen, facts, recipe, texts, memory)
    return Clusters(**found, run=run_facts(time.perf_counter() - started) | {"dumps": facts})


def _open(
    source: Any, join: bool, memory: int | None, reading: Mapping[str, Any]
) -> list[tuple[str | None, Sequence[Path], Iterable[Samples]]]:
    """Return name, files and samples of every dump."""
    given = samples_or_paths(source)
    if isinstance(given, Samples):
        return [(None, (), [given])]
    paths = find_dumps(given)
    limits: dict[str, Any] = {"columns": (), **block_limits(memory), **reading}
    parts: list[Sequence[Path]] = [paths] if join else [[path] for path in paths]
    opened = [read(part if join else part[0], **limits) for part in parts]
    return [(blocks.name, part, blocks) for part, blocks in zip(parts, opened, strict=True)]


def _distinct_texts(memory: int | None, stack: ExitStack) -> _core.DistinctTexts:
    if memory is None:
        return _core.DistinctTexts(0, -1)
    spool = stack.enter_context(tempfile.TemporaryFile(prefix="divfast-"))  # noqa: SIM115
    return _core.DistinctTexts(max(1, memory // 4), spool.fileno())


def _spilled(error: OSError) -> DataError:
    return DataError(
        f"the texts do not fit the memory and cannot be kept in a temporary file: {os_reason(error)}.",
        remedy="Set TMPDIR to a folder with room, or name a larger --memory.",
    )


def _look(
    seen: _Seen,
    dump: int,
    blocks: Iterable[Samples],
    recipe: Recipe,
    texts: _core.DistinctTexts | None,
    progress: Progress | None,
) -> None:
    """Take the samples of one dump."""
    stream = engine.ahead(blocks) if engine.threads() > 1 and isinstance(blocks, Blocks) else blocks
    for block in stream:
        text = block.text
        seen.fingerprint = _core.fingerprint(text.values, text.offsets, block.groups, seen.fingerprint)
        if recipe.normalise == "fold":
            text = Ragged(*_core.fold_text(text.values, text.offsets, engine.threads()))
        if texts is not None:
            try:
                seen.equal.append(texts.add(text.values, text.offsets, engine.threads()))
            except OSError as error:
                raise _spilled(error) from None
        else:
            equal, near = _core.group_duplicates(
                text.values,
                text.offsets,
                block.groups,
                not recipe.exact,
                recipe.unit,
                recipe.shingle,
                recipe.threshold,
                engine.threads(),
            )
            seen.equal.append(equal + seen.rows)
            seen.near.append(near + seen.rows)
            _keep_largest(seen, dump, block, near)
        seen.positions.append(block.positions)
        seen.sizes.append(np.diff(block.groups))
        seen.ids.append(block.ids)
        seen.rows += block.rows
        if progress is not None and isinstance(blocks, Blocks):
            progress(*blocks.position, "bytes")


def _keep_largest(seen: _Seen, dump: int, block: Samples, near: NDArray[np.int64]) -> None:
    """Keep the texts of the largest clusters so far: of a prompt they are all there once its block is."""
    sizes = np.bincount(near)
    firsts = np.flatnonzero(sizes > 1)
    for row in firsts[np.lexsort((block.positions[firsts], -sizes[firsts]))[:_LARGEST]].tolist():
        seen.exemplars[dump, int(block.positions[row])] = int(sizes[row]), _cut(block.text.row(row))
    largest = sorted(seen.exemplars.items(), key=lambda item: (-item[1][0], item[0]))
    seen.exemplars = dict(largest[:_LARGEST])


def _cut(text: NDArray[np.uint8]) -> str:
    """Return the beginning of a text, without half a character at the end."""
    start = text[:_EXEMPLAR_BYTES].tobytes().decode("utf-8", "replace")
    return start.rstrip("\ufffd") + "…" if len(text) > _EXEMPLAR_BYTES else start


def _finish(
    seen: _Seen,
    facts: Sequence[Mapping[str, Any]],
    recipe: Recipe,
    texts: _core.DistinctTexts | None,
    memory: int | None,
) -> dict[str, Any]:
    """Return the columns and what else there is to say, as arguments of `Clusters`."""
    whole = np.int32 if seen.rows < 1 << 31 else np.int64
    positions = np.concatenate([*seen.positions, np.zeros(0, np.int64)])
    counts = np.concatenate([*seen.sizes, np.zeros(0, np.int64)])
    groups = np.repeat(np.arange(len(counts), dtype=whole), counts)
    equal: NDArray[Any] = np.concatenate([*seen.equal, np.zeros(0, np.uint32)])
    for parts in (seen.positions, seen.sizes, seen.equal):
        parts.clear()
    if texts is not None:
        texts.finish()
        near: NDArray[Any] = equal
        if not recipe.exact:
            limit = 0 if memory is None else max(1, memory // 2)
            try:
                roots = texts.near(
                    recipe.unit,
                    recipe.shingle,
                    recipe.threshold,
                    recipe.bands_and_rows[0],
                    recipe.bands_and_rows[1],
                    recipe.seed,
                    limit,
                    engine.threads(),
                )
            except OSError as error:
                raise _spilled(error) from None
            near = roots[equal]
    else:
        near = np.concatenate([*seen.near, np.zeros(0, np.int64)])
        seen.near.clear()
    dumps = np.repeat(np.arange(len(facts), dtype=whole), [fact["samples"] for fact in facts])
    # Samples of one prompt that were scattered over the dump go back to where they stood.
    if np.any((np.diff(positions) < 0) & (np.diff(dumps) == 0)):
        order = np.lexsort((positions, dumps))
        positions, groups, equal, near = positions[order], groups[order], equal[order], near[order]
    repeats = first_rows(equal, whole) != np.arange(len(equal), dtype=whole)
    kept, cluster, size = number(near, whole)
    largest = _largest(kept, size)
    if texts is not None:
        shown = Ragged(*texts.gather(equal[largest].astype(np.uint32)))
        exemplars = [_cut(text) for text in shown]
    else:
        exemplars = [seen.exemplars[int(dumps[row]), int(positions[row])][1] for row in largest]
    ids = pa.chunked_array(seen.ids, pa.large_string()).combine_chunks()
    return {
        "recipe": recipe,
        "signature": _signature(recipe, seen, len(counts)),
        "dumps": [fact["dump"] for fact in facts],
        "ids": ids,
        "dump": dumps,
        "group": groups,
        "position": positions,
        "cluster": cluster,
        "size": size,
        "kept": kept,
        "exact": repeats,
        "largest": list(zip(largest, exemplars, strict=True)),
    }


def _largest(kept: NDArray[np.bool_], size: NDArray[Any]) -> list[int]:
    """Return the kept samples of the largest clusters that have a duplicate, the largest first."""
    rows = np.flatnonzero(kept & (size > 1))
    found: list[int] = rows[np.argsort(-size[rows].astype(np.int64), kind="stable")[:_LARGEST]].tolist()
    return found


def _signature(recipe: Recipe, seen: _Seen, prompts: int) -> Signature:
    parts: dict[str, Any] = {"scope": recipe.scope, "groups": prompts if recipe.scope == "prompt" else 1}
    parts |= {"rows": seen.rows, "norm": recipe.normalise, "data": f"{seen.fingerprint >> 32:08x}"}
    return Signature(recipe.canonical, parts | {"v": divfast.__version__})
