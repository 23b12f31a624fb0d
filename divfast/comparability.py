"""Whether two runs may be compared: prompts that pair, recipes that agree, sizes that are equal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from divfast.errors import DataError, MetricError, nearest
from divfast.rarefaction import is_its_own_expectation
from divfast.registry import parse_spec
from divfast.runs import Entry, Run

Matched = list[tuple[Entry, Entry]]

# Parts of a signature that tell which data it was and how chance was drawn, not what was computed.
_OF_THE_DATA = frozenset({"scope", "groups", "rows", "k", "n", "data", "draws", "bs", "rs"})


@dataclass(frozen=True)
class Pairs:
    """The prompts of both runs: where each stands in A and in B."""

    a: NDArray[np.int64]
    b: NDArray[np.int64]
    ids: pa.Array

    @classmethod
    def of(cls, a: Run, b: Run) -> Pairs:
        """Pair the prompts of two runs by their ids.

        Raises `DataError` where ids repeat, or none is in both.
        """
        for run in (a, b):
            ids = run.groups["input_id"]
            if pc.count_distinct(ids, mode="all").as_py() != len(ids):
                raise DataError(
                    "has several prompts of the same input_id, which cannot be paired.",
                    where=run.name,
                    remedy="Give every prompt an id of its own, or score with --join.",
                )
        ids_a, ids_b = (run.groups["input_id"].cast(pa.large_string()).combine_chunks() for run in (a, b))
        at_b = pc.index_in(ids_a, value_set=ids_b)
        in_both = np.flatnonzero(np.asarray(pc.is_valid(at_b)))
        if not len(in_both):
            raise DataError(
                f"no input_id is in both {a.name} and {b.name}.",
                remedy="Score dumps of the same prompts; --id-field names the field that holds the id.",
            )
        index_b = np.asarray(pc.drop_null(at_b), np.int64)
        return cls(in_both, index_b, ids_a.take(pa.array(in_both)))


def match(a: Run, b: Run, metrics: Sequence[str] | None, scopes: Sequence[str]) -> tuple[Matched, list[str]]:
    """Return the entries that both runs have, and what only one has, in sentences."""

    def usable(run: Run) -> list[Entry]:
        return [
            entry
            for entry in run.entries
            if entry.scope in scopes and (metrics is None or entry.column in metrics)
        ]

    def key(entry: Entry, metric: str) -> tuple[Any, ...]:
        return metric, entry.scope, entry.k, entry.n

    in_a, in_b = usable(a), usable(b)
    for metric in metrics or ():
        for run, entries in ((a, in_a), (b, in_b)):
            if all(entry.column != metric for entry in entries):
                known = {entry.column for entry in run.entries if entry.scope in scopes}
                raise MetricError(f"{run.name} has no {metric!r}.", remedy=nearest(metric, known))
    by_name = {key(entry, entry.metric): entry for entry in in_b}
    # The same metric may have been written in two ways: ead, and ead:n=1-5.
    by_recipe = {key(entry, entry.signature.metric): entry for entry in in_b}
    matched = []
    for entry in in_a:
        other = by_name.get(key(entry, entry.metric)) or by_recipe.get(key(entry, entry.signature.metric))
        if other is not None:
            matched.append((entry, other))
    if not matched:
        raise DataError(f"{a.name} and {b.name} have no metric in common.", remedy="Score both alike.")
    taken = {id(entry) for pair in matched for entry in pair}
    left_out = []
    for run, entries in ((a, in_a), (b, in_b)):
        alone = [f"{entry.column} ({entry.scope})" for entry in entries if id(entry) not in taken]
        if alone:
            left_out.append(f"Only in {run.name}: {', '.join(alone)}.")
    return matched, left_out


def _recipe(entry: Entry) -> dict[str, str]:
    """Return the parts of a signature that have to agree."""
    parts = {key: str(value) for key, value in entry.signature.parts.items() if key not in _OF_THE_DATA}
    if "emb" in parts:
        # Vectors of other texts are other vectors; what is left are their dimensions.
        parts["emb"] = parts["emb"].rpartition("/")[2]
    for name in ("labels", "part"):
        # Verdicts on other samples, and their classes, are others.
        if name in parts:
            parts[name] = parts[name].partition("@")[0]
    return {"metric": entry.signature.metric, **parts}


def check_signatures(matched: Matched, allow: Sequence[str]) -> None:
    """Raise `DataError` where signatures differ in what is not of the data, unless that is allowed."""
    recipes = [(entry.column, _recipe(entry), _recipe(other)) for entry, other in matched]
    known = {"metric", "preset", *(key for _, x, y in recipes for key in (*x, *y))}
    for name in allow:
        if name not in known:
            raise MetricError(f"no signature here has a part {name!r}.", remedy=nearest(name, known))
    differ: dict[tuple[str, str, str], list[str]] = {}
    for column, x, y in recipes:
        for part in dict.fromkeys((*x, *y)):
            missing = "default" if part == "preset" else "none"
            one, two = x.get(part, missing), y.get(part, missing)
            if one != two and part not in allow:
                differ.setdefault((part, one, two), []).append(column)
    if differ:
        told = [
            f"{part} ({one} and {two}: {', '.join(dict.fromkeys(columns))})"
            for (part, one, two), columns in differ.items()
        ]
        allowing = " ".join(f"--allow {part}" for part in dict.fromkeys(part for part, _, _ in differ))
        raise DataError(
            f"the signatures differ in {'; '.join(told)}.",
            remedy=f"Score both alike, or say that they may differ: {allowing}.",
        )


def equal_sizes(matched: Matched, run_a: Run, run_b: Run, pairs: Pairs) -> tuple[Matched, list[str]]:
    """Return those entries that are of equal size, or do not depend on it, and the names of the others.

    Raises `DataError` where one of the others has no rarefied entry beside it.
    """
    k_a, k_b = run_a.sizes()[pairs.a], run_b.sizes()[pairs.b]
    rarefied = {(entry.metric, entry.scope) for entry, _ in matched if entry.k or entry.n}
    kept, unequal = [], []
    for entry, other in matched:
        per_prompt = entry.scope == "prompt"
        here, there = (k_a, k_b) if per_prompt else (np.array([entry.rows]), np.array([other.rows]))
        if entry.k or entry.n or (here == there).all() or _free(entry, int(np.minimum(here, there).min())):
            kept.append((entry, other))
        elif (entry.metric, entry.scope) in rarefied:
            unequal.append(f"{entry.column} ({entry.scope})")
        elif per_prompt:
            k = max(1, int(min(np.median(k_a), np.median(k_b))))
            at = int(np.flatnonzero(here != there)[0])
            raise DataError(
                f"{entry.column} depends on K, which differs for {(here != there).sum():,} of {len(here):,} prompts "
                f"({here[at]} and {there[at]} samples of {pairs.ids[at].as_py()!r}).",
                remedy=f"Score both with --at-k {k}, and compare again.",
            )
        else:
            raise DataError(
                f"{entry.column} ({entry.scope}) grows with the corpus, and the runs have {here[0]:,} and {there[0]:,} "
                "rows.",
                remedy=f"Score both with --at-n {min(here[0], there[0])}, or compare --scope prompt alone.",
            )
    return kept, unequal


def _free(entry: Entry, smallest: int) -> bool:
    """Return whether a metric is expected to be the same at any size from `smallest` on."""
    try:
        metric = parse_spec(entry.signature.metric).metric
    except MetricError:
        # A metric of a plug-in that is not loaded here: nothing is known of it.
        return False
    # Fewer than two samples have no pair and leave the mean, unless a preset makes up a number for them.
    return is_its_own_expectation(metric, smallest if "preset" in entry.signature.parts else max(2, smallest))
