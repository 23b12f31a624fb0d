"""Tokens of samples: six built-in tokenizers in C++, or any Hugging Face tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from divfast import _core, engine
from divfast.samples import Ragged, Samples
from divfast.views.code import Code

BUILT_IN = {
    "whitespace": "runs between white space, as Python's str.split()",
    "paper": 'the paper\'s: every "." and newline deleted, then white space',
    "words": "runs of letters, marks and digits, lower-cased",
    "chars": "every character but white space, for languages without spaces",
    "13a": "mteval-v13a, as sacrebleu",
    "rouge": "runs of a-z and 0-9, lower-cased, as rouge_score: every other script is dropped",
    "spaces": "what stands between single blanks, as Python's str.split(' ')",
}
CODE = {"code": "names, numbers, strings and operators of the program in a sample, without its comments"}


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


class CodeTokens:
    """Tokens of the programs in samples, by rules of their language; a token is the fingerprint of its UTF-8.

    Parameters
    ----------
    code : Code
        Where the programs are.
    """

    vocab_size: int | None = None

    def __init__(self, code: Code) -> None:
        code.check()
        self.code = code
        self.name = f"code/{code.signature}"

    @property
    def signature(self) -> str:
        """``tok:code/python/auto``: the language, and where the programs are."""
        return f"tok:{self.name}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Nothing to tell: one view serves all dumps."""
        return {}

    def build(self, samples: Samples) -> Ragged:
        """Return the tokens of every program, ``uint64``."""
        text, languages = self.code.programs(samples)
        tokens = _core.code_tokens(
            text.values, text.offsets, languages.astype(np.uint8), threads=engine.threads()
        )
        return Ragged(*tokens)


def open_tokenizer(name: str, code: Code | None = None) -> Any:
    """Return the tokens view of a built-in tokenizer, or of a Hugging Face tokenizer by name or folder.

    Parameters
    ----------
    name : str
        A key of `BUILT_IN` or `CODE`, or what `transformers` can load.
    code : Code, optional
        For ``code``: where the programs are; by default Python between fences, or all of a text.

    Raises
    ------
    ModelError
        Where the tokenizer cannot be had.
    """
    if name in BUILT_IN:
        return BuiltInTokens(name)
    if name in CODE:
        return CodeTokens(Code() if code is None else code)
    from divfast.views.hf_tokens import LearnedTokens

    return LearnedTokens(name)
