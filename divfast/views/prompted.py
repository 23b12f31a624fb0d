"""Vectors of samples, each beside the vector of its prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from divfast.errors import DataError
from divfast.samples import Ragged, Samples
from divfast.views.vectors import EncoderView


@dataclass(frozen=True, eq=False)
class PromptedVectors:
    """Rows of samples and of their prompts.

    Attributes
    ----------
    outputs, prompts : numpy.ndarray
        ``float32[n, d]``, unit rows.
    """

    outputs: NDArray[np.float32]
    prompts: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.outputs)

    def take(self, index: NDArray[np.int64]) -> Self:
        """Return the rows that `index` names, in its order, copied."""
        return type(self)(self.outputs[index], self.prompts[index])

    def joined(self, others: Sequence[Self]) -> Self:
        """Return these rows and those of the others, one after the other."""
        parts = [self, *others]
        return type(self)(
            np.concatenate([part.outputs for part in parts]), np.concatenate([part.prompts for part in parts])
        )

    def tape(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return the bytes of both vectors of every row, and where those of each begin and end."""
        both = np.concatenate([self.outputs, self.prompts], axis=1)
        width = both.itemsize * both.shape[1]
        return both.reshape(-1).view(np.uint8), np.arange(len(both) + 1) * width

    def plain(self) -> NDArray[np.float64]:
        """Return ``float64[n, 2, d]``: of each row the output and the prompt."""
        return np.stack([self.outputs, self.prompts], axis=1).astype(np.float64)


class PromptedView:
    """Rows that one encoder makes of samples and of their prompts; equal texts of a block are encoded once."""

    def __init__(self, encoder: EncoderView) -> None:
        self.encoder = encoder

    @property
    def signature(self) -> str:
        """That of the encoder."""
        return self.encoder.signature

    @property
    def facts(self) -> Mapping[str, Any]:
        """Those of the encoder, samples and prompts together."""
        return self.encoder.facts

    def build(self, samples: Samples) -> PromptedVectors:
        """Return the rows of every sample and its prompt.

        Raises
        ------
        DataError
            Where a sample has no prompt.
        """
        sizes = np.diff(samples.groups)
        used = np.flatnonzero(sizes > 0)
        missing = used[np.asarray(samples.prompts.is_null())[used]]
        if len(missing):
            raise DataError(
                f"there is no prompt for the samples of {samples.ids[int(missing[0])].as_py()!r}.",
                remedy="Name its field with --prompt-field, or a second file that has it with --prompts.",
            )
        prompts = self.encoder.encode(Ragged.from_arrow(samples.prompts.take(used)))
        return PromptedVectors(self.encoder.build(samples), np.repeat(prompts, sizes[used], axis=0))
