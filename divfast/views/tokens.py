"""Tokens of samples: six built-in tokenizers in C++, or any Hugging Face tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from divfast import _core, engine
from divfast.samples import Ragged, Samples

BUILT_IN = {
    "whitespace": "runs between white space, as Python's str.split()",
    "paper": 'the paper\'s: every "." and newline deleted, then white space',
    "words": "runs of letters, marks and digits, lower-cased",
    "chars": "every character but white space, for languages without spaces",
    "13a": "mteval-v13a, as sacrebleu",
    "rouge": "runs of a-z and 0-9, lower-cased, as rouge_score: every other script is dropped",
    "spaces": "what stands between single blanks, as Python's str.split(' ')",
}


class BuiltInTokens:
    """Tokens by one of the built-in rules; a token is the 64-bit fingerprint of its UTF-8.

    Parameters
    ----------
    name : str
        A key of `BUILT_IN`.
    """

    vocab_size: int | None = None

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def signature(self) -> str:
        """``tok:whitespace``."""
        return f"tok:{self.name}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Nothing to tell."""
        return {}

    def build(self, samples: Samples) -> Ragged:
        """Return the tokens of every sample, ``uint64``."""
        text = samples.text
        return Ragged(*_core.tokenize(text.values, text.offsets, self.name, threads=engine.threads()))


def open_tokenizer(name: str) -> Any:
    """Return the tokens view of a built-in tokenizer, or of a Hugging Face tokenizer by name or folder.

    Raises
    ------
    ModelError
        Where the tokenizer cannot be had.
    """
    if name in BUILT_IN:
        return BuiltInTokens(name)
    from divfast.views.hf_tokens import LearnedTokens

    return LearnedTokens(name)
