"""Pairs of texts as a tokenizer writes them: every text is tokenised once, in however many pairs it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.errors import ModelError
from divfast.views.models import quiet

_TEXTS_AT_ONCE = 4096
# Pairs in which the first is longer, the second is longer, and both are equal, all of other words: what holds for these
# is taken to hold for all.
_PROBES = (("one two three", "four."), ("A.", "a longer text, of 2 parts"), ("x y", "x y"))

Ids = NDArray[np.int32]


@dataclass(frozen=True)
class Form:
    """What stands before, between and behind the two texts of a pair; types of tokens where the model has them.

    Attributes
    ----------
    before, between, after : numpy.ndarray
        ``int32``, special tokens.
    types : tuple of numpy.ndarray, optional
        Types of `before`, of a token of the first text, of `between`, of a token of the second, and of `after`.
    """

    before: Ids
    between: Ids
    after: Ids
    types: tuple[Ids, Ids, Ids, Ids, Ids] | None

    @property
    def specials(self) -> int:
        """Tokens that stand in every pair."""
        return len(self.before) + len(self.between) + len(self.after)

    def ids(self, first: Ids, second: Ids) -> Ids:
        """Return the tokens of a pair."""
        return np.concatenate((self.before, first, self.between, second, self.after))

    def type_ids(self, first: int, second: int) -> Ids:
        """Return the types of the tokens of a pair of texts of these lengths."""
        assert self.types is not None
        before, one, between, two, after = self.types
        return np.concatenate((before, np.repeat(one, first), between, np.repeat(two, second), after))


def form_of(tokenizer: Any, where: str, remedy: str) -> Form:
    """Return how a tokenizer writes a pair.

    Raises
    ------
    ModelError
        Where it does not tell the first text from the second, or writes pairs in no one way.
    """
    found: Form | None = None
    for first, second in _PROBES:
        try:
            with quiet():
                a, b = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in (first, second))
                pair = tokenizer(first, second)
        except Exception as error:
            raise ModelError("its tokenizer takes no pairs of texts.", where=where, remedy=remedy) from error
        form = _split(pair["input_ids"], pair.get("token_type_ids"), a, b)
        if form is None or (found is not None and not _same(form, found)):
            raise ModelError(
                "its tokenizer does not write a pair of texts as one, something between, and the other.",
                where=where,
                remedy=remedy,
            )
        found = form
    assert found is not None
    told_apart = found.types is not None and found.types[1] != found.types[3]
    if not len(found.between) and not told_apart:
        raise ModelError(
            "its tokenizer takes no pairs of texts: it puts nothing between them.", where=where, remedy=remedy
        )
    return found


def _split(pair: list[int], types: list[int] | None, a: list[int], b: list[int]) -> Form | None:
    for start in range(len(pair) - len(a) - len(b) + 1):
        if pair[start : start + len(a)] != a:
            continue
        end = start + len(a)
        for second in range(end, len(pair) - len(b) + 1):
            if pair[second : second + len(b)] != b:
                continue
            parts = (slice(0, start), slice(end, second), slice(second + len(b), None))
            before, between, after = (np.array(pair[part], np.int32) for part in parts)
            kinds = None
            # Where all are 0 the model has no types of tokens, or takes these by itself.
            if types is not None and any(types):
                one, two = types[start : start + 1], types[second : second + 1]
                given = (types[parts[0]], one, types[parts[1]], two, types[parts[2]])
                kinds = tuple(np.array(each, np.int32) for each in given)
            return Form(before, between, after, kinds)  # type: ignore[arg-type]
    return None


def _same(one: Form, other: Form) -> bool:
    if (one.types is None) != (other.types is None):
        return False
    mine, theirs = ((each.before, each.between, each.after, *(each.types or ())) for each in (one, other))
    return all(np.array_equal(x, y) for x, y in zip(mine, theirs, strict=True))


class PairTokens:
    """Tokens of pairs of some texts, cut to what a model takes.

    Parameters
    ----------
    tokenizer
        Of the transformers library.
    form : Form
        How it writes a pair.
    texts : sequence of str
        The texts.
    pairs : numpy.ndarray
        ``int64[m, 2]``: numbers of the first and the second text of each pair.
    most : int
        Tokens of a pair at most. Of a longer one the longer text loses tokens from its end until both are equally
        long, then both do, as with the strategy ``longest_first``.

    Attributes
    ----------
    lengths : numpy.ndarray
        ``int64[m]``, tokens of every pair once cut.
    """

    def __init__(
        self, tokenizer: Any, form: Form, texts: Sequence[str], pairs: NDArray[np.int64], most: int
    ) -> None:
        self._form = form
        room = max(2, most - form.specials)
        self._ids, whole = _tokenize(tokenizer, texts, room)
        self._pairs = pairs
        self._first, self._second = _cut(whole[pairs[:, 0]], whole[pairs[:, 1]], room)
        self.lengths = self._first + self._second + form.specials

    def rows(self, index: NDArray[np.int64]) -> dict[str, list[Ids]]:
        """Return the tokens of some pairs by the names of a model's arguments."""
        sizes = [(int(self._first[i]), int(self._second[i])) for i in index]
        texts = self._pairs[index].tolist()
        out = {
            "input_ids": [
                self._form.ids(self._ids[a][:first], self._ids[b][:second])
                for (a, b), (first, second) in zip(texts, sizes, strict=True)
            ]
        }
        if self._form.types is not None:
            out["token_type_ids"] = [self._form.type_ids(first, second) for first, second in sizes]
        return out


def _tokenize(tokenizer: Any, texts: Sequence[str], room: int) -> tuple[list[Ids], NDArray[np.int64]]:
    """Return the tokens of every text, as many as can be needed, and how many it has."""
    found: list[Ids] = []
    lengths = np.zeros(len(texts), np.int64)
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        part = _bare(tokenizer, list(texts[start : start + _TEXTS_AT_ONCE]))
        lengths[start : start + len(part)] = [len(ids) for ids in part]
        found.extend(np.array(ids[:room], np.int32) for ids in part)
    return found, lengths


def _bare(tokenizer: Any, texts: list[str]) -> list[list[int]]:
    """Return the tokens of texts without special ones."""
    fast = getattr(tokenizer, "backend_tokenizer", None)
    if fast is None:
        with quiet():
            found: list[list[int]] = tokenizer(texts, add_special_tokens=False, truncation=False)["input_ids"]
            return found
    # Straight to the library below: the wrapper around it takes as long again.
    fast.no_truncation()
    fast.no_padding()
    return [encoded.ids for encoded in fast.encode_batch_fast(texts, add_special_tokens=False)]


def _cut(
    first: NDArray[np.int64], second: NDArray[np.int64], room: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return how many tokens of each text fit, as the tokenizers library cuts pairs, longest first."""
    low, high = np.minimum(first, second), np.maximum(first, second)
    fits = low + high <= room
    long = np.where(fits, high, np.maximum(low, room - low))
    over = low + long > room
    low, high = np.where(over, room // 2, low), np.where(over, room // 2 + room % 2, long)
    swapped = first > second
    return np.where(swapped, high, low), np.where(swapped, low, high)
