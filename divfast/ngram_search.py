"""What is searched and what it is searched for: documents as tokens, streamed through a table of n-grams."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.coverage import Portion
from divfast.dumps import Progress
from divfast.errors import DataError
from divfast.ngram_index import NgramIndex, is_index
from divfast.readers.documents import Documents, documents, reading_of
from divfast.readers.source import Source
from divfast.samples import Ragged, Samples
from divfast.views.tokens import BUILT_IN

MEMORY = 1 << 30

# Where a document stands: the number of its file, and in the low bits its line.
_LINE_BITS = 40
# Fingerprints, a table for them, tokens and masks: about what a token of an evaluation takes.
_TOKEN_BYTES = 160


def room() -> int:
    """Return about how many bytes to work in."""
    return engine.memory() or MEMORY


def _block_bytes() -> int:
    """Return how much text is read at a time: it, its copy and its tokens are alive at once."""
    return max(1 << 16, min(8 << 20, room() // 64))


@dataclass(frozen=True)
class Texts:
    """Documents of one file, or in memory."""

    name: str
    held: Ragged | None
    fields: Sequence[str]
    on_error: str
    questions: bool

    @cached_property
    def source(self) -> Source:
        """The file."""
        return Source(self.name)

    @cached_property
    def index(self) -> NgramIndex | None:
        """The index, where it is one."""
        return NgramIndex(self.name) if self.held is None and is_index(self.name) else None

    def blocks(self, tokenizer: str, counts: dict[str, int]) -> Iterator[Documents]:
        """Yield the documents, from the beginning each time, and add to `counts` what was left out."""
        if self.held is not None:
            yield Documents(self.held, np.arange(1, len(self.held) + 1))
            return
        self.source.consumed = 0
        size = (4 << 20) if self.questions else _block_bytes()
        reading = reading_of(self.source, on_error=self.on_error, block_bytes=size)
        yield from documents(
            self.source,
            reading,
            fields=self.fields,
            questions=self.questions,
            whole=self.questions or tokenizer not in BUILT_IN,
            tokenizer=tokenizer,
        )
        for what, many in reading.counts.items():
            counts[what] = counts.get(what, 0) + many


def tokens_of(view: Any, text: Ragged) -> Ragged:
    """Return the tokens of every document, ``uint64``."""
    if view.name in BUILT_IN:
        return Ragged(*_core.tokenize(text.values, text.offsets, view.name, threads=engine.threads()))
    rows, nothing = len(text), pa.nulls(1, pa.large_string())
    built: Ragged = view.build(Samples(text, np.array([0, rows]), nothing, nothing, np.arange(rows)))
    return built


def stream_into(
    stream: _core.NgramProbe | _core.NgramSorter,
    training: Sequence[Texts],
    view: Any,
    progress: Progress | None,
    counts: dict[str, int] | None = None,
) -> int:
    """Pass all documents of the training text to `stream`; return how many there are."""
    many = done = 0
    counts = {} if counts is None else counts
    sizes = [0 if texts.held is not None else texts.source.size for texts in training]
    total = None if None in sizes else sum(size or 0 for size in sizes)
    for number, texts in enumerate(training):
        for block in texts.blocks(view.name, counts):
            places = (number << _LINE_BITS) + block.lines
            parts = (block.continues, block.open, engine.threads())
            if view.name in BUILT_IN:
                stream.add_text(block.text.values, block.text.offsets, places, view.name, *parts)
            else:
                tokens = tokens_of(view, block.text)
                stream.add_tokens(tokens.values, tokens.offsets, places, *parts)
            many += len(block.text) - block.continues
            if progress is not None and texts.held is None:
                progress(done + texts.source.consumed, total, "bytes")
        done += 0 if texts.held is not None else texts.source.consumed
    if stream.tokens == 0:
        raise DataError(
            "holds no words." if many else "holds no documents.",
            where=training[0].name,
            remedy="Check the path, or name the field with the text.",
        )
    return many


class Search:
    """Which n-grams occur in the training text; it is read once for every portion."""

    def __init__(
        self,
        training: Sequence[Texts],
        indexes: Sequence[NgramIndex],
        n: int,
        view: Any,
        progress: Progress | None,
    ) -> None:
        self._training = training
        self._indexes = indexes
        self._n = n
        self._view = view
        self._progress = progress
        self.passes = 0
        self.counts: dict[str, int] = {}
        self.fingerprint = sum(index.facts.fingerprint for index in indexes)
        self.documents = sum(index.facts.documents for index in indexes)
        self.tokens = sum(index.facts.tokens for index in indexes)

    def run(self, keys: NDArray[np.uint64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Return for every n-gram whether it occurs, and where first; -1 where that is not known."""
        places = np.full(len(keys), -1, np.int64)
        if self._training:
            probe = _core.NgramProbe(self._n, keys)
            counts: dict[str, int] = {}
            many = stream_into(probe, self._training, self._view, self._progress, counts)
            if not self.passes:
                self.counts = counts
                self.documents += many
                self.tokens += probe.tokens
                self.fingerprint = (self.fingerprint + probe.fingerprint) % (1 << 64)
            places = probe.places(keys, threads=engine.threads())
        self.passes += 1
        found = places >= 0
        if self._indexes:
            different, inverse = np.unique(keys, return_inverse=True)
            for index in self._indexes:
                found |= index.contains(different)[inverse]
        return found, places

    def where(self, places: NDArray[np.int64]) -> tuple[list[str | None], list[int | None]]:
        """Return file and line of places in the training text."""
        files = [self._training[at >> _LINE_BITS].name if at >= 0 else None for at in places.tolist()]
        lines = [at & ((1 << _LINE_BITS) - 1) if at >= 0 else None for at in places.tolist()]
        return files, lines


def portions(
    asked: Sequence[Texts], n: int, view: Any, keep_text: bool, fingerprints: list[int]
) -> Iterator[Portion]:
    """Yield the documents of all evaluations, as many at a time as fit in memory."""
    limit = max(1 << 12, room() // 2 // _TOKEN_BYTES)
    held: list[tuple[int, Documents, Ragged]] = []
    size = 0
    for number, texts in enumerate(asked):
        empty = True
        for block in texts.blocks(view.name, {}):
            if not len(block.text):
                continue
            empty = False
            every = np.arange(len(block.text) + 1)
            fingerprints[number] = _core.fingerprint(
                block.text.values, block.text.offsets, every, fingerprints[number]
            )
            tokens = tokens_of(view, block.text)
            held.append((number, block, tokens))
            size += int(tokens.offsets[-1] - tokens.offsets[0])
            if size >= limit:
                yield _portion(held, n, keep_text)
                held, size = [], 0
        if empty:
            raise DataError("holds no documents.", where=texts.name, remedy="Check the path.")
    if held:
        yield _portion(held, n, keep_text)


def _portion(held: Sequence[tuple[int, Documents, Ragged]], n: int, keep_text: bool) -> Portion:
    tokens = Ragged.concat([tokens for _, _, tokens in held])
    grams = _core.ngram_keys(tokens.values, tokens.offsets, n, threads=engine.threads())
    ids: list[str | None] = []
    for _, block, _ in held:
        ids += block.ids or [None] * len(block.text)
    return Portion(
        n=n,
        tokens=tokens.offsets - tokens.offsets[0],
        grams=Ragged(*grams),
        evaluation=np.repeat([number for number, _, _ in held], [len(block.text) for _, block, _ in held]),
        line=np.concatenate([block.lines for _, block, _ in held]),
        ids=ids,
        text=Ragged.concat([block.text for _, block, _ in held]) if keep_text else None,
    )
