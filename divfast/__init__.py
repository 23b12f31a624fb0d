"""How diverse are a language model's outputs, and where was that diversity lost?

``import divfast`` is instant: names are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from divfast.comparison import Comparison, compare
    from divfast.quality.verified import verify
    from divfast.readers import read
    from divfast.registry import metric
    from divfast.result import Report, Result
    from divfast.samples import Ragged, Samples
    from divfast.scoring import score

__all__ = [
    "Comparison",
    "Ragged",
    "Report",
    "Result",
    "Samples",
    "__version__",
    "compare",
    "metric",
    "read",
    "score",
    "verify",
]

_HOME = {
    "Comparison": "divfast.comparison",
    "Ragged": "divfast.samples",
    "Report": "divfast.result",
    "Result": "divfast.result",
    "Samples": "divfast.samples",
    "compare": "divfast.comparison",
    "metric": "divfast.registry",
    "read": "divfast.readers",
    "score": "divfast.scoring",
    "verify": "divfast.quality.verified",
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        # Half of what `divfast --help` would take.
        from importlib.metadata import version

        value: Any = version("divfast")
    elif name in _HOME:
        value = getattr(importlib.import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module 'divfast' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
