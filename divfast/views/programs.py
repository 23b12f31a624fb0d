"""Programs: one syntax tree for every sample, from Python's own parser or from tree-sitter."""

from __future__ import annotations

import ast
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from divfast import _core, engine
from divfast.errors import MetricError, nearest
from divfast.samples import Ragged, Samples
from divfast.views.code import LANGUAGES, Code
from divfast.views.trees import Programs, Trees

PARSERS = ("auto", "tree-sitter")
# No sample of a model is as long, and a parser needs some hundred times the memory of the text.
LONGEST = 1 << 20
_AT_A_TIME = 256


class ProgramView:
    """The syntax tree of the program in every sample; equal programs are parsed once a block.

    Parameters
    ----------
    code : Code
        Where the programs are.
    parser : {"auto", "tree-sitter"}
        ``auto`` takes Python's module ``ast`` for Python, and tree-sitter for other languages.
    """

    def __init__(self, code: Code, parser: str = "auto") -> None:
        if parser not in PARSERS:
            raise MetricError(f"unknown parser {parser!r}.", remedy=nearest(parser, PARSERS))
        code.check()
        self.code = code
        self.parser = parser
        self._counts: Counter[str] = Counter()
        self._languages: Counter[str] = Counter()
        self._parsers: dict[str, tuple[Callable[[Ragged], Programs], int]] = {}
        if code.language != "auto":
            self._parser_of(code.language)

    @property
    def signature(self) -> str:
        """``prog:python/auto@ast3.11``: how programs are found, and whose parser reads them."""
        return f"prog:{self.code.signature}@{self._version()}"

    @property
    def facts(self) -> Mapping[str, Any]:
        """Programs seen, different ones among those of a block, how many do not parse, are fenced or joined."""
        counts = {name: self._counts[name] for name in ("programs", "different", "unparseable")}
        share = counts["unparseable"] / counts["programs"] if counts["programs"] else 0.0
        more = {"too_long": self._counts["too_long"], **self.code.counts}
        return {
            **counts,
            "unparseable_share": share,
            **{name: count for name, count in more.items() if count},
            "languages": dict(self._languages),
        }

    def build(self, samples: Samples) -> Programs:
        """Return the tree of every sample."""
        text, languages = self.code.programs(samples)
        parts: list[Trees] = []
        tree, known = np.empty(len(text), np.int64), 0
        for number in np.unique(languages).tolist():
            index = np.flatnonzero(languages == number)
            self._languages[LANGUAGES[number]] += len(index)
            some = text if len(index) == len(text) else text.take(index)
            first = _core.first_equal(some.values, some.offsets, threads=engine.threads())
            unique, inverse = np.unique(first, return_inverse=True)
            found = self._parse(some.take(unique), LANGUAGES[number])
            parts.append(found.trees)
            tree[index] = found.tree[inverse] + known
            known += len(found.trees)
            self._counts["different"] += len(unique)
        trees = Trees.concat(parts) if len(parts) != 1 else parts[0]
        programs = Programs(trees, tree)
        self._counts["programs"] += len(text)
        self._counts["unparseable"] += int(np.count_nonzero(~programs.parsed))
        return programs

    def _parse(self, text: Ragged, language: str) -> Programs:
        parse, longest = self._parser_of(language)
        short = text.lengths <= longest
        if short.all():
            return parse(text)
        self._counts["too_long"] += int(np.count_nonzero(~short))
        found = parse(text.take(np.flatnonzero(short)))
        # One more tree, without nodes, stands for all that are too long.
        tree = np.full(len(text), len(found.trees))
        tree[short] = found.tree
        return Programs(Trees.concat([found.trees, Trees(*_core.ast_nodes([None]))]), tree)

    def _parser_of(self, language: str) -> tuple[Callable[[Ragged], Programs], int]:
        """Return what parses programs, and of how many bytes at most."""
        if language not in self._parsers:
            if language == "python" and self.parser == "auto":
                self._parsers[language] = parse_python, LONGEST
            else:
                from divfast.views import grammars

                self._parsers[language] = grammars.open_grammar(language).parse, grammars.LONGEST
        return self._parsers[language]

    def _version(self) -> str:
        python = f"ast{sys.version_info.major}.{sys.version_info.minor}"
        if self.code.language == "python" and self.parser == "auto":
            return python
        from divfast.views.grammars import grammars_version

        version = grammars_version(self.code.language)
        return f"{python}+{version}" if self.code.language == "auto" and self.parser == "auto" else version


def parse_python(text: Ragged) -> Programs:
    """Return the trees of Python programs as the running interpreter parses them.

    Plain programs are parsed by `divfast._core`, and the interpreter is asked about the others.
    """
    nodes, plain = _core.parse_python(text.values, text.offsets, threads=engine.threads())
    trees, others = Trees(*nodes), np.flatnonzero(plain == 0)
    tree = np.arange(len(text))
    if not len(others):
        return Programs(trees, tree)
    parts = [trees]
    with warnings.catch_warnings(action="ignore"):
        for start in range(0, len(others), _AT_A_TIME):
            sources = text.take(others[start : start + _AT_A_TIME]).strings()
            parts.append(Trees(*_core.ast_nodes([_tree(source) for source in sources])))
    tree[others] = len(text) + np.arange(len(others))
    return Programs(Trees.concat(parts), tree)


def _tree(source: str) -> ast.AST | None:
    try:
        return compile(source, "<program>", "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError):
        return None
