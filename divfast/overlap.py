"""How much of an evaluation occurs in a training text: the n-grams that both share."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

import divfast
from divfast import _core, engine
from divfast.coverage import Coverage, Overlap, document_rows, passage_rows
from divfast.dumps import Progress, short_names
from divfast.errors import DataError, MetricError
from divfast.ngram_index import IndexFacts, NgramIndex, write_index
from divfast.ngram_search import Search, Texts, portions, room, stream_into
from divfast.readers import find_dumps
from divfast.result import Signature
from divfast.samples import Ragged
from divfast.stats import INTERVAL, REPLICATES, bootstrap_intervals, mean_and_std
from divfast.views.tokens import open_tokenizer

N = 13
TOKENIZER = "words"

_MOST_N = 10_000

# A pyarrow.Array too; it has no types.
Given: TypeAlias = str | Path | Ragged | Sequence[str | Path]


def overlap(
    train: Given,
    evaluation: Given,
    *,
    n: int | None = None,
    tokenizer: str | None = None,
    fields: Sequence[str] = (),
    eval_fields: Sequence[str] = (),
    passages: bool = False,
    on_error: str = "fail",
    seed: int = 0,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> Overlap:
    """Measure which share of an evaluation's tokens lies in n-grams that occur in a training text.

    Parameters
    ----------
    train : path, list of paths, pyarrow.Array or Ragged
        The training text: plain text (a file is one document), JSON Lines, Parquet, Arrow or any dump, compressed or
        not, patterns such as ``train/*.jsonl.zst``; or indexes that `build_index` wrote. Or documents in memory.
    evaluation : path, list of paths, pyarrow.Array or Ragged
        The evaluations, in the same formats; each file is one of them.
    n : int, optional
        Order of the n-grams; by default 13, or that of the index.
    tokenizer : str, optional
        By default ``words``, or that of the index; see `divfast.score`.
    fields, eval_fields : sequence of str
        Which fields hold the texts, each text a document. By default, of training text: ``text``, ``content``,
        ``messages`` (a chat is one document), else all prompts and outputs; of evaluations: ``prompt``, ``question``,
        ``problem``, ``instruction``, ``query``, ``text``, ... (the first that is there).
    passages : bool
        Also list the passages that both share.
    on_error : {"fail", "skip"}
        Stop at a bad record, or leave it out.
    seed : int
        Of the bootstrap.
    threads, memory : int, optional
        By default all cores, and 1 GiB; they change no number.
    progress : callable, optional
        Called as ``progress(done, total, "bytes")``.

    Returns
    -------
    Overlap
        One `Coverage` for each evaluation, a table of documents, and the passages.

    Raises
    ------
    DivfastError
        One sentence: where, what, and the remedy.

    Notes
    -----
    The coverage of a document of T tokens is ``|{i : an n-gram that holds token i occurs in training}| / T``; the value
    is its mean over documents. n-grams never cross documents. A document of fewer than n tokens has no n-gram: its
    coverage is NaN, counted in ``undefined`` and left out of the mean. An empty training text is an error.

    Training text is streamed once against a table of the evaluation's n-grams, so memory is that of the evaluation;
    one that does not fit is searched for in portions, one pass each. O(tokens) time. n-grams are compared by 64-bit
    fingerprints: with E different n-grams of evaluations and D of training the odds of a single false match are
    ``E D / 2^64``, 5e-4 for a million and ten billion.

    The measure is C13 of arXiv 2604.16027, with n = 13. Its code runs the search of open-instruct, which differs in
    that it splits words with spaCy, finds phrases with Elasticsearch, takes for each document only the one training
    document that covers most, counts a document without an n-gram as 0, and of equal n-grams within a document covers
    the last alone.

    References
    ----------
    Karouzos, Tan and Aletras (2026), "Where does output diversity collapse in post-training?", arXiv 2604.16027.
    Lambert et al. (2024), "Tulu 3: Pushing Frontiers in Open Language Model Post-Training", arXiv 2411.15124.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from divfast.overlap import overlap
    >>> found = overlap(pa.array(["x a b c y"]), pa.array(["a b c d", "c b a", "a"]), n=2, passages=True)
    >>> found.documents["coverage"].to_pylist()  # a b and b c occur: 3 of 4 tokens; none; too short for n = 2
    [0.75, 0.0, nan]
    >>> found[0].mean, found[0].undefined, found.passages["text"].to_pylist()
    (0.375, 1, ['a b c'])
    """
    started = time.perf_counter()
    with engine.use_threads(threads), engine.use_memory(memory):
        training = [Texts(*one, fields, on_error, False) for one in _named(train, "training text")]
        asked = [Texts(*one, eval_fields, on_error, True) for one in _named(evaluation, "evaluation")]
        _check_inputs(training, asked)
        indexes = [texts.index for texts in training if texts.index is not None]
        n, tokenizer, view = _settle(n, tokenizer, indexes)
        search = Search([texts for texts in training if texts.index is None], indexes, n, view, progress)
        tables, listed = [], []
        fingerprints = [0] * len(asked)
        names = _names(asked)
        for portion in portions(asked, n, view, passages, fingerprints):
            found, places = search.run(portion.grams.values)
            covered = portion.covered(found)
            tables.append(document_rows(portion, covered, names))
            if passages:
                listed.append(passage_rows(portion, covered, names, tokenizer, search.where, places))
        if not tables:
            raise DataError("holds no documents.", where=asked[0].name, remedy="Check the path.")
        table = pa.concat_tables(tables)
        parts = {
            "tok": view.signature.partition(":")[2],
            "train": f"{search.fingerprint >> 32:08x}",
        }
        results = _results(table, names, fingerprints, n, parts, seed)
        run = _run(time.perf_counter() - started, seed, search, training, asked, names)
    return Overlap(results, table, pa.concat_tables(listed) if passages else None, run)


def build_index(
    train: Given,
    path: str | Path,
    *,
    n: int = N,
    tokenizer: str = TOKENIZER,
    fields: Sequence[str] = (),
    on_error: str = "fail",
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
) -> IndexFacts:
    """Write the different n-grams of a training text into one file, for `overlap` to search many times.

    Parameters
    ----------
    train, n, tokenizer, fields, on_error, threads, memory, progress
        As for `overlap`. What does not fit in `memory` is sorted in runs beside the file and merged.
    path : str or Path
        The index; it appears once it is whole. One that is there is replaced.

    Returns
    -------
    IndexFacts
        How many documents, tokens and n-grams went in.

    Raises
    ------
    DivfastError
        One sentence: where, what, and the remedy.

    Notes
    -----
    8 bytes a different n-gram, and as much again on disk for the runs while it is made. An index holds no text: the
    passages found with it have no place in the training text.

    Examples
    --------
    >>> import pyarrow as pa, tempfile
    >>> from divfast.overlap import build_index, overlap
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     facts = build_index(pa.array(["x a b c y"]), f"{folder}/train.idx", n=2)
    ...     found = overlap(f"{folder}/train.idx", pa.array(["a b c d"]))
    >>> facts.distinct, found[0].mean
    (4, 0.75)
    """
    with engine.use_threads(threads), engine.use_memory(memory):
        training = [Texts(*one, fields, on_error, False) for one in _named(train, "training text")]
        _check_inputs(training, [])
        for texts in training:
            if texts.index is not None:
                raise DataError("is an index itself.", where=texts.name, remedy="Give the training text.")
        n, tokenizer, view = _settle(n, tokenizer, [])

        def fill(sorter: _core.NgramSorter) -> dict[str, Any]:
            count = stream_into(sorter, training, view, progress)
            return {
                "tokenizer": tokenizer,
                "tokens_by": view.signature,
                "documents": count,
                "divfast": divfast.__version__,
            }

        return write_index(Path(path), n, max(room() // 2, room() * 3 // 4 - (64 << 20)), fill)


def _named(texts: Given, what: str) -> list[tuple[str, Ragged | None]]:
    if isinstance(texts, Ragged):
        return [(what, texts)]
    if hasattr(texts, "type"):
        return [(what, Ragged.from_arrow(texts))]
    paths = [texts] if isinstance(texts, (str, Path)) else list(texts)
    if not paths:
        raise DataError(f"there is no {what}.", remedy="Name at least one file.")
    return [(str(path), None) for path in find_dumps(paths)]


def _check_inputs(training: Sequence[Texts], asked: Sequence[Texts]) -> None:
    """Open everything before anything is read: a wrong name must not cost an hour."""
    for texts in (*training, *asked):
        if texts.on_error not in ("fail", "skip"):
            raise DataError(f"must be 'fail' or 'skip', got {texts.on_error!r}.", where="on_error")
        if texts.held is None and texts.index is None:
            _ = texts.source
    for texts in asked:
        if texts.index is not None:
            raise DataError(
                "is an index, not an evaluation.", where=texts.name, remedy="Give it as training text."
            )
    if sum(texts.name == "-" for texts in (*training, *asked)) > 1:
        raise DataError("can be read once only.", where="stdin", remedy="Give one of them as a file.")


def _settle(n: int | None, tokenizer: str | None, indexes: Sequence[NgramIndex]) -> tuple[int, str, Any]:
    """Return n, the tokenizer's name and the tokenizer, which all indexes must share."""
    first = indexes[0].facts if indexes else None
    if n is None:
        n = first.n if first else N
    if not 1 <= n <= _MOST_N:
        raise MetricError(f"must be a whole number from 1 to {_MOST_N:,}, got {n}.", where="n")
    if tokenizer is None:
        tokenizer = first.tokenizer if first else TOKENIZER
    view = open_tokenizer(tokenizer)
    for index in indexes:
        for what, have, want in (
            ("n-grams of order", index.facts.n, n),
            ("tokens by", index.facts.tokens_by.partition(":")[2], view.signature.partition(":")[2]),
        ):
            if have != want:
                raise DataError(
                    f"is an index of {what} {have}, not {want}.",
                    where=index.name,
                    remedy="Ask for the same, or build another index.",
                )
    return n, tokenizer, view


def _names(asked: Sequence[Texts]) -> list[str]:
    return [asked[0].name] if asked[0].held is not None else short_names([Path(one.name) for one in asked])


def _results(
    table: pa.Table,
    names: Sequence[str],
    fingerprints: Sequence[int],
    n: int,
    parts: dict[str, str],
    seed: int,
) -> list[Coverage]:
    evaluation = table["evaluation"].to_numpy()
    out = []
    for name, data in zip(names, fingerprints, strict=True):
        rows = table.filter(pa.array(evaluation == name))
        values = rows["coverage"].to_numpy()
        value, std = mean_and_std(values)
        signed = {
            "documents": len(values),
            **parts,
            "data": f"{data >> 32:08x}",
            "bs": REPLICATES,
            "rs": seed,
            "v": divfast.__version__,
        }
        out.append(
            Coverage(
                evaluation=name,
                metric=f"overlap:n={n}",
                value=value,
                std=std,
                interval=bootstrap_intervals([values], seed=seed)[0],
                documents=len(values),
                undefined=int(np.isnan(values).sum()),
                tokens=int(rows["tokens"].to_numpy().sum()),
                covered=int(rows["covered"].to_numpy().sum()),
                signature=Signature(f"overlap:n={n}", signed),
                values=values,
            )
        )
    return out


def _run(
    seconds: float,
    seed: int,
    search: Search,
    training: Sequence[Texts],
    asked: Sequence[Texts],
    names: Sequence[str],
) -> dict[str, Any]:
    return {
        "version": divfast.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "threads": engine.threads(),
        "memory": room(),
        "seed": seed,
        "interval": INTERVAL.format("documents"),
        "seconds": round(seconds, 3),
        "command": list(sys.argv),
        "train": [
            {"file": texts.name, **({"index": asdict(texts.index.facts)} if texts.index else {})}
            for texts in training
        ],
        "documents": search.documents,
        "tokens": search.tokens,
        "passes": search.passes,
        "counts": search.counts,
        "evaluations": [
            {"evaluation": name, "file": texts.name} for name, texts in zip(names, asked, strict=True)
        ],
    }
