"""What a verifier said of a dump, in all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from divfast.result import Signature


@dataclass
class Verification:
    """What a verifier said of a dump, in all.

    Attributes
    ----------
    accuracy : float
        Mean over prompts of the share of right samples, among those with a verdict; NaN where there is none.
    interval : (float, float)
        Its 95% bootstrap interval over prompts.
    prompts, samples, correct, incorrect : int
        Counts.
    unparseable : int
        Samples without an answer that could be compared; they count as incorrect.
    errors : Mapping[str, int]
        What went wrong, and in how many samples; those with neither ``correct`` nor ``incorrect`` have no verdict.
    shares : Mapping[str, float]
        Of every further column of verdicts, the share that is true of all that were given.
    """

    verifier: str
    accuracy: float
    interval: tuple[float, float]
    prompts: int
    samples: int
    correct: int
    incorrect: int
    unparseable: int
    errors: Mapping[str, int]
    shares: Mapping[str, float]
    signature: Signature
    model: str | None
    task: str | None
    run: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; NaN is None."""
        low, high = self.interval
        return {
            "model": self.model,
            "task": self.task,
            "verifier": self.verifier,
            "accuracy": _number(self.accuracy),
            "interval": [_number(low), _number(high)],
            "prompts": self.prompts,
            "samples": self.samples,
            "correct": self.correct,
            "incorrect": self.incorrect,
            "no_verdict": self.samples - self.correct - self.incorrect,
            "unparseable": self.unparseable,
            "errors": dict(self.errors),
            "shares": dict(self.shares),
            "signature": str(self.signature),
            "run": self.run,
        }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
