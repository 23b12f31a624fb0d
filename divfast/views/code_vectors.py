"""Vectors of programs: what an encoder makes of the code in samples in place of their text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast.samples import Samples
from divfast.views.code import Code
from divfast.views.vectors import VectorView


class CodeVectors:
    """Rows that an encoder makes of the program in every sample.

    Parameters
    ----------
    encoder : VectorView
        What encodes texts.
    code : Code
        Where the programs are.
    """

    def __init__(self, encoder: VectorView, code: Code) -> None:
        code.check()
        self.encoder = encoder
        self.code = code

    @property
    def signature(self) -> str:
        """That of the encoder, and where the programs are: ``enc:.../mean/512/f32/code/python/auto``."""
        return f"{self.encoder.signature}/code/{self.code.signature}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Those of the encoder."""
        return self.encoder.facts

    def build(self, samples: Samples) -> NDArray[np.float32]:
        """Return the unit row of every program, ``float32[n, d]``."""
        text, _ = self.code.programs(samples)
        return self.encoder.build(replace(samples, text=text))

    def finish(self, samples: int) -> None:
        """Let the encoder check what can only be known once all samples were seen."""
        self.encoder.finish(samples)
