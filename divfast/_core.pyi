"""The compiled core: arrays in, arrays out, the GIL released. csrc/bind_*.cpp are the other side of this file.

Ragged rows come as `values` and `offsets` (``int64[n + 1]``) and go back as such a pair. Arrays of another type are
converted first, so the one named here is the one that costs nothing. ``threads=0`` means all cores.

Raises ``ValueError`` for offsets that decrease or reach outside their rows, ``IndexError`` for a row that is not there.
"""

from collections.abc import Sequence
from typing import TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

_Bytes: TypeAlias = NDArray[np.uint8]
_Fingerprints: TypeAlias = NDArray[np.uint64]
_Ints: TypeAlias = NDArray[np.int64]
_Floats: TypeAlias = NDArray[np.float64]
_Mask: TypeAlias = NDArray[np.uint8] | NDArray[np.bool_]
_Texts: TypeAlias = tuple[_Bytes, _Ints]
_Tokens: TypeAlias = tuple[_Fingerprints, _Ints]

class _Batch(TypedDict):
    text: _Texts
    records: _Ints
    ids: _Texts
    keys: _Texts
    has_id: _Bytes
    prompts: _Texts
    has_prompt: _Bytes
    single: _Bytes
    lines: _Ints
    carried: list[_Texts]
    errors: list[tuple[int, str]]
    line_count: int
    null_outputs: int
    lone_surrogates: int

def tokenize(values: _Bytes, offsets: _Ints, tokenizer: str, threads: int = 0) -> _Tokens:
    """Return the tokens of every text as 64-bit fingerprints."""

def token_strings(text: bytes, tokenizer: str) -> list[bytes]:
    """Return the tokens of one text as UTF-8."""

def ngram_counts(
    values: _Fingerprints, offsets: _Ints, groups: _Ints, max_order: int, threads: int = 0
) -> tuple[_Ints, _Ints]:
    """Return different and all n-grams of every group, each ``int64[g, max_order]``; they never cross rows."""

def ngram_spectrum(
    values: _Fingerprints, offsets: _Ints, groups: _Ints, order: int, threads: int = 0
) -> tuple[_Ints, _Ints, _Ints]:
    """Return how often the n-grams of every group occur: ``count``, ``many``, and where each group's entries are.

    ``many[i]`` different ones occur ``count[i]`` times each; in each group the highest count comes first.
    """

def shared_ngrams(
    values: _Fingerprints, offsets: _Ints, groups: _Ints, order: int, threads: int = 0
) -> _Ints:
    """Return for every row of the groups the number of other rows of its group that hold an n-gram of it.

    Summed over its different n-grams.
    """

def type_token(
    values: _Fingerprints,
    offsets: _Ints,
    measure: str,
    window: int = 50,
    threshold: float = 0.72,
    shortest: int = 1,
    open_end: bool = False,
    threads: int = 0,
) -> _Floats:
    """Return the ``ttr``, ``mattr`` or ``mtld`` of every row; NaN where it is undefined."""

def text_fingerprints(values: _Bytes, offsets: _Ints, normalize: str, threads: int = 0) -> _Fingerprints:
    """Return a fingerprint of every text, once made alike: ``none``, ``space`` or ``lower``."""

def bootstrap_means(values: _Floats, replicates: int, seed: int, threads: int = 0) -> _Floats:
    """Return means over resampled groups, ``float64[m, g]`` -> ``float64[m, replicates]``; NaN is left out."""

def parse_jsonl(
    data: bytes | bytearray | memoryview,
    first_line: int,
    outputs: Sequence[tuple[str, bool]],
    ids: Sequence[str],
    prompts: Sequence[str],
    qualifiers: Sequence[str],
    carried: Sequence[str],
    skip: bool,
    threads: int = 0,
    texts: bool = True,
) -> list[_Batch]:
    """Return the records of whole lines as columns, in order; with `skip` bad lines are listed and passed over.

    Without `texts` the samples are checked and counted, and their rows are empty.
    """

def json_children(
    data: bytes | bytearray | memoryview, allow_nan: bool = False
) -> tuple[str, list[str] | None, _Ints] | tuple[None, int, str]:
    """Return ``"{"`` with the names, or ``"["`` with None, and ``begin, end`` of every value one level down.

    An empty string and no bounds for any other value; None, the position and the reason where the text is malformed.
    """

def gather_bytes(values: _Bytes, offsets: _Ints, index: _Ints) -> _Texts:
    """Return the texts that `index` names, in its order."""

def gather_tokens(values: _Fingerprints, offsets: _Ints, index: _Ints) -> _Tokens:
    """Return the rows of tokens that `index` names, in its order."""

def first_equal(values: _Bytes, offsets: _Ints, threads: int = 0) -> _Ints:
    """Return for every text the number of the first one with the same bytes."""

def fingerprint(values: _Bytes, offsets: _Ints, groups: _Ints, state: int) -> int:
    """Return `state` with these groups of texts folded in: blocks one after the other give what the whole gives."""

def strip_reasoning(values: _Bytes, offsets: _Ints) -> tuple[_Texts, int, int] | None:
    """Return texts from behind their last ``</think>``, how many had one, how many of these end there.

    None, and nothing is copied, where no text has one.
    """

class KeyIndex:
    """Numbers keys in order of first appearance, over as many blocks as there are."""

    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def add(
        self,
        keys: _Bytes,
        key_offsets: _Ints,
        has: _Mask,
        companions: _Bytes,
        companion_offsets: _Ints,
        has_companion: _Mask,
    ) -> tuple[_Ints, _Ints]:
        """Return the number of every key, and the rows whose companion is not the one their key came with before."""

class NgramSets:
    """The different n-grams of a corpus that comes in blocks, for each of some orders. Can be pickled."""

    def __init__(self, orders: Sequence[int]) -> None: ...
    @property
    def orders(self) -> list[int]:
        """The orders, as given."""

    def add(self, values: _Fingerprints, offsets: _Ints, threads: int = 0) -> None:
        """Take a block of tokens."""

    def merge(self, other: NgramSets, threads: int = 0) -> None:
        """Take what another one has seen; `other` stays as it is."""

    def unique(self) -> _Ints:
        """Return the number of different n-grams by order."""

    def total(self) -> _Ints:
        """Return the number of all n-grams by order."""

class NgramCounts:
    """How often each n-gram of a corpus that comes in blocks occurs. Can be pickled."""

    def __init__(self, order: int) -> None: ...
    @property
    def order(self) -> int:
        """The order, as given."""

    def add(self, values: _Fingerprints, offsets: _Ints, threads: int = 0) -> None:
        """Take a block of tokens."""

    def merge(self, other: NgramCounts, threads: int = 0) -> None:
        """Take what another one has seen; `other` stays as it is."""

    def spectrum(self) -> tuple[_Ints, _Ints]:
        """Return ``count`` and ``many``, as `ngram_spectrum` of one group."""

class RowNgrams:
    """The different n-grams of every row of a corpus that comes in blocks. Can be pickled."""

    def __init__(self, order: int) -> None: ...
    @property
    def order(self) -> int:
        """The order, as given."""

    def __len__(self) -> int: ...
    def add(self, values: _Fingerprints, offsets: _Ints, threads: int = 0) -> None:
        """Take a block of tokens."""

    def merge(self, other: RowNgrams) -> None:
        """Take the rows of another one, behind those that are here; `other` stays as it is."""

    def ngrams(self) -> int:
        """Return how many n-grams are kept, those of each row by themselves."""

    def hits(self, threads: int = 0) -> _Ints:
        """Return what `shared_ngrams` gives for all rows as one group."""
