"""Tokens of a Hugging Face tokenizer."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from divfast.errors import ModelError, nearest
from divfast.samples import Ragged, Samples
from divfast.views.models import unreachable

_TEXTS_AT_ONCE = 4096


class LearnedTokens:
    """Token ids of a tokenizer by hub name, folder, or ``tokenizer.json``; no special tokens are added.

    Parameters
    ----------
    name : str
        What ``tokenizers.Tokenizer`` or ``transformers.AutoTokenizer`` can load.

    Raises
    ------
    ModelError
        Where the library is missing or the tokenizer cannot be had.
    """

    def __init__(self, name: str) -> None:
        self._tokenizer = _load(name)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        self.vocab_size: int = self._tokenizer.get_vocab_size()
        revision = hashlib.sha256(self._tokenizer.to_str().encode()).hexdigest()[:8]
        self.name = f"{Path(name).name}@{revision}"

    @property
    def signature(self) -> str:
        """``tok:NAME@REVISION``, the revision being a hash of the tokenizer itself."""
        return f"tok:{self.name}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Nothing to tell."""
        return {}

    def build(self, samples: Samples) -> Ragged:
        """Return the token ids of every sample, ``uint64``."""
        parts = []
        for start in range(0, samples.rows, _TEXTS_AT_ONCE):
            texts = samples.text.slice(start, min(start + _TEXTS_AT_ONCE, samples.rows)).strings()
            encoded = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            ids = [np.array(item.ids, np.uint64) for item in encoded]
            offsets = np.concatenate([[0], np.cumsum([len(row) for row in ids])]).astype(np.int64)
            parts.append(Ragged(np.concatenate(ids), offsets))
        return Ragged.concat(parts) if parts else Ragged(np.zeros(0, np.uint64), np.zeros(1, np.int64))


def _load(name: str) -> Any:
    from divfast.views.tokens import BUILT_IN, CODE

    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ModelError(
            f"tokenizer {name!r} needs the tokenizers library.",
            remedy=f"Install it with pip install 'divfast[embed]', or use {', '.join([*BUILT_IN, *CODE])}.",
        ) from None
    path = Path(name)
    file = path if path.suffix == ".json" else path / "tokenizer.json"
    try:
        if file.is_file():
            return Tokenizer.from_file(str(file))
        if path.exists():
            return _converted(name)
        return _from_hub(name, Tokenizer)
    except Exception as error:  # noqa: BLE001 - the library raises bare Exception
        raise ModelError(
            f"tokenizer {name!r} cannot be had: {str(error).splitlines()[0].rstrip('.')}.",
            remedy=f"{nearest(name, [*BUILT_IN, *CODE])} A folder or file of a Hugging Face tokenizer will do as well.",
        ) from None


def _from_hub(name: str, library: Any) -> Any:
    """Return a tokenizer of the Hub, or of its local cache where the Hub is out of reach."""
    from huggingface_hub import try_to_load_from_cache

    away = unreachable([name])
    if away is None:
        return library.from_pretrained(name)
    cached = try_to_load_from_cache(name, "tokenizer.json")
    if not isinstance(cached, str):
        raise away
    return library.from_file(cached)


def _converted(name: str) -> Any:
    """Return the fast form of a tokenizer that is stored in an older form."""
    from transformers import AutoTokenizer

    backend = getattr(AutoTokenizer.from_pretrained(name, use_fast=True), "backend_tokenizer", None)
    if backend is None:
        raise ValueError("it has no fast form")
    return backend
