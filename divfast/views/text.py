"""The samples as they are, for metrics over characters or bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from divfast.samples import Ragged, Samples


class Text:
    """The UTF-8 of every sample."""

    @property
    def signature(self) -> str:
        """``text:utf8``."""
        return "text:utf8"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Nothing to tell."""
        return {}

    def build(self, samples: Samples) -> Ragged:
        """Return the texts, ``uint8``, not copied."""
        return samples.text
