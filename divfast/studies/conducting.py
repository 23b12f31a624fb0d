"""A study from its file to its tables."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from divfast import engine
from divfast.decomposition import of_unequal_size
from divfast.dumps import Progress
from divfast.errors import MetricError, nearest
from divfast.output import check_folder
from divfast.result import run_facts
from divfast.stats import INTERVAL
from divfast.studies import correlation, quality, values
from divfast.studies.attribution import Step, attribute, steps
from divfast.studies.cells import Store, find_cells
from divfast.studies.grids import Grid, grids
from divfast.studies.means import grids_of_means, read_means, with_tasks
from divfast.studies.measuring import LENGTH, Work, measure
from divfast.studies.plan import Study, read_study
from divfast.studies.writing import write_tables

Rows = list[dict[str, Any]]
TABLES = (
    *("attribution", "values", "decomposition", "quality"),
    *("correlation", "length", "ranks", "factors"),
)
# Of means nobody knows of how many prompts they are, and there is nothing to test.
_OF_PROMPTS = ("prompts", "undefined", "computable_base", "computable_model", "p", "p_holm")
METHODS = {
    "interval": f"{INTERVAL.format('prompts')}; the same prompts are drawn for "
    "all models of a task, and within each task for an average over tasks",
    "test": "paired sign-flip test by prompt, two-sided; p_holm is corrected for all steps, tasks and lineages of a "
    "metric (averages among themselves)",
    "share": "100 (D_i - D_(i-1)) / D_base; retained is 100 D_last / D_base; the average is that of the tasks' shares",
}


@dataclass(frozen=True, eq=False)
class Findings:
    """The tables of a study, every one a tidy `pyarrow.Table`; those that there is nothing for are not there.

    Attributes
    ----------
    study : Study
        The file.
    tables : Mapping[str, pyarrow.Table]
        ``values``, ``attribution``, ``decomposition``, ``quality``, ``correlation``, ``length``, ``ranks`` and
        ``factors``.
    run : Mapping
        How many dumps were scored and how many were known, what was left out, how intervals and p-values were made.
    """

    study: Study
    tables: Mapping[str, pa.Table]
    run: Mapping[str, Any]

    def __getitem__(self, name: str) -> pa.Table:
        """Return a table by name."""
        if name not in self.tables:
            raise MetricError(f"this study has no table {name!r}.", remedy=nearest(name, self.tables))
        return self.tables[name]

    def save(self, folder: str | Path) -> None:
        """Write every table as Parquet, CSV, Markdown and LaTeX, and ``study.json``: all or none.

        Tables of an earlier study in the folder that this one does not have are removed.

        Raises
        ------
        OutputError
            Where the folder or a file cannot be written.
        """
        write_tables(Path(folder), self.tables, {"study": self.study.title, "run": dict(self.run)}, TABLES)


def study(
    file: str | Path,
    output: str | Path | None = None,
    *,
    dumps: str | Path | None = None,
    means: Mapping[str, str] | None = None,
    intersect: bool = False,
    seed: int = 0,
    threads: int | None = None,
    memory: int | None = None,
    progress: Progress | None = None,
    allow_code_execution: bool = False,
) -> Findings:
    """Conduct a study: score the dumps of its models, and find where along its lineages diversity is lost.

    Parameters
    ----------
    file : str or Path
        The study file; see `divfast.studies.plan.read_study`.
    output : str or Path, optional
        Folder for the tables, and for what is scored and verified: the next call on it takes up what is known. Without
        it nothing is kept.
    dumps : str or Path, optional
        Where relative names of dumps begin; by default at the study file.
    means : Mapping[str, str], optional
        Files of means instead of dumps, by name of the metric, under an empty name one that names its metrics; see
        `divfast.studies.means.read_means`. There are no intervals and no tests then.
    intersect : bool
        Where models have other prompts, go on with those that all have.
    seed : int
        Of the bootstrap, of random subsets and of the sign flips.
    threads, memory, progress
        As in `divfast.score`.
    allow_code_execution : bool
        Verifiers may run programs that models wrote; no study file can say so.

    Returns
    -------
    Findings

    Raises
    ------
    DivfastError
        One sentence: where, what, and the remedy.

    Notes
    -----
    Dumps are scored task by task. A dump is scored again where its bytes or its recipe are not what they were; a metric
    that is new is scored alone. How each table comes about says the function that makes it: `steps` and `attribute`,
    `table_of_values`, `decompositions`, `accuracies`, `among_prompts` and `among_models`, `beside_length`.

    References
    ----------
    Karouzos, Tan and Aletras (2026), "Where does output diversity collapse in post-training?", arXiv 2604.16027.
    """
    started = time.perf_counter()
    given = means
    plan = read_study(file, folder=dumps, means=bool(given))
    if output is not None:
        check_folder(output)
    work = Work()
    remarks: list[str] = []
    with engine.use_threads(threads), engine.use_memory(memory):
        if given or plan.means:
            base = Path() if given else plan.path.parent
            found = read_means(given or plan.means, base)
            plan = with_tasks(plan, found)
            all_grids = grids_of_means(plan, found)
            remarks.append("Of means there are neither intervals nor tests.")
        else:
            with tempfile.TemporaryDirectory() as aside:
                store = Store(Path(output if output is not None else aside))
                measured = measure(
                    plan,
                    find_cells(plan),
                    store,
                    work=work,
                    seed=seed,
                    threads=threads,
                    memory=memory,
                    allow_code_execution=allow_code_execution,
                    progress=progress,
                )
                all_grids = [
                    grid for task in measured for grid in grids(task, intersect=intersect, remarks=remarks)
                ]
        tables = _tables(plan, all_grids, seed, remarks, of_means=bool(given or plan.means))
    run = run_facts(time.perf_counter() - started) | {
        "scored": work.scored,
        "known": work.known,
        "verified": work.verified,
        "verified_before": work.verified_before,
        "remarks": remarks,
        "seed": seed,
        "methods": METHODS,
    }
    findings = Findings(plan, tables, run)
    if output is not None:
        findings.save(output)
    return findings


def _tables(
    plan: Study, all_grids: Sequence[Grid], seed: int, remarks: list[str], *, of_means: bool
) -> dict[str, pa.Table]:
    rows: dict[str, Rows] = {name: [] for name in TABLES}
    models = quality.pairs(plan.lineages, remarks)
    for factors in plan.settings():
        here = [grid for grid in all_grids if grid.factors == factors]
        by_task: dict[str, list[Step]] = {grid.task: steps(grid, plan.lineages, seed) for grid in here}
        rows["attribution"] += attribute(by_task, factors, seed)
        drawn = values.Drawn(here, seed)
        rows["values"] += values.table_of_values(drawn)
        rows["ranks"] += values.table_of_ranks(drawn)
        rows["correlation"] += correlation.among_prompts(drawn, seed)
        rows["correlation"] += correlation.among_models(drawn)
        for grid in here:
            if LENGTH in grid.values:
                rows["length"] += correlation.beside_length(grid, plan.lineages, seed)
        rows["decomposition"] += quality.decompositions([grid for grid in here if grid.right], models, seed)
        judged = [grid for grid in here if grid.quality]
        rows["quality"] += quality.accuracies(judged, seed)
        unvoted = [grid.task for grid in judged if "majority" not in grid.quality]
        if 0 < len(unvoted) < len(judged):
            told = f"{', '.join(unvoted)}: no answers, and so not in the averages of majority and mv_gain."
            remarks += [] if told in remarks else [told]
    taken_apart = [] if of_means else [row["metric"] for row in rows["decomposition"]]
    if (unequal := of_unequal_size(taken_apart)) is not None:
        remarks.append(f"Decomposition: {unequal}")
    if plan.factors:
        rows["factors"] = values.table_of_factors(all_grids, plan.factors, seed)
    return {name: _table(found, of_means) for name, found in rows.items() if found}


def _table(rows: Iterable[Mapping[str, Any]], of_means: bool) -> pa.Table:
    """Return rows as a table: NaN is null."""
    found = list(rows)
    names = list(dict.fromkeys(name for row in found for name in row))
    columns = {}
    for name in names:
        cells = [None if of_means and name in _OF_PROMPTS else row.get(name) for row in found]
        columns[name] = pa.array([None if cell != cell else cell for cell in cells], _type(cells))
    return pa.table(columns)


def _type(cells: Sequence[Any]) -> pa.DataType:
    kinds = {type(cell) for cell in cells if cell is not None}
    if str in kinds:
        return pa.string()
    return pa.int64() if kinds and kinds <= {int} else pa.float64()
