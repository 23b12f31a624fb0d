"""Packages that take long to load: programs that import them run in a sandbox in which they are loaded already."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec

from divfast.sandbox.worker import Part

# What is loaded together, the slowest first. Nothing here adds a name to a package that a program would not find after
# its own import of it: SciPy finds its own modules when they are asked for.
_SETS = (
    ("tensorflow",),
    ("torch",),
    ("matplotlib", "networkx", "nltk", "pandas", "scipy.stats", "sklearn", "sympy"),
    ("numpy",),
)
_NAMES = "|".join(module.partition(".")[0] for modules in _SETS for module in modules)
_IMPORT = re.compile(rf"^[ \t]*(?:import|from)[ \t][^#\n]*?\b(?:{_NAMES})\b[^#\n]*", re.MULTILINE)
_NAME = re.compile(rf"\b(?:{_NAMES})\b")


def modules_for(parts: Sequence[Part]) -> tuple[str, ...]:
    """Return the installed modules to load for a program: those of the slowest package that it imports, if of any.

    Examples
    --------
    >>> modules_for([("program", "import numpy as np"), ("tests", "assert f() == 2")])
    ('numpy',)
    >>> modules_for([("program", "numpy = 1  # import numpy")])
    ()
    """
    named = {
        name
        for kind, text in parts
        if kind != "expression"
        for line in _IMPORT.finditer(text)
        for name in _NAME.findall(line[0])
    }
    if not named:
        return ()
    for modules in _SETS:
        installed = {module: module.partition(".")[0] for module in modules}
        installed = {module: name for module, name in installed.items() if _installed(name)}
        if named.intersection(installed.values()):
            return tuple(installed)
    return ()


@cache
def _installed(name: str) -> bool:
    return find_spec(name) is not None
