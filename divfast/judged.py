"""Samples and their judge: the rows of metrics over judged pairs, which know nothing of models."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.samples import Offsets, Ragged

# Columns of what a judge returns.
ENTAILMENT, NEUTRAL, CONTRADICTION = range(3)

# ``judge(texts, pairs) -> float32[m, 3]``: the probabilities that text ``pairs[i, 0]`` entails text ``pairs[i, 1]``,
# says nothing of it, contradicts it; NaN where the judge has no answer. A pure function of each pair's two texts.
Judge = Callable[[Sequence[str], NDArray[np.int64]], NDArray[np.float32]]

# Ordered pairs of samples that are asked about at a time.
_PAIRS_AT_ONCE = 1 << 20


class PlainSample(NamedTuple):
    """One row as the reference takes it; `judge` takes a premise and a hypothesis and returns three floats."""

    text: str
    prompt: str | None
    logprob: float
    tokens: float
    judge: Callable[[str, str], Sequence[float]]


class JudgedRows:
    """Texts, what the dump says of them, and the judge of their pairs.

    Parameters
    ----------
    text : Ragged
        The samples, ``uint8``.
    judge : callable
        See `Judge`.
    prompts : Ragged
        Prompts, ``uint8``.
    prompt_of : numpy.ndarray
        ``int64[n]``: which prompt a sample is of; -1 where the dump has none.
    logprobs, tokens : numpy.ndarray
        ``float64[n]``: log-probability of a sample, and how many tokens that is a sum over; NaN where not known.
    streams : dict, optional
        States of random streams that run through the blocks of a dump, shared by these.
    block : int
        Which block of the dump these rows are.
    """

    def __init__(
        self,
        text: Ragged,
        judge: Judge,
        prompts: Ragged,
        prompt_of: NDArray[np.int64],
        logprobs: NDArray[np.float64],
        tokens: NDArray[np.float64],
        *,
        streams: dict[Any, Any] | None = None,
        block: int = 0,
    ) -> None:
        self.text = text
        self.judge = judge
        self.prompts = prompts
        self.prompt_of = prompt_of
        self.logprobs = logprobs
        self.tokens = tokens
        self._streams = {} if streams is None else streams
        self._block = block

    def __len__(self) -> int:
        return len(self.text)

    def take(self, index: NDArray[np.int64]) -> JudgedRows:
        """Return the rows that `index` names, in its order; random streams begin anew."""
        chosen = (self.prompt_of[index], self.logprobs[index], self.tokens[index])
        return JudgedRows(self.text.take(index), self.judge, self.prompts, *chosen)

    def joined(self, others: Sequence[JudgedRows]) -> JudgedRows:
        """Return these rows and those of the others, one after the other."""
        parts = [self, *others]
        starts = np.cumsum([0, *(len(part.prompts) for part in parts)])
        shifted = [
            np.where(part.prompt_of < 0, -1, part.prompt_of + start)
            for part, start in zip(parts, starts, strict=False)
        ]
        return JudgedRows(
            Ragged.concat([part.text for part in parts]),
            self.judge,
            Ragged.concat([part.prompts for part in parts]),
            np.concatenate(shifted),
            np.concatenate([part.logprobs for part in parts]),
            np.concatenate([part.tokens for part in parts]),
        )

    def tape(self) -> tuple[NDArray[np.uint8], Offsets]:
        """Return the texts."""
        return np.ascontiguousarray(self.text.values), self.text.offsets

    def plain(self) -> list[PlainSample]:
        """Return every row as a `PlainSample`."""
        prompts = self.prompts.strings()

        def judge(premise: str, hypothesis: str) -> list[float]:
            found: list[float] = self.judge([premise, hypothesis], np.array([[0, 1]]))[0].tolist()
            return found

        return [
            PlainSample(text, None if at < 0 else prompts[at], logprob, tokens, judge)
            for text, at, logprob, tokens in zip(
                self.text.strings(),
                self.prompt_of.tolist(),
                self.logprobs.tolist(),
                self.tokens.tolist(),
                strict=True,
            )
        ]

    def distinct(self) -> tuple[list[str], NDArray[np.int64]]:
        """Return the different texts, and for every row the number of its text."""
        first = _core.first_equal(self.text.values, self.text.offsets, threads=engine.threads())
        unique, inverse = np.unique(first, return_inverse=True)
        return self.text.take(unique).strings(), inverse.astype(np.int64)

    @contextmanager
    def stream(self, *key: Any) -> Iterator[random.Random]:
        """Within the block, a random stream that goes on where that of the block of rows before this one ended.

        Parameters
        ----------
        *key
            What tells one stream from another; the first is the seed.
        """
        source = random.Random(key[0])
        if (before := self._streams.get((self._block - 1, *key))) is not None:
            source.setstate(before)
        yield source
        # Asked twice, the stream of a block begins at the same place.
        self._streams[self._block, *key] = source.getstate()
        self._streams.pop((self._block - 2, *key), None)


class Judged(NamedTuple):
    """What the judge says of all ordered pairs of the samples of one group.

    Attributes
    ----------
    chances : numpy.ndarray
        ``float32[d, d, 3]`` over the d different texts: does the row entail the column; NaN where it was not asked.
    of : numpy.ndarray
        ``int64[K]``: which text every sample is.
    logprobs, tokens : numpy.ndarray
        ``float64[K]``, those of the rows.
    known : bool
        Whether there was a prompt where one was to be put before the texts.
    """

    chances: NDArray[np.float32]
    of: NDArray[np.int64]
    logprobs: NDArray[np.float64]
    tokens: NDArray[np.float64]
    known: bool


# What is gathered for metrics over whole samples, as numbers that can be added: texts alone, behind their prompts, and
# with every text that stands twice beside itself.
TEXTS, BEHIND_PROMPT, BESIDE_ITSELF = 0, 1, 2


@lru_cache(maxsize=64)
def _others(size: int) -> NDArray[np.int64]:
    """Return all ordered pairs of different numbers below `size`."""
    return np.argwhere(~np.eye(size, dtype=np.bool_))


def judge_groups(rows: JudgedRows, groups: NDArray[np.int64], order: int) -> list[Judged]:
    """Return what the judge says of the pairs of samples of every group.

    Parameters
    ----------
    rows : JudgedRows
        The samples.
    groups : numpy.ndarray
        ``int64[g + 1]``, rows of each group.
    order : int
        `TEXTS` or `BEHIND_PROMPT`, and whether `BESIDE_ITSELF`.

    Notes
    -----
    Equal samples are one text, and a text is asked about itself only where it stands twice and that was wanted.
    """
    texts, numbers = rows.distinct()
    prompts = rows.prompts.strings() if order & BEHIND_PROMPT else []
    out: list[Judged] = []
    waiting: list[tuple[Judged, NDArray[np.int64], NDArray[np.int64]]] = []
    table: dict[str, int] = {}
    asked = 0

    def ask() -> None:
        nonlocal asked
        if asked:
            pairs = np.concatenate([ids[at] for _, ids, at in waiting])
            found = rows.judge(list(table), pairs)
            start = 0
            for group, _, at in waiting:
                group.chances[at[:, 0], at[:, 1]] = found[start : start + len(at)]
                start += len(at)
        waiting.clear()
        table.clear()
        asked = 0

    bounds = groups.tolist()
    for start, stop in pairwise(bounds):
        unique, of, counts = np.unique(numbers[start:stop], return_inverse=True, return_counts=True)
        prompt = int(rows.prompt_of[start]) if stop > start else -1
        known = not order & BEHIND_PROMPT or prompt >= 0
        chances = np.full((len(unique), len(unique), 3), np.nan, np.float32)
        group = Judged(chances, of, rows.logprobs[start:stop], rows.tokens[start:stop], known)
        out.append(group)
        at = _others(len(unique))
        if order & BESIDE_ITSELF:
            at = np.concatenate([at, np.repeat(np.flatnonzero(counts > 1)[:, None], 2, axis=1)])
        if not known or not len(at):
            continue
        said = [f"{prompts[prompt]} {texts[i]}" if prompts else texts[i] for i in unique]
        ids = np.array([table.setdefault(text, len(table)) for text in said])
        waiting.append((group, ids, at))
        asked += len(at)
        if asked >= _PAIRS_AT_ONCE:
            ask()
    ask()
    return out
