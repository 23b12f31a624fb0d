"""Compression ratio."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from divfast import engine
from divfast.errors import MetricError
from divfast.kinds import Kind, choice
from divfast.registry import metric
from divfast.samples import Ragged

# What Python's gzip, libzstd and liblzma do where nobody says, and the most that they take.
_LEVELS = {"gzip": (9, 9), "zstd": (3, 22), "xz": (6, 9)}
# A header of 10 bytes and a trailer of 8 stand around what deflate makes.
_GZIP_FRAME = 18
_RAW_DEFLATE = -15
# Groups are handed to threads by about so many bytes.
_TASK_BYTES = 1 << 18
_PIECE_BYTES = 1 << 20


def _parse_level(text: str) -> int | None:
    if text == "default":
        return None
    value = int(text)
    if value < 1:
        raise ValueError("must be a whole number of at least 1, or default")
    return value


level_kind = Kind(_parse_level, lambda value: "default" if value is None else str(value))


def checked_level(codec: str, level: int | None) -> int:
    """Return the level to use, or raise `MetricError` where the codec has no such level."""
    usual, most = _LEVELS[codec]
    if level is not None and level > most:
        raise MetricError(
            f"parameter level of compression: {codec} has no level {level}.",
            remedy=f"Use a level from 1 to {most}.",
        )
    return usual if level is None else level


def compressed_size(text: bytes, codec: str, level: int) -> int:
    """Return how many bytes a text is once compressed in one piece."""
    if codec == "gzip":
        return len(zlib.compress(text, level, wbits=_RAW_DEFLATE)) + _GZIP_FRAME
    if codec == "xz":
        return len(lzma.compress(text, preset=level))
    return len(pa.Codec("zstd", compression_level=level).compress(text, asbytes=True))


def joined(rows: Ragged) -> bytes:
    """Return the texts with one blank between them."""
    tape = rows.values.data
    return b" ".join([tape[start:stop] for start, stop in pairwise(rows.offsets.tolist())])


class Deflated:
    """Text that arrives in pieces, compressed as it comes, as gzip does it in one piece."""

    def __init__(self, level: int) -> None:
        self._compressor = zlib.compressobj(level, zlib.DEFLATED, _RAW_DEFLATE)
        self._parts: list[bytes] = []

    def write(self, text: bytes) -> None:
        """Take the next piece."""
        if part := self._compressor.compress(text):
            self._parts.append(part)

    def size(self) -> int:
        """Return how large a gzip file of everything so far is."""
        end = self._compressor.copy().flush()
        return sum(map(len, self._parts)) + len(end) + _GZIP_FRAME

    def read(self) -> Iterable[bytes]:
        """Return everything so far, in pieces."""
        return _inflated([*self._parts, self._compressor.copy().flush()])


def _inflated(parts: Iterable[bytes]) -> Iterator[bytes]:
    stream = zlib.decompressobj(_RAW_DEFLATE)
    for part in parts:
        while part:
            yield stream.decompress(part, _PIECE_BYTES)
            part = stream.unconsumed_tail
    yield stream.flush()


class Kept:
    """Text that arrives in pieces and is compressed at the end: the size of the whole matters to these codecs."""

    def __init__(self, codec: str, level: int) -> None:
        self._codec = codec
        self._level = level
        self._parts: list[bytes] = []

    def write(self, text: bytes) -> None:
        """Take the next piece."""
        self._parts.append(text)

    def size(self) -> int:
        """Return how large everything so far is once compressed."""
        return compressed_size(b"".join(self._parts), self._codec, self._level)

    def read(self) -> Iterable[bytes]:
        """Return everything so far, in pieces."""
        return list(self._parts)


class CompressionCorpus:
    """Compression ratio of all rows together, in the order in which they come."""

    def __init__(self, *, codec: str, level: int | None) -> None:
        level = checked_level(codec, level)
        self.text: Deflated | Kept = Deflated(level) if codec == "gzip" else Kept(codec, level)
        self.rows = 0
        self.bytes = 0

    def add(self, rows: Ragged) -> None:
        """Take one block of texts."""
        if len(rows):
            self._behind([joined(rows)], len(rows))

    def merge(self, other: CompressionCorpus) -> None:
        """Take what another accumulator has seen, behind what was seen here."""
        if other.rows:
            self._behind(other.text.read(), other.rows)

    def _behind(self, pieces: Iterable[bytes], rows: int) -> None:
        if self.rows:
            pieces = chain([b" "], pieces)
        for piece in pieces:
            self.bytes += len(piece)
            self.text.write(piece)
        self.rows += rows

    def result(self) -> float:
        """Return the score of everything seen so far."""
        return self.bytes / self.text.size() if self.bytes else np.nan


@metric(
    "compression",
    view="text",
    unit="bytes / compressed bytes",
    higher="less diverse",
    bounds=(0, None),
    corpus=CompressionCorpus,
    parameters={"codec": choice("gzip", "zstd", "xz"), "level": level_kind},
    sequential=("default",),
)
def compression(
    rows: Ragged, groups: NDArray[np.int64], *, codec: str = "gzip", level: int | None = None
) -> NDArray[np.float64]:
    """Compression ratio of a group: bytes of its samples over bytes of what a compressor makes of them.

    Parameters
    ----------
    rows : Ragged
        Texts, ``uint8``, one row a sample.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    codec : str
        ``gzip``, ``zstd`` or ``xz``.
    level : int, optional
        1 to 9, zstd to 22; ``default`` is what the library does by itself: 9 for Python's gzip, 3 for zstd, 6 for xz.

    Returns
    -------
    numpy.ndarray
        ``float64[g]``, above 0; below 1 where the compressor's frame outweighs what it saves. NaN for a group
        without a byte.

    Raises
    ------
    MetricError
        Where the codec has no such level.

    Notes
    -----
    The samples are joined by one blank, UTF-8, and compressed in one pass; with gzip the denominator is
    ``len(gzip.compress(text))``, to the byte, where Python's zlib is the one by Gailly and Adler. Another order of the
    samples is another text: the value then differs, by some tenths of a percent in ordinary text, so the law of order
    does not hold, and an accumulator puts what it merges behind what it has. gzip sees 32 KB back and finds no
    repetition across more than that. The package ``diversity`` compresses twice with gzip and rounds: its value is
    higher where a text repeats itself, and lower where it is short. Time is the compressor's, spread over threads by
    group; a corpus is compressed on one. Over a corpus gzip keeps what it has compressed so far, zstd and xz, whose
    output depends on the size of the whole, keep the text itself. Equal to the reference exactly.

    References
    ----------
    Shaib, Barrow, Sun, Siu, Wallace and Nenkova (2024), "Standardizing the Measurement of Text Diversity: A Tool and a
    Comparative Analysis of Scores", arXiv 2403.00553.

    Examples
    --------
    >>> import divfast
    >>> report = divfast.score([["a" * 500, "a" * 500]], ["compression"])
    >>> report["compression"].mean > 20  # 1001 bytes, nearly all the same
    True
    """
    level = checked_level(codec, level)
    g = len(groups) - 1
    out = np.full(g, np.nan)
    # One blank too many for every group, which is nothing in a weight.
    weight = np.diff(rows.offsets[groups]) + np.diff(groups)
    cuts = np.flatnonzero(np.diff(np.cumsum(weight) // _TASK_BYTES, prepend=0)) + 1
    tasks = [(int(a), int(b)) for a, b in pairwise([0, *cuts[cuts < g], g]) if a < b]

    def run(task: tuple[int, int]) -> None:
        for group in range(*task):
            text = joined(rows.slice(int(groups[group]), int(groups[group + 1])))
            if text:
                out[group] = len(text) / compressed_size(text, codec, level)

    for _ in engine.map_ordered(run, tasks):
        pass
    return out
