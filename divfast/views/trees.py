"""Programs as metrics eat them: the syntax tree of each, in flat arrays."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from divfast import _core, engine
from divfast.samples import Ragged

Offsets = NDArray[np.int64]
# A node of a tree as the reference takes it: two labels, the role, the nodes below it.
Plain = tuple[int, int, int, tuple[Any, ...]]


@dataclass(frozen=True, eq=False)
class Trees:
    """Syntax trees one after the other; in each tree a node stands behind those below it, so the root is last.

    Attributes
    ----------
    exact, blind : numpy.ndarray
        ``uint64[m]``, fingerprints of what is written on each node: its class, and what it holds beside other nodes.
        In `blind` all identifiers are alike.
    roles : numpy.ndarray
        ``uint16[m]``, which field of its parent a node stands in.
    sizes : numpy.ndarray
        ``int32[m]``, nodes of the subtree of each: those right before it, and itself.
    offsets : numpy.ndarray
        ``int64[t + 1]``, where each tree begins and ends. One without nodes is a program that does not parse.
    """

    exact: NDArray[np.uint64]
    blind: NDArray[np.uint64]
    roles: NDArray[np.uint16]
    sizes: NDArray[np.int32]
    offsets: Offsets

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def parsed(self) -> NDArray[np.bool_]:
        """Whether each program parses, ``bool[t]``."""
        return np.diff(self.offsets) > 0

    def labels(self, identifiers: str) -> NDArray[np.uint64]:
        """Return the labels with identifiers as ``keep`` or ``normalise`` says."""
        return self.exact if identifiers == "keep" else self.blind

    def take(self, index: Offsets) -> Trees:
        """Return the trees that `index` names, in its order."""
        lengths = np.diff(self.offsets)[index]
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        nodes = np.arange(offsets[-1]) + np.repeat(self.offsets[:-1][index] - offsets[:-1], lengths)
        return Trees(self.exact[nodes], self.blind[nodes], self.roles[nodes], self.sizes[nodes], offsets)

    def without_contexts(self) -> Trees:
        """Return the trees without the nodes Load, Store and Del of Python."""
        contexts = _core.ast_nodes([ast.Load(), ast.Store(), ast.Del()])[0]
        kept = ~np.isin(self.exact, contexts)
        before = np.concatenate([[0], np.cumsum(kept)])
        ends = np.arange(1, len(kept) + 1)
        sizes = (before[ends] - before[ends - self.sizes]).astype(np.int32)
        return Trees(self.exact[kept], self.blind[kept], self.roles[kept], sizes[kept], before[self.offsets])

    @classmethod
    def concat(cls, parts: Sequence[Trees]) -> Trees:
        """Return the trees of all parts, one part after the other; their tapes must begin at 0."""
        if not parts:
            return cls(*_core.ast_nodes([]))
        starts = np.cumsum([0, *(len(part.exact) for part in parts)])
        offsets = [part.offsets[1:] + start for part, start in zip(parts, starts, strict=False)]
        return cls(
            np.concatenate([part.exact for part in parts]),
            np.concatenate([part.blind for part in parts]),
            np.concatenate([part.roles for part in parts]),
            np.concatenate([part.sizes for part in parts]),
            np.concatenate([[0], *offsets]).astype(np.int64),
        )

    def subtrees(self, height: int, exact: bool, identifiers: str) -> Ragged:
        """Return the fingerprints of subtrees, ``uint64``, one row a tree.

        Parameters
        ----------
        height : int
            Of the subtrees; a leaf has 1.
        exact : bool
            Whether those of less height are left out.
        identifiers : {"keep", "normalise"}
            Whether subtrees that differ in identifiers alone are the same.
        """
        return Ragged(
            *_core.subtrees(
                self.labels(identifiers),
                self.roles,
                self.sizes,
                self.offsets,
                height,
                exact,
                threads=engine.threads(),
            )
        )


@dataclass(frozen=True, eq=False)
class Programs:
    """Rows of the view `programs`: for every sample the number of its tree. Equal programs share one.

    Attributes
    ----------
    trees : Trees
        The different ones.
    tree : numpy.ndarray
        ``int64[n]``, which is that of each row.
    """

    trees: Trees
    tree: Offsets

    def __len__(self) -> int:
        return len(self.tree)

    @property
    def parsed(self) -> NDArray[np.bool_]:
        """Whether each row parses, ``bool[n]``."""
        return self.trees.parsed[self.tree]

    def take(self, index: Offsets) -> Self:
        """Return the rows that `index` names, in its order, with no tree but theirs."""
        wanted, tree = np.unique(self.tree[index], return_inverse=True)
        return type(self)(self.trees.take(wanted), tree.astype(np.int64))

    def joined(self, others: Sequence[Self]) -> Self:
        """Return these rows and those of the others, one after the other."""
        parts = [self, *others]
        starts = np.cumsum([0, *(len(part.trees) for part in parts)])
        return type(self)(
            Trees.concat([part.trees for part in parts]),
            np.concatenate([part.tree + start for part, start in zip(parts, starts, strict=False)]),
        )

    def tape(self) -> tuple[NDArray[np.uint8], Offsets]:
        """Return the bytes of all nodes of every row."""
        trees = self.trees
        nodes = np.concatenate(
            [
                np.ascontiguousarray(column).view(np.uint8).reshape(len(column), column.itemsize)
                for column in (trees.exact, trees.blind, trees.roles, trees.sizes)
            ],
            axis=1,
        )
        rows = Ragged(nodes.reshape(-1), trees.offsets * nodes.shape[1]).take(self.tree)
        return rows.values, rows.offsets

    def plain(self) -> list[Plain | None]:
        """Return every row as nested tuples ``(exact label, blind label, role, children)``; None where none parses."""
        trees = [self._nested(i) for i in range(len(self.trees))]
        return [trees[i] for i in self.tree]

    def _nested(self, tree: int) -> Plain | None:
        trees = self.trees
        made: list[tuple[Plain, int]] = []
        for i in range(trees.offsets[tree], trees.offsets[tree + 1]):
            size = int(trees.sizes[i])
            below: list[Plain] = []
            left = size - 1
            while left:
                child, nodes = made.pop()
                below.append(child)
                left -= nodes
            node = (int(trees.exact[i]), int(trees.blind[i]), int(trees.roles[i]), tuple(reversed(below)))
            made.append((node, size))
        return made[0][0] if made else None

    @classmethod
    def from_plain(cls, rows: Sequence[Plain | None]) -> Self:
        """Return the rows that `plain` gives back."""
        nodes: list[tuple[int, int, int, int]] = []
        offsets = [0]

        def add(node: Plain) -> int:
            size = 1 + sum(add(child) for child in node[3])
            nodes.append((*node[:3], size))
            return size

        for row in rows:
            if row is not None:
                add(row)
            offsets.append(len(nodes))
        columns = np.array(nodes, object).reshape(-1, 4).T
        exact, blind, roles, sizes = (
            column.astype(kind)
            for column, kind in zip(columns, (np.uint64, np.uint64, np.uint16, np.int32), strict=True)
        )
        trees = Trees(exact, blind, roles, sizes, np.array(offsets, np.int64))
        return cls(trees, np.arange(len(rows)))


def subtrees_of(
    rows: Programs, groups: Offsets, *, height: int, exact: bool, identifiers: str
) -> tuple[Ragged, Offsets]:
    """Return the subtrees of the programs that have some, and the offsets of their groups.

    What does not parse, and what has no subtree of this height, is left out.
    """
    found = rows.trees.subtrees(height, exact, identifiers).take(rows.tree)
    some = found.lengths > 0
    before = np.concatenate([[0], np.cumsum(some)])
    return (found if some.all() else found.take(np.flatnonzero(some))), before[groups]
