"""Judgments: the samples of a block with a judge behind them; each pair of texts is judged once."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from divfast import env
from divfast.dumps import Progress
from divfast.errors import ModelError, nearest
from divfast.judged import JudgedRows
from divfast.samples import Ragged, Samples
from divfast.views.cache import KEY_BYTES, ContentCache, Keys, content_keys
from divfast.views.judges import ENGINES, PairClassifier, load_judge

COLUMNS = ("logprobs",)
# What a kill may lose, but for the batch under way.
_FLUSH_SECONDS = 10.0


class PairJudge:
    """A judge that is asked about each pair of texts once, in however many places and calls it stands.

    Parameters
    ----------
    judge : PairClassifier
        The loaded classifier.
    cache : bool
        Keep verdicts in ``divfast.env.cache_dir()`` and look there first; else they are kept in memory.
    progress : callable, optional
        Called with pairs judged, pairs to judge in this call, ``"pairs"``.
    """

    def __init__(
        self, judge: PairClassifier, *, cache: bool = True, progress: Progress | None = None
    ) -> None:
        self.judge = judge
        self.counts = {"pairs": 0, "unique": 0, "cached": 0, "judged": 0, "without_answer": 0}
        self._progress = progress
        folder = env.cache_dir() / "judgments" / judge.recipe.replace("/", "-") if cache else None
        self.cache = ContentCache(folder, width=3)

    def __call__(self, texts: Sequence[str], pairs: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the probabilities of entailment, neutral and contradiction of every pair, ``float32[m, 3]``."""
        table: dict[str, int] = {}
        ids = np.array([table.setdefault(text, len(table)) for text in texts], np.int64)
        unique, inverse = np.unique(ids[pairs[:, 0]] * len(table) + ids[pairs[:, 1]], return_inverse=True)
        pairs = np.stack(np.divmod(unique, max(1, len(table))), axis=1)
        found = np.full((len(pairs), 3), np.nan, np.float32)
        keys = pair_keys(list(table), pairs)
        missing = np.flatnonzero(~self.cache.lookup(keys, found))
        self.counts["pairs"] += len(inverse)
        self.counts["unique"] += len(pairs)
        self.counts["cached"] += len(pairs) - len(missing)
        if len(missing):
            self._judge(list(table), pairs, missing, keys, found)
        self.counts["without_answer"] += int(np.isnan(found).any(axis=1).sum())
        return found[inverse]

    def _judge(
        self,
        texts: Sequence[str],
        pairs: NDArray[np.int64],
        missing: NDArray[np.int64],
        keys: Keys,
        found: NDArray[np.float32],
    ) -> None:
        used, ids = np.unique(pairs[missing], return_inverse=True)
        flushed = time.monotonic()
        done = 0
        try:
            for index, chances in self.judge.classify([texts[i] for i in used], ids.reshape(-1, 2)):
                # A model that overflows has no answer; it may have one another time, on another device.
                bad = ~np.isfinite(chances).all(axis=1)
                chances[bad] = np.nan
                found[missing[index]] = chances
                self.cache.add(keys[missing[index[~bad]]], chances[~bad])
                done += len(index)
                self.counts["judged"] += len(index)
                if self._progress:
                    self._progress(done, len(missing), "pairs")
                if time.monotonic() - flushed >= _FLUSH_SECONDS:
                    self.cache.flush()
                    flushed = time.monotonic()
        finally:
            self.cache.flush()


def pair_keys(texts: Sequence[str], pairs: NDArray[np.int64]) -> Keys:
    """Return the key of every pair, ``uint64[m, 2]``: BLAKE2b of those of its two texts, which are of one length.

    Examples
    --------
    >>> pair_keys(["a", "ab", "b", ""], np.array([[0, 2], [1, 3], [2, 0]])).shape
    (3, 2)
    """
    one = content_keys(Ragged.from_strings(texts))
    tape = np.ascontiguousarray(one[pairs.reshape(-1)]).view(np.uint8).reshape(-1)
    return content_keys(Ragged(tape, np.arange(len(pairs) + 1, dtype=np.int64) * (2 * KEY_BYTES)))


class JudgmentView:
    """The rows of one dump for metrics over judged pairs; the judge may serve several dumps."""

    def __init__(self, judge: PairJudge) -> None:
        self._judge = judge
        self._streams: dict[Any, Any] = {}
        self._blocks = 0

    @property
    def signature(self) -> str:
        """``judge:roberta-large-mnli@1a2b3c4d/512/f32``: name, weights, most tokens of a pair, arithmetic."""
        return f"judge:{self._judge.judge.recipe}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Device; pairs asked for, different ones among those of a call, found in the cache, judged, and those
        without an answer.
        """
        return {"device": self._judge.judge.device, **self._judge.counts}

    def build(self, samples: Samples) -> JudgedRows:
        """Return the samples with their prompts, their log-probabilities and the judge."""
        logprobs, tokens = log_probabilities(samples.per_sample.get(COLUMNS[0]), samples.rows)
        absent = samples.prompts.is_null().to_numpy(zero_copy_only=False)
        prompt = np.where(absent, -1, np.arange(len(samples)))
        rows = JudgedRows(
            samples.text,
            self._judge,
            Ragged.from_arrow(samples.prompts),
            np.repeat(prompt, np.diff(samples.groups)),
            logprobs,
            tokens,
            streams=self._streams,
            block=self._blocks,
        )
        self._blocks += 1
        return rows


def log_probabilities(column: pa.Array | None, rows: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the log-probability of every sample and over how many tokens it is a sum, ``float64[n]`` each.

    A number is the sum over the tokens of a sample, of which there may be any number; a list has one of each. NaN
    where the dump does not say.

    Examples
    --------
    >>> log_probabilities(pa.array([[-1.0, -0.5], None]), 2)
    (array([-1.5,  nan]), array([ 2., nan]))
    >>> log_probabilities(pa.array([-1.5, -2.0]), 2)
    (array([-1.5, -2. ]), array([nan, nan]))
    """
    nothing = np.full(rows, np.nan)
    if column is None:
        return nothing, nothing
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        numbers = column.type.value_type
        if pa.types.is_floating(numbers) or pa.types.is_integer(numbers):
            lists = column.to_pylist()
            known = [each is not None and None not in each for each in lists]
            sums = [sum(each) if ok else np.nan for each, ok in zip(lists, known, strict=True)]
            many = [len(each) if ok else np.nan for each, ok in zip(lists, known, strict=True)]
            return np.array(sums, np.float64), np.array(many, np.float64)
    elif pa.types.is_floating(column.type) or pa.types.is_integer(column.type):
        return column.cast(pa.float64()).to_numpy(zero_copy_only=False), nothing
    return nothing, nothing


def open_judge(
    name: str,
    *,
    dtype: str = "float32",
    engine: str = "transformers",
    device: str | None = None,
    cache: bool = True,
    progress: Progress | None = None,
) -> PairJudge:
    """Open a judge.

    Parameters
    ----------
    name : str
        A transformers sequence classifier with the labels entailment, neutral and contradiction, in any order: a
        folder, or a name on the Hugging Face Hub.
    dtype : str
        ``float32``, ``bfloat16`` or ``float16``; part of the signature.
    engine : {"transformers", "vllm"}
        What runs it; vLLM, which needs a GPU, is part of the signature too.
    device : str, optional
        As torch names it; without it, CUDA if there is one, else the CPU.
    cache : bool
        Keep verdicts in ``divfast.env.cache_dir()`` and look there first; else they are kept in memory.
    progress : callable, optional
        ``progress(done, total, unit)``, called after every batch.

    Raises
    ------
    ModelError
        Where the packages, the model or its weights cannot be had, its labels are others, or its tokenizer takes no
        pairs; nothing is loaded in its place.
    BackendError
        Where the named device is not here.
    """
    if engine not in ENGINES:
        raise ModelError(f"unknown engine {engine!r} for a judge.", remedy=nearest(engine, ENGINES))
    judge: PairClassifier
    if engine == "vllm":
        from divfast.views.vllm_judge import load_vllm_judge

        judge = load_vllm_judge(name, dtype=dtype)
    else:
        judge = load_judge(name, dtype=dtype, device=device)
    return PairJudge(judge, cache=cache, progress=progress)
