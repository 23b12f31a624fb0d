"""What clustering found: a row a sample, a row a cluster, scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from divfast.clusters.corpus import Search
from divfast.clusters.recipe import Recipe
from divfast.dumps import total_counts
from divfast.output import check_folder, check_not_a_dump, marked, save_report
from divfast.result import Report, Signature
from divfast.samples import Ragged, Samples
from divfast.scoring import score

SPECS = ("distinct_k", "cluster_entropy", "hill:q=0", "hill:q=1", "hill:q=2", "duplicate_rate")
REWARDED = "utility_k"
_LARGEST = 10
_SHOWN_BYTES = 400


@dataclass(frozen=True, eq=False)
class SemanticClusters:
    """Clusters of samples.

    Attributes
    ----------
    recipe, search
        How clusters were made, and how pairs were found.
    report : divfast.Report
        Scores of the partition, as `divfast.score` gives them.
    ids : pyarrow.LargeStringArray
        Id of every prompt.
    groups : numpy.ndarray
        ``int64[g + 1]``, samples of every prompt, as everything below that is of samples.
    position, cluster, size : numpy.ndarray
        Where a sample stands in the dump; the number of its cluster, in order of appearance, and its samples.
    exemplar : numpy.ndarray
        ``int64[m]``: the sample that is the medoid of each cluster.
    texts : Ragged
        Their texts.
    rewards : numpy.ndarray, optional
        Reward of every sample, NaN where it has none.
    run : Mapping
        What changes only the time, or tells what happened.
    """

    recipe: Recipe
    search: Search
    report: Report
    ids: pa.LargeStringArray
    groups: NDArray[np.int64]
    position: NDArray[np.int64]
    cluster: NDArray[np.int64]
    size: NDArray[np.int64]
    exemplar: NDArray[np.int64]
    texts: Ragged
    rewards: NDArray[np.float64] | None
    run: Mapping[str, Any]

    def __len__(self) -> int:
        """Number of clusters."""
        return len(self.exemplar)

    @property
    def recall(self) -> float:
        """Share of similar pairs that were found, measured on a sample; NaN where that has none."""
        return self.search.recall

    @property
    def counts(self) -> dict[str, int]:
        """What readers changed or left out."""
        return total_counts(self.run["dumps"])

    @cached_property
    def partition(self) -> NDArray[np.int64]:
        """The label of every sample: its cluster, numbered from 0 in every prompt in the scope ``prompt``."""
        return labels_of(self.recipe.scope, self.cluster, self.groups)

    def _ids_of(self, rows: NDArray[np.int64]) -> pa.Array:
        return self.ids.take(pa.array(np.searchsorted(self.groups, rows, side="right") - 1))

    @property
    def samples(self) -> pa.Table:
        """``input_id``, ``position``, ``cluster``, ``size``, ``exemplar``: a row a sample, in the order of the dump."""
        is_exemplar = np.zeros(len(self.cluster), bool)
        is_exemplar[self.exemplar] = True
        # Samples of one prompt that were scattered over the dump go back to where they stood.
        order = np.argsort(self.position, kind="stable")
        return pa.table(
            {
                "input_id": self._ids_of(order),
                "position": self.position[order],
                "cluster": self.cluster[order],
                "size": self.size[order],
                "exemplar": is_exemplar[order],
            }
        )

    @property
    def table(self) -> pa.Table:
        """``cluster``, ``size``, ``input_id``, ``position``, ``text`` of the exemplar: a row a cluster."""
        return pa.table(
            {
                "cluster": np.arange(len(self)),
                "size": self.size[self.exemplar],
                "input_id": self._ids_of(self.exemplar),
                "position": self.position[self.exemplar],
                "text": self.texts.to_arrow(),
            }
        )

    def largest(self) -> list[dict[str, Any]]:
        """Return the largest clusters of more than one sample, with the beginning of the text of their exemplars."""
        sizes = self.size[self.exemplar]
        rows = [row for row in np.argsort(-sizes, kind="stable")[:_LARGEST].tolist() if sizes[row] > 1]
        out = []
        for row in rows:
            tape = self.texts.row(row)
            text = tape[:_SHOWN_BYTES].tobytes().decode("utf-8", "replace")
            out.append(
                {
                    "cluster": row,
                    "size": int(sizes[row]),
                    "input_id": self._ids_of(self.exemplar[row : row + 1])[0].as_py(),
                    "position": int(self.position[self.exemplar[row]]),
                    "text": text.rstrip("\ufffd") + "…" if len(tape) > _SHOWN_BYTES else text,
                }
            )
        return out

    def to_dict(self) -> dict[str, Any]:
        """Return ``report.json`` as Python objects."""
        sizes = self.size[self.exemplar]
        recall = self.recall
        return {
            **self.report.to_dict(),
            "clusters": {
                "scope": self.recipe.scope,
                "count": len(self),
                "singletons": int(np.count_nonzero(sizes == 1)),
                "index": self.search.index,
                "recall": None if np.isnan(recall) else recall,
                "largest": self.largest(),
            },
            "run": dict(self.run),
        }

    def save(self, folder: str | Path) -> None:
        """Write ``samples.parquet``, ``clusters.parquet``, ``groups.parquet`` and ``report.json``: all or none.

        Raises
        ------
        OutputError
            Where one cannot be written.
        """
        check_output(folder)
        tables = {"samples.parquet": marked(self.samples), "clusters.parquet": marked(self.table)}
        save_report(folder, self.to_dict(), {**tables, "groups.parquet": self.report.groups})


def check_output(folder: str | Path) -> None:
    """Raise `OutputError` where `SemanticClusters.save` could not write; nothing is made or left behind."""
    check_folder(folder, per_sample=True)
    check_not_a_dump(Path(folder) / "clusters.parquet")


def labels_of(scope: str, cluster: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return clusters as labels, numbered from 0 in every group in the scope ``prompt``."""
    if scope == "pooled":
        return cluster
    sizes = np.diff(groups)
    filled = groups[:-1][sizes > 0]
    # The first sample of a group is of its first cluster.
    return cluster - np.repeat(cluster[filled], sizes[sizes > 0])


def scores_of(
    recipe: Recipe, columns: Mapping[str, Any], parts: Mapping[str, str], facts: Mapping[str, Any]
) -> Report:
    """Return the scores of a partition, signed with how it was made.

    Parameters
    ----------
    recipe : Recipe
        How the partition was made.
    columns : Mapping
        Those of `SemanticClusters`.
    parts : Mapping
        What stands in signatures in place of ``part``, and what of the data.
    facts : Mapping
        Of the dump.
    """
    n, groups, rewards = len(columns["cluster"]), columns["groups"], columns["rewards"]
    labels = labels_of(recipe.scope, columns["cluster"], groups)
    per_sample = {"partition": pa.array(labels)}
    if rewards is not None:
        per_sample["reward"] = pa.array(rewards)
    samples = Samples(
        Ragged(np.zeros(0, np.uint8), np.zeros(n + 1, np.int64)),
        groups,
        columns["ids"],
        pa.nulls(len(groups) - 1, pa.large_string()),
        columns["position"],
        per_sample,
        meta={"model": facts["model"], "task": facts["task"]},
    )
    scopes = ["prompt"] if recipe.scope == "prompt" else ["prompt", "pooled"]
    found = score(samples, SPECS, scopes=scopes, partition_scope=recipe.scope, seed=recipe.seed)
    results, table = list(found.results), found.groups
    if rewards is not None:
        more = score(
            samples,
            [REWARDED],
            scopes=["prompt"],
            partition_scope=recipe.scope,
            reward="reward",
            seed=recipe.seed,
        )
        results += more.results
        table = table.append_column(REWARDED, more.groups.column(REWARDED))
    signed = []
    for result in results:
        own: dict[str, Any] = {}
        for key, value in result.signature.parts.items():
            own |= dict(parts) if key == "part" else {key: value} if key not in parts else {}
        signed.append(replace(result, signature=Signature(result.signature.metric, own)))
    run = {key: value for key, value in found.run.items() if key != "command"} | {"dumps": [dict(facts)]}
    return Report(signed, table, run)
