"""What a judge said of two dumps, in all."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from divfast.result import Signature, json_number


@dataclass
class Preference:
    """What a judge said of two dumps, in all.

    Attributes
    ----------
    a, b : str
        Names of the dumps.
    win_rate : float
        Mean over prompts of how often the sample of A is preferred, a tie counting one half; NaN where there is no
        verdict.
    interval : (float, float)
        Its 95% bootstrap interval over prompts.
    prompts, undefined : int
        Prompts in both dumps, and how many of them have no verdict.
    pairs, wins, losses, ties, without_verdict : int
        Pairs of samples; of those with verdicts, how many A wins, loses, and neither: where it wins in one order and
        loses in the other, the pair is a tie. A pair without a verdict in one order counts in neither.
    contradicted : int
        Pairs of which the judge preferred the same place in both orders.
    shown_first, shown_second, called_tie : int
        Verdicts by the place of the answer that was preferred.
    position_bias : float
        Mean over prompts of the share of the answer shown first among the verdicts that prefer one; 0.5 where the place
        plays no part.
    position_interval : (float, float)
        Its 95% bootstrap interval over prompts.
    identical : int
        Pairs of equal texts, ties without having been asked about.
    malformed, unusable : int
        Of the different questions, how many were not answered by one verdict; and verdicts that are lacking after the
        second time.
    only_a, only_b, different_prompts : int
        Prompts that one dump alone has; prompts of the same id whose texts differ, of which the judge saw that of A.
        Of a dump against its references, `only_a` counts prompts without one.
    without_reference : int
        Prompts of which no pair was asked about, since the question needs a reference and there is none.
    """

    a: str
    b: str
    win_rate: float
    interval: tuple[float, float]
    prompts: int
    undefined: int
    pairs: int
    wins: int
    losses: int
    ties: int
    without_verdict: int
    contradicted: int
    shown_first: int
    shown_second: int
    called_tie: int
    position_bias: float
    position_interval: tuple[float, float]
    identical: int
    malformed: int
    unusable: int
    only_a: int
    only_b: int
    different_prompts: int
    without_reference: int
    signature: Signature
    run: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values; NaN is None."""
        found = dict(self.__dict__)
        for name in ("win_rate", "position_bias"):
            found[name] = json_number(found[name])
        for name in ("interval", "position_interval"):
            found[name] = [json_number(end) for end in found[name]]
        return found | {"signature": str(self.signature), "run": found.pop("run")}
