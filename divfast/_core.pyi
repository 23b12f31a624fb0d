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
_Counts: TypeAlias = NDArray[np.uint32]
_Floats: TypeAlias = NDArray[np.float64]
_Floats32: TypeAlias = NDArray[np.float32]
_Mask: TypeAlias = NDArray[np.uint8] | NDArray[np.bool_]
_Texts: TypeAlias = tuple[_Bytes, _Ints]
_Roles: TypeAlias = NDArray[np.uint16]
_Sizes: TypeAlias = NDArray[np.int32]
_Tokens: TypeAlias = tuple[_Fingerprints, _Ints]

_Nodes: TypeAlias = tuple[_Fingerprints, _Fingerprints, _Roles, _Sizes, _Ints]

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
    others: _Texts
    errors: list[tuple[int, str]]
    line_count: int
    null_outputs: int
    lone_surrogates: int

def tokenize(values: _Bytes, offsets: _Ints, tokenizer: str, threads: int = 0) -> _Tokens:
    """Return the tokens of every text as 64-bit fingerprints."""

def token_strings(text: bytes, tokenizer: str) -> list[bytes]:
    """Return the tokens of one text as UTF-8."""

def token_spans(text: bytes, tokenizer: str) -> _Ints:
    """Return where each token of one text begins and ends in it, in bytes: two numbers a token.

    For ``whitespace``, ``words`` and ``chars``; ``ValueError`` for a tokenizer that changes the text first.
    """

def ngram_counts(
    values: _Fingerprints, offsets: _Ints, groups: _Ints, max_order: int, threads: int = 0
) -> tuple[_Ints, _Ints]:
    """Return different and all n-grams of every group, each ``int64[g, max_order]``; they never cross rows."""

def lcs_means(values: _Fingerprints, offsets: _Ints, groups: _Ints, threads: int = 0) -> _Floats:
    """Return the mean F1 of the longest common subsequence over the pairs of every group; NaN without a pair."""

def edit_means_of_tokens(values: _Fingerprints, offsets: _Ints, groups: _Ints, threads: int = 0) -> _Floats:
    """Return the mean Levenshtein distance over the longer length over the pairs of every group; NaN without a pair."""

def edit_means_of_characters(values: _Bytes, offsets: _Ints, groups: _Ints, threads: int = 0) -> _Floats:
    """Return the same for texts, by code points; a byte that is not UTF-8 is one."""

def jaccard_means(
    values: _Fingerprints, offsets: _Ints, groups: _Ints, n: int, multiset: bool, threads: int = 0
) -> _Floats:
    """Return the mean Jaccard distance of n-grams over those pairs of every group that have any; NaN without one."""

def chrf_means(
    values: _Bytes,
    offsets: _Ints,
    groups: _Ints,
    char_order: int,
    word_order: int,
    beta: float,
    threads: int = 0,
) -> _Floats:
    """Return the mean chrF, 0 to 100, over the ordered pairs of every group; NaN without a pair."""

def group_matches(
    values: _Fingerprints, offsets: _Ints, groups: _Ints, max_order: int, memory: int = 0, threads: int = 0
) -> _Counts:
    """Return for every row and order how many n-grams the other rows of its group have too, ``uint32[n, max_order]``.

    Each counts as often as the row that has most of it. `memory` is about how many bytes a large group may take.
    """

def corpus_matches(
    blocks: Sequence[_Fingerprints],
    file: int,
    lengths: _Ints,
    max_order: int,
    memory: int = 0,
    threads: int = 0,
) -> _Counts:
    """Return the same for all rows as one group. Their tokens are in `blocks` of whole rows, or in an open `file`.

    `file` is a descriptor, -1 for none. Raises ``OSError`` where it cannot be read.
    """

def closest_lengths(lengths: _Ints, groups: _Ints, threads: int = 0) -> _Ints:
    """Return for every row the closest length of another row of its group, the shorter of two; -1 for none."""

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

def add_outer_products(products: _Floats, rows: NDArray[np.float32] | _Floats, threads: int = 0) -> None:
    """Add the outer products of all rows to the upper triangle of `products`, ``float64[d, d]``, in place.

    What stands below the diagonal is undefined.
    """

def group_products(rows: NDArray[np.float32], starts: _Ints, k: int, threads: int = 0) -> _Floats:
    """Return the products of all rows by all rows of groups of k, in float64: ``float64[b, k, k]``.

    Group i is the rows from ``starts[i]`` on, ``int64[b]``.
    """

def group_components(rows: _Floats32, groups: _Ints, tau: float, threads: int = 0) -> _Ints:
    """Return for every row the first row of its component, where rows of a group whose product is at least `tau` are
    joined. Rows are ``float32[n, d]``; there is a value for each of those in `groups`.
    """

def group_leaders(rows: _Floats32, groups: _Ints, tau: float, threads: int = 0) -> _Ints:
    """Return for every row the first one that began a cluster and whose product with it is at least `tau`; itself where
    its group has none.
    """

def group_kmeans(rows: _Floats32, groups: _Ints, ks: _Ints, seed: int, threads: int = 0) -> _Ints:
    """Return for every row the first row of its cluster: spherical k-means, `ks` clusters in each group or fewer."""

def medoids(rows: _Floats32, members: _Ints, offsets: _Ints, threads: int = 0) -> _Ints:
    """Return the row of every cluster with the greatest mean product with all its members; -1 where it has none."""

class Components:
    """Components of n rows that grow from pairs."""

    def __init__(self, n: int) -> None: ...
    def unite(self, left: _Ints, right: _Ints) -> None:
        """Join the rows of each pair."""

    def roots(self) -> _Ints:
        """Return for every row the first one of its component."""

class Leaders:
    """Greedy leaders of n rows, from all pairs that are alike."""

    def __init__(self, n: int) -> None: ...
    def follow(self, left: _Ints, right: _Ints) -> None:
        """Take the next pairs, left before right, in the order of left over all calls."""

    def first(self) -> _Ints:
        """Return for every row the leader that it follows, or itself."""

def pair_statistics(
    rows: NDArray[np.float32],
    others: NDArray[np.float32] | None,
    nearest: int,
    cuts: Sequence[float] | NDArray[np.float32],
    sharpness: float,
    fraction: int,
    threads: int = 0,
) -> tuple[NDArray[np.float32], _Ints, NDArray[np.float32], _Ints, _Ints]:
    """Return what is found of the similarities of all pairs of finite rows, or of all rows to all of `others`.

    ``similarity[n * nearest]``, descending, and ``neighbours[n * nearest]``, 2^63 - 1 where there are fewer;
    ``lowest[n]``, infinite where there are none; ``counts[c + 1]``, pairs by how many of the ascending `cuts` are at or
    below their similarity, empty without cuts; ``exponentials[n]``, sums of 2^(sharpness (s - 1)), each term rounded
    down to a whole number of 2^-fraction, empty where the sharpness is 0. The exponents may reach 1 at most.
    """

def join_rows(
    rows: NDArray[np.float32],
    others: NDArray[np.float32] | None,
    start: int,
    stop: int,
    tau: float,
    limit: int,
    threads: int = 0,
) -> tuple[_Ints, _Ints, NDArray[np.float32]] | None:
    """Return the pairs of rows from `start` to `stop` with later ones, or with all of `others`, that reach `tau`.

    In the order of the first row, then of the second; None where there are more than `limit`.
    """

def eigenvalues(matrices: _Floats, threads: int = 0) -> _Floats:
    """Return the eigenvalues of symmetric matrices, ``float64[b, k, k]`` to ``float64[b, k]``, in no order.

    The upper triangle is read. NaN for a matrix that is not finite.
    """

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
    joined: tuple[str, str] = ("", ""),
    all_but: Sequence[str] | None = None,
) -> list[_Batch]:
    """Return the records of whole lines as columns, in order; with `skip` bad lines are listed and passed over.

    A prompt from the first of the fields `joined` goes on, after an empty line, with what the second holds.
    Without `texts` the samples are counted and their rows are empty; unless `skip`, strings that no field asks for are
    then not looked into, so that a line can pass here which fails with `texts`.

    With `all_but`, ``others`` has a row a record: its fields as they stand within the braces, but those of these names
    and the one with the samples.
    """

def json_flags(values: _Bytes, offsets: _Ints, bounds: _Ints) -> NDArray[np.int8] | None:
    """Return 1, 0 and -1 for the true, false and null that checked JSON texts hold, ``int8[bounds[-1] - bounds[0]]``.

    Text i has ``bounds[i + 1] - bounds[i]`` of them, in a list or, where it is one, alone; an empty text stands for
    nulls. None where a text holds anything else or another number.
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

def row_priorities(values: _Bytes, offsets: _Ints, seed: int, first: int, threads: int = 0) -> _Fingerprints:
    """Return a hash of the seed, the number counted from `first` and the bytes of every row."""

def fingerprint(values: _Bytes, offsets: _Ints, groups: _Ints, state: int) -> int:
    """Return `state` with these groups of texts folded in: blocks one after the other give what the whole gives."""

def strip_reasoning(values: _Bytes, offsets: _Ints) -> tuple[_Texts, int, int] | None:
    """Return texts from behind their last ``</think>``, how many had one, how many of these end there.

    None, and nothing is copied, where no text has one.
    """

def fold_text(values: _Bytes, offsets: _Ints, threads: int = 0) -> _Texts:
    """Return texts in lower case, each run of white space one blank, none at the ends."""

def group_duplicates(
    values: _Bytes,
    offsets: _Ints,
    groups: _Ints,
    near: bool,
    unit: str,
    n: int,
    threshold: float,
    threads: int = 0,
) -> tuple[_Ints, _Ints]:
    """Return for every row the first row of its group with the same text, and the first of its cluster.

    Clusters are the components of all pairs whose sets of shingles (`n` of ``chars`` or ``words``) have a Jaccard
    similarity of at least the threshold; without `near` only of equal texts.
    """

class DistinctTexts:
    """The different texts of a corpus that comes in blocks, numbered in order of first appearance.

    Past `limit` bytes (0: no limit) they are kept in `file`, an open descriptor (-1: none).
    """

    def __init__(self, limit: int, file: int) -> None: ...
    def __len__(self) -> int: ...
    def add(self, values: _Bytes, offsets: _Ints, threads: int = 0) -> NDArray[np.uint32]:
        """Return the number of the text of every row."""

    def finish(self) -> None:
        """Free what only `add` needs."""

    def near(
        self,
        unit: str,
        n: int,
        threshold: float,
        bands: int,
        rows: int,
        seed: int,
        limit: int,
        threads: int = 0,
    ) -> NDArray[np.uint32]:
        """Return for every text the first one of its cluster of near-duplicates.

        Two texts are compared where their MinHash signatures of ``bands * rows`` hashes agree in all rows of a band.
        Keys of bands take `limit` bytes (0: no limit).
        """

    def gather(self, numbers: NDArray[np.uint32]) -> _Texts:
        """Return the texts of these numbers."""

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

def ngram_keys(values: _Fingerprints, offsets: _Ints, n: int, threads: int = 0) -> _Tokens:
    """Return the fingerprint of every n-gram of every row of tokens; none is zero."""

def search_index(
    file: int, offset: int, bits: int, directory: _Ints, keys: _Fingerprints, threads: int = 0
) -> _Bytes:
    """Return which of the ascending `keys` are in the sorted file, from byte `offset` of an open file on.

    Those with the high bits s stand between ``directory[s]`` and ``directory[s + 1]``. Raises ``RuntimeError`` where
    the file is not what the directory says.
    """

class _NgramStream:
    """Takes documents in blocks and makes the fingerprints of all their n-grams."""

    def add_text(
        self,
        values: _Bytes,
        offsets: _Ints,
        places: _Ints,
        tokenizer: str,
        continues: bool = False,
        open: bool = False,
        threads: int = 0,
    ) -> None:
        """Take a block of texts, a row a document, each at its place.

        `continues` and `open` say that the first and the last row are parts; between two parts there must be a blank.
        """

    def add_tokens(
        self,
        values: _Fingerprints,
        offsets: _Ints,
        places: _Ints,
        continues: bool = False,
        open: bool = False,
        threads: int = 0,
    ) -> None:
        """Take a block of documents as tokens."""

    @property
    def tokens(self) -> int:
        """How many tokens were taken."""

    @property
    def grams(self) -> int:
        """How many n-grams were taken, equal ones each time."""

    @property
    def fingerprint(self) -> int:
        """Sum of the fingerprints of all n-grams: the same in any order and in any blocks."""

class NgramProbe(_NgramStream):
    """Which of some n-grams occur in a stream of documents, and where first."""

    def __init__(self, n: int, keys: _Fingerprints) -> None: ...
    def places(self, keys: _Fingerprints, threads: int = 0) -> _Ints:
        """Return for every key the least place at which it occurred, or -1."""

class NgramSorter(_NgramStream):
    """The different n-grams of a stream of documents, sorted into a file.

    Works in about `memory` bytes; what is more goes into the open and empty file `spill`.
    """

    def __init__(self, n: int, memory: int, spill: int, threads: int = 0) -> None: ...
    def write(self, out: int, offset: int) -> tuple[int, int]:
        """Write the keys and the directory to an open file; return how many keys, and the bits of the directory."""

class Greedy:
    """A subset of the rows ``float32[n, d]`` that grows by the cheapest row.

    `cost`: ``distance`` is minus the squared distance to the nearest row taken; ``cosines`` the sum of squared cosines
    with them; ``spectrum`` what a row adds to tr f(G), G their cosines and f(x) = (x^q - x) / (q - 1), or x log x at
    q = 1, for q above 0 and at most 2.
    """

    def __init__(self, rows: NDArray[np.float32], cost: str, q: float = 1.0, threads: int = 0) -> None: ...
    def central(self) -> int:
        """Return the row nearest to the mean of all, -1 where there are none."""

    def take(self, row: int) -> None:
        """Take a row into the subset."""

    def cheapest(self) -> tuple[int, float]:
        """Return the row to be taken next, the first of equals, and its cost; -1 where none is left."""

def greedy_groups(
    rows: NDArray[np.float32], groups: _Ints, k: int, cost: str, q: float = 1.0, threads: int = 0
) -> tuple[_Ints, _Floats]:
    """Return up to k rows of every group in the order of taking, the first one central, and their costs.

    Both ``[g, k]``; behind the last one -1 and NaN, and NaN for the first.
    """

def covering_radius(
    rows: NDArray[np.float32], groups: _Ints, chosen: _Ints, bounds: _Ints, threads: int = 0
) -> _Floats:
    """Return the largest squared distance from a row of each group to the nearest chosen one; NaN without any.

    The chosen rows of group g are ``chosen[bounds[g]:bounds[g + 1]]``.
    """

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

def strip_rows(values: _Bytes, offsets: _Ints) -> _Texts:
    """Return texts without the white space at their ends, as Python's ``str.strip()``."""

def parse_python(values: _Bytes, offsets: _Ints, threads: int = 0) -> tuple[_Nodes, _Bytes]:
    """Return the syntax trees of plain Python programs: what is written on each node, exactly and with identifiers
    alike, the role in its parent, the size of its subtree, and the offsets of the trees. Nodes stand behind those
    below them. A program that is wrong has no nodes, and one that is not plain, which is told by a 0, has none here.
    """

def ast_nodes(trees: Sequence[object]) -> _Nodes:
    """Return the same of objects of Python's module ast; None has no nodes."""

def visited_nodes(text: _Bytes, visits: _Ints, classes: _Fingerprints) -> _Nodes:
    """Return the same of one walk from the root down: six numbers a visit, which are its depth, its class, its role,
    whether it has others below it (0), is a leaf (1), an identifier (2) or a token of the node around it (3), and where
    it begins and ends. `classes` are what is written on nodes of each class.
    """

def subtrees(
    labels: _Fingerprints,
    roles: _Roles,
    sizes: _Sizes,
    offsets: _Ints,
    height: int,
    exact: bool,
    threads: int = 0,
) -> _Tokens:
    """Return the fingerprints of the subtrees of this height, or of at most it, one row a tree.

    Raises ``ValueError`` where sizes are not those of trees.
    """

def tree_edit_means(
    labels: _Fingerprints,
    roles: _Roles,
    sizes: _Sizes,
    offsets: _Ints,
    tree: _Ints,
    groups: _Ints,
    most: int,
    threads: int = 0,
) -> _Floats:
    """Return the mean normalised edit distance of the trees of every two rows of a group, `tree` being that of a row.

    Rows whose tree has no node, or more than `most`, are left out. Ctrl-C ends it.
    """

def code_tokens(values: _Bytes, offsets: _Ints, languages: _Bytes, threads: int = 0) -> _Tokens:
    """Return the tokens of programs, of each in its language: a number in the order of `views.code.LANGUAGES`."""

def code_token_strings(text: bytes, language: int) -> list[bytes]:
    """Return the tokens of one program as text."""
