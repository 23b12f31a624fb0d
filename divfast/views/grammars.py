"""Syntax trees of eight languages, from the grammars of tree-sitter."""

from __future__ import annotations

import hashlib
import importlib
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from divfast import _core
from divfast.errors import ModelError
from divfast.samples import Ragged
from divfast.views.code import LANGUAGES
from divfast.views.trees import Programs, Trees

# Tokens that only say where a node begins and ends: the tree has that already, and more or fewer of them mean nothing.
_PUNCTUATION = frozenset("()[]{},;:'\"")
# Where a text is no program, recovering from errors takes time and memory that grow with the square of its length: for
# this length at most about ten seconds and a gigabyte. A program of this length takes some hundredths of a second.
LONGEST = 1 << 15
_INNER, _LEAF, _IDENTIFIER, _TOKEN = range(4)


class Grammar:
    """One grammar of tree-sitter.

    Parameters
    ----------
    language : tree_sitter.Language
        The compiled grammar.
    name : str
        The language, which is part of what is written on every node.
    """

    def __init__(self, language: Any, name: str) -> None:
        import tree_sitter

        self._parser = tree_sitter.Parser(language)
        kinds = [language.node_kind_for_id(i) or "" for i in range(language.node_kind_count)]
        self._classes = np.array([_hash(f"{name}:{kind}") for kind in kinds], np.uint64)
        self._skipped = [kind in _PUNCTUATION for kind in kinds]
        self._identifiers = ["identifier" in kind for kind in kinds]
        fields = [language.field_name_for_id(i) or "" for i in range(language.field_count + 1)]
        self._roles = [_hash(field) & 0xFFFF if field else 0 for field in fields]

    def parse(self, source: bytes) -> Trees | None:
        """Return the tree of one program; None where something had to be skipped or invented."""
        tree = self._parser.parse(source)
        if tree.root_node.has_error:
            return None
        text = np.frombuffer(source, np.uint8)
        return Trees(*_core.visited_nodes(text, self._visits(tree.walk()), self._classes))

    def _visits(self, cursor: Any) -> NDArray[np.int64]:
        visits: list[int] = []
        depth = 0
        while True:
            node = cursor.node
            kind = node.kind_id
            role = self._roles[cursor.field_id or 0]
            seen = not node.is_extra
            below = seen and cursor.goto_first_child()
            if seen and not (self._skipped[kind] and not node.is_named):
                if not node.is_named:
                    what = _TOKEN
                elif below:
                    what = _INNER
                else:
                    what = _IDENTIFIER if self._identifiers[kind] else _LEAF
                visits += (depth, kind, role, what, node.start_byte, node.end_byte)
            if below:
                depth += 1
                continue
            while not cursor.goto_next_sibling():
                if not cursor.goto_parent():
                    return np.array(visits, np.int64)
                depth -= 1


class Grammars:
    """The grammars of one language: a program is read by the first one that takes it."""

    def __init__(self, grammars: list[Grammar]) -> None:
        self._grammars = grammars

    def parse(self, text: Ragged) -> Programs:
        """Return the trees of programs; no node where one does not parse."""
        nothing = Trees(*_core.ast_nodes([None]))
        trees = []
        for row in text:
            source = row.tobytes()
            found = (tree for grammar in self._grammars if (tree := grammar.parse(source)) is not None)
            trees.append(next(found, nothing))
        return Programs(Trees.concat(trees), np.arange(len(text)))


def open_grammar(language: str) -> Grammars:
    """Return what parses one of `divfast.views.code.LANGUAGES`.

    Raises
    ------
    ModelError
        Where its grammar is not installed.
    """
    try:
        import tree_sitter

        module = importlib.import_module(f"tree_sitter_{language}")
    except ImportError as error:
        raise ModelError(
            f"programs in {language} need tree-sitter and its grammar ({error}).",
            remedy="pip install 'divfast[programs]', or name another --language.",
        ) from error
    # Where JSX stands in TypeScript, a cast may not, and the other way round.
    names = ("language_typescript", "language_tsx") if language == "typescript" else ("language",)
    return Grammars([Grammar(tree_sitter.Language(getattr(module, name)()), language) for name in names])


def grammars_version(language: str) -> str:
    """Return ``java0.23.5``, or for ``auto`` a hash of the versions of all grammars: ``ts.1f2e``."""
    if language != "auto":
        return f"ts.{language}{_version(language)}"
    versions = ",".join(map(_version, LANGUAGES))
    return f"ts.{hashlib.sha256(versions.encode()).hexdigest()[:4]}"


def _version(language: str) -> str:
    try:
        return metadata.version(f"tree-sitter-{language}")
    except metadata.PackageNotFoundError:
        return "none"


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
