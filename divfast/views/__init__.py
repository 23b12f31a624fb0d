"""What metrics eat. A view turns samples into rows once per block, however many metrics share them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from divfast.samples import Samples


class View(Protocol):
    """Rows made of samples, and how they were made."""

    @property
    def signature(self) -> str:
        """What changes the rows, for the signature of every number made from them: ``tok:whitespace``."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """What changes only the time, or tells what happened: device, cache hits."""

    def build(self, samples: Samples) -> Any:
        """Return one row for every sample, in order."""
