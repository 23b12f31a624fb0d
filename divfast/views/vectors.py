"""Vectors: one unit row for every sample, from an encoder or brought by the user."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine, env
from divfast.errors import ModelError
from divfast.samples import Ragged, Samples
from divfast.views.batching import encode
from divfast.views.cache import ContentCache, Keys, content_keys
from divfast.views.embeddings import EmbeddingView, Progress, open_embeddings
from divfast.views.encoders import Encoder, load_encoder
from divfast.views.models import quiet

__all__ = ["EmbeddingView", "EncoderView", "VectorView", "open_embeddings", "open_encoder"]

# How much is tokenised and sorted by length at a time, and what a killed run may lose at most.
_WINDOW_TEXTS = 16384
_WINDOW_BYTES = 16 << 20


class VectorView(Protocol):
    """A view whose rows are vectors."""

    @property
    def signature(self) -> str:
        """What changes the rows."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What changes only the time."""

    def build(self, samples: Samples) -> NDArray[np.float32]:
        """Return ``float32[n, d]``, unit rows in C order."""

    def finish(self, samples: int) -> None:
        """Check what can only be known once all samples, this many, were seen."""


class EncoderView:
    """Rows that an encoder makes of texts; equal texts are encoded once.

    Parameters
    ----------
    encoder : Encoder
        The loaded model.
    cache : bool
        Keep rows in ``divfast.env.cache_dir()`` and look there first.
    progress : callable, optional
        Called with texts encoded, texts to encode in this block, ``"texts"``.
    """

    def __init__(self, encoder: Encoder, *, cache: bool = True, progress: Progress | None = None) -> None:
        self.encoder = encoder
        self._progress = progress
        self._last: tuple[Samples, NDArray[np.float32]] | None = None
        self._counts = {"texts": 0, "unique": 0, "cached": 0, "encoded": 0}
        with quiet():
            ((_, probe),) = encode(encoder, [""])
        self.width = probe.shape[1]
        folder = env.cache_dir() / "embeddings" / encoder.recipe.replace("/", "-")
        self.cache = ContentCache(folder, width=self.width) if cache else None

    @property
    def signature(self) -> str:
        """``enc:all-MiniLM-L6-v2@53aa5117/mean/256/f32``: name, weights, pooling, most tokens, arithmetic."""
        return f"enc:{self.encoder.recipe}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Device; texts seen, different ones among those of a block, found in the cache, encoded."""
        return {"device": self.encoder.device, **self._counts}

    def build(self, samples: Samples) -> NDArray[np.float32]:
        """Return the unit row of every sample, ``float32[n, d]``."""
        # Two views of one encoder ask for the same block.
        if self._last is None or self._last[0] is not samples:
            self._last = samples, self.encode(samples.text)
        return self._last[1]

    def encode(self, text: Ragged) -> NDArray[np.float32]:
        """Return the unit row of every text, ``float32[n, d]``; equal ones are encoded once."""
        first = _core.first_equal(text.values, text.offsets, threads=engine.threads())
        unique, inverse = np.unique(first, return_inverse=True)
        distinct = text.take(unique)
        rows = np.empty((len(unique), self.width), np.float32)
        missing = np.arange(len(unique))
        keys = np.zeros((0, 2), np.uint64)
        if self.cache is not None:
            keys = content_keys(distinct)
            missing = np.flatnonzero(~self.cache.lookup(keys, rows))
        self._counts["texts"] += len(text)
        self._counts["unique"] += len(unique)
        self._counts["cached"] += len(unique) - len(missing)
        self._encode(distinct, missing, keys, rows)
        return rows if len(unique) == len(text) else rows[inverse]

    def finish(self, samples: int) -> None:
        """Do nothing: there is a row for any number of samples."""

    def _encode(
        self, text: Ragged, missing: NDArray[np.int64], keys: Keys, rows: NDArray[np.float32]
    ) -> None:
        done = 0
        for window in _windows(missing, text.lengths):
            for index, vectors in encode(self.encoder, text.take(window).strings()):
                rows[window[index]] = vectors
                done += len(index)
                if self._progress:
                    self._progress(done, len(missing), "texts")
            bad = window[~np.isfinite(rows[window]).all(axis=1)]
            if len(bad):
                raise ModelError(
                    f"the encoder gives no direction to the text {text.take(bad[:1]).strings()[0][:60]!r}.",
                    remedy="float16 overflows in some models: use float32 or bfloat16.",
                )
            self._counts["encoded"] += len(window)
            if self.cache is not None:
                self.cache.add(keys[window], rows[window])
        if self.cache is not None:
            self.cache.flush()


def _windows(index: NDArray[np.int64], lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield `index` in parts of a bounded number of rows and of bytes."""
    ends = np.cumsum(lengths[index])
    start = 0
    while start < len(index):
        limit = (ends[start - 1] if start else 0) + _WINDOW_BYTES
        stop = min(start + _WINDOW_TEXTS, max(start + 1, int(np.searchsorted(ends, limit, side="right"))))
        yield index[start:stop]
        start = stop


def open_encoder(
    name: str,
    *,
    dtype: str = "float32",
    device: str | None = None,
    cache: bool = True,
    progress: Progress | None = None,
) -> EncoderView:
    """Open an encoder.

    Parameters
    ----------
    name : str
        ``minilm`` (all-MiniLM-L6-v2 from the ``divfast[minilm]`` extra, no network), a folder, or the name of
        a sentence-transformers or transformers model on the Hugging Face Hub. A model without a pooling of
        its own gets the mean over tokens.
    dtype : str
        ``float32``, ``bfloat16`` or ``float16``; part of the signature.
    device : str, optional
        As torch names it; without it, CUDA if there is one, else the CPU.
    cache : bool
        Keep vectors in ``divfast.env.cache_dir()`` and look there first.
    progress : callable, optional
        ``progress(done, total, unit)``, called after every batch.

    Raises
    ------
    ModelError
        Where the packages, the model or its weights cannot be had; nothing is loaded in its place.
    BackendError
        Where the named device is not here.
    """
    return EncoderView(load_encoder(name, dtype=dtype, device=device), cache=cache, progress=progress)
