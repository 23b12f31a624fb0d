"""Two runs beside each other: paired differences, how sure they are, and what may not be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import divfast
from divfast.comparability import Pairs, check_signatures, equal_sizes, match
from divfast.dumps import Progress
from divfast.errors import MetricError, nearest
from divfast.moved import TOP, Moved, most_moved, texts_of
from divfast.output import save_report
from divfast.result import Report, Signature, column_name, json_number, sizes
from divfast.runs import Entry, Run, open_runs
from divfast.scope import SCOPES, check_scope
from divfast.stats import (
    FLIPS,
    INTERVAL,
    NOTHING,
    Effect,
    bootstrap_intervals,
    effect_size,
    holm,
    mean_and_std,
    paired_differences,
    sign_flip_p,
)

_NO_EFFECT = Effect(float("nan"), NOTHING, float("nan"), NOTHING, 0, 0)


@dataclass(frozen=True, eq=False)
class Difference:
    """One metric in one scope: what run B has more than run A.

    Attributes
    ----------
    metric, scope, k, n
        As in `divfast.Result`.
    a, b : float
        Means over the pairs, or the values themselves in the scopes ``first`` and ``pooled``.
    difference : float
        ``b - a``.
    interval : (float, float)
        95% bootstrap interval of the mean difference over prompts; NaN outside the scope ``prompt``.
    p, p_holm : float
        Paired sign-flip test, two-sided, and that corrected for the number of metrics compared; NaN outside the scope
        ``prompt``.
    effect : Effect
        Cohen's d_z, the share of prompts that went up, and how many went up and down; NaN and 0 outside the scope
        ``prompt``.
    most_up, most_down : sequence of Moved
        The prompts that moved most, those that moved more first; empty outside the scope ``prompt``.
    pairs, undefined : int
        Prompts on which both are defined, and prompts of both runs on which one is not; 1 or 0 in all, outside the
        scope ``prompt``.
    unit : str
        What the values measure.
    signatures : (Signature, Signature)
        The recipe of each value.
    values, values_a, values_b : numpy.ndarray
        ``float64``, of every prompt that is in both runs: the difference, and what it is between.
    """

    metric: str
    scope: str
    k: int | None
    n: int | None
    a: float
    b: float
    difference: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    effect: Effect
    most_up: Sequence[Moved] = field(repr=False)
    most_down: Sequence[Moved] = field(repr=False)
    pairs: int
    undefined: int
    unit: str
    signatures: tuple[Signature, Signature]
    values: NDArray[np.float64] = field(repr=False)
    values_a: NDArray[np.float64] = field(repr=False)
    values_b: NDArray[np.float64] = field(repr=False)

    @property
    def column(self) -> str:
        """The name of its column in ``pairs.parquet``."""
        return column_name(self.metric, self.k, self.n)

    def to_dict(self) -> dict[str, Any]:
        """Return the entry of ``comparison.json``: JSON types, null for what is undefined."""
        return {
            "metric": self.metric,
            "scope": self.scope,
            **sizes(self.k, self.n),
            "a": json_number(self.a),
            "b": json_number(self.b),
            "difference": json_number(self.difference),
            "interval": [json_number(end) for end in self.interval],
            "p": json_number(self.p),
            "p_holm": json_number(self.p_holm),
            "effect": json_number(self.effect.d),
            "effect_interval": [json_number(end) for end in self.effect.d_interval],
            "superiority": json_number(self.effect.superiority),
            "superiority_interval": [json_number(end) for end in self.effect.superiority_interval],
            "up": self.effect.up,
            "down": self.effect.down,
            "pairs": self.pairs,
            "undefined": self.undefined,
            "unit": self.unit,
            "signature_a": str(self.signatures[0]),
            "signature_b": str(self.signatures[1]),
            "most_up": [moved.to_dict() for moved in self.most_up],
            "most_down": [moved.to_dict() for moved in self.most_down],
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """All differences between two runs.

    Attributes
    ----------
    results : list of Difference
        In the order of run A.
    pairs : pyarrow.Table
        One row a prompt of both runs: ``input_id``, ``n_a``, ``n_b``, and for every metric the difference in a column
        of its name, and the values in ``a.NAME`` and ``b.NAME``.
    run : Mapping
        ``a`` and ``b`` (what was compared), ``paired``, ``only_a``, ``only_b`` (numbers of prompts), ``left_out``
        (sentences), how interval and p-value were made.
    scored : Report or None
        Of the dumps that were scored to be compared.
    """

    results: Sequence[Difference]
    pairs: pa.Table
    run: Mapping[str, Any]
    scored: Report | None = field(default=None, repr=False)

    def __iter__(self) -> Iterator[Difference]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __getitem__(self, key: str | tuple[str, str]) -> Difference:
        """Return the difference in a metric, as in `divfast.Report`: ``ead``, ``ead@k=4``, ``("ead", "pooled")``."""
        column, scope = key if isinstance(key, tuple) else (key, None)
        for result in self.results:
            if result.column == column and scope in (None, result.scope):
                return result
        known = {result.column for result in self.results}
        raise MetricError(f"the comparison has no result {key!r}.", remedy=nearest(column, known))

    def to_dict(self) -> dict[str, Any]:
        """Return ``comparison.json`` as Python objects."""
        return {"results": [result.to_dict() for result in self.results], "run": dict(self.run)}

    def save(self, folder: str | Path) -> None:
        """Write ``pairs.parquet`` and ``comparison.json`` into `folder`, whole or not at all.

        Raises
        ------
        OutputError
            Where the folder or a file cannot be written.
        """
        save_report(folder, self.to_dict(), {"pairs.parquet": self.pairs}, name="comparison.json")


def compare(
    a: Any,
    b: Any,
    metrics: Sequence[str] | None = None,
    *,
    scopes: Sequence[str] = (),
    allow: Sequence[str] = (),
    seed: int = 0,
    top: int = TOP,
    progress: Progress | None = None,
    **scoring: Any,
) -> Comparison:
    """Compare two runs, prompt by prompt.

    Parameters
    ----------
    a, b : str, Path or Report
        Folders that ``divfast score -o`` wrote, ``FOLDER:MODEL`` where one holds several dumps, or reports of one
        dump in memory; or dumps, which are scored first.
    metrics : sequence of str, optional
        Columns of ``groups.parquet``, such as ``"ead"`` or ``"ead@k=4"``, by default all that both runs have. Where
        there is a dump, specs as in `divfast.score`, by default those that it takes.
    scopes : sequence of {"prompt", "first", "pooled"}
        Those to compare; by default all that there are.
    allow : sequence of str
        Parts of a signature that may differ: ``metric`` (its parameters), ``tok``, ``enc``, ``judge``, ``preset``,
        ``v``.
    seed : int
        Of the bootstrap and of the sign flips, and of random subsets where dumps are scored.
    top : int
        How many prompts to name that moved most, up and down.
    progress : callable, optional
        As in `divfast.score`.
    **scoring
        Options of `divfast.score`, for dumps: ``encoder``, ``preset``, ``at_k``, ``id_field``, ...

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        Where a run cannot be read, no prompt is in both, the signatures differ in more than is allowed, or a metric
        that depends on the number of samples is asked for at unequal K, or at unequal numbers of rows.
    MetricError
        Where a metric, scope or part of a signature is not in the runs, or there are options for scoring and no dump.

    Notes
    -----
    Prompts are paired by ``input_id``; the difference is B minus A over the prompts where both are defined, with the
    bootstrap over prompts for its interval, the sign-flip test for its p-value, and Cohen's d_z and the share of
    prompts that went up for its size (see `divfast.stats`). They speak of other prompts of the same kind, not of other
    models or seeds. Where runs differ in K, a metric that is a plain mean over samples or over pairs of samples
    (cosine) is compared as it is, since it is expected to be the same at any K; others at the k of
    ``score(at_k=)``. In the scopes ``first`` and ``pooled`` a run has one value, and the difference has neither
    interval nor p-value. A dump that was scored here is read a second time, until the prompts that moved most are
    found, for their texts.

    Examples
    --------
    >>> import divfast
    >>> a = divfast.score([["a b", "c d"], ["a b", "c d"], ["a b", "b a"]], ["distinct"])
    >>> b = divfast.score([["a a", "a a"], ["a b", "a b"], ["a a", "b b"]], ["distinct"])
    >>> result = divfast.compare(a, b)["distinct"]
    >>> round(result.difference, 4), result.p  # -3/4, -1/2 and 0; --, ++ among four changes of sign
    (-0.4167, 0.5)
    """
    wanted = [check_scope(scope) for scope in scopes or SCOPES]
    (run_a, run_b), scored = open_runs([a, b], metrics, scopes, seed, progress, scoring)
    pairs = Pairs.of(run_a, run_b)
    # Of dumps, `metrics` has said what to score; of runs that were scored before, it names the columns to compare.
    matched, left_out = match(run_a, run_b, metrics if scored is None else None, wanted)
    check_signatures(matched, allow)
    matched, unequal = equal_sizes(matched, run_a, run_b, pairs)
    if unequal:
        left_out.append(f"At unequal size, and so left to @k or @n: {', '.join(unequal)}.")

    results = [_difference(x, y, run_a, run_b, pairs) for x, y in matched]
    tested = [i for i, result in enumerate(results) if result.scope == "prompt"]
    columns = [results[i].values for i in tested]
    # A metric that does not depend on K has the same differences at every k: one test under several names.
    tests = [column.tobytes() for column in columns]
    different = dict(zip(tests, columns, strict=True))
    p_values = sign_flip_p(list(different.values()), seed=seed)
    p_of = dict(zip(different, zip(p_values, holm(p_values), strict=True), strict=True))
    intervals = bootstrap_intervals(columns, seed=seed)
    for i, interval, test in zip(tested, intervals, tests, strict=True):
        p, p_holm = p_of[test]
        effect = effect_size(results[i].values, seed=seed)
        up, down = most_moved(pairs.ids, results[i].values_a, results[i].values_b, top)
        results[i] = replace(
            results[i], interval=interval, p=p, p_holm=p_holm, effect=effect, most_up=up, most_down=down
        )
    results = _with_texts(results, [run_a, run_b], scoring)
    table = {"input_id": pairs.ids, "n_a": run_a.sizes()[pairs.a], "n_b": run_b.sizes()[pairs.b]}
    for i in tested:
        name = results[i].column
        table |= {name: results[i].values, f"a.{name}": results[i].values_a, f"b.{name}": results[i].values_b}
    facts = {
        "version": divfast.__version__,
        "a": {"run": run_a.name, "model": run_a.model},
        "b": {"run": run_b.name, "model": run_b.model},
        "paired": len(pairs.a),
        "only_a": len(run_a.groups) - len(pairs.a),
        "only_b": len(run_b.groups) - len(pairs.a),
        "left_out": left_out,
        "allowed": list(allow),
        "seed": seed,
        "interval": INTERVAL.format("prompts"),
        "test": f"paired sign-flip test, two-sided, exact or {FLIPS} random flips; p_holm corrects for all tests here",
    }
    return Comparison(results, pa.table(table), facts, scored)


def _with_texts(
    results: Sequence[Difference], runs: Sequence[Run], scoring: Mapping[str, Any]
) -> list[Difference]:
    """Return results with the texts of the prompts that moved most, where there is a dump to read them from."""
    dump = next((run.dump for run in runs if run.dump is not None and str(run.dump) != "-"), None)
    if dump is None:
        return list(results)
    ids = [moved.input_id for result in results for moved in (*result.most_up, *result.most_down)]
    texts = texts_of(dump, ids, scoring)

    def told(prompts: Sequence[Moved]) -> list[Moved]:
        return [replace(moved, prompt=texts.get(moved.input_id or "")) for moved in prompts]

    return [
        replace(result, most_up=told(result.most_up), most_down=told(result.most_down)) for result in results
    ]


def _difference(x: Entry, y: Entry, a: Run, b: Run, pairs: Pairs) -> Difference:
    """Return the difference between two entries, not yet tested."""
    if x.scope == "prompt":
        here, there = a.values(x.column)[pairs.a], b.values(y.column)[pairs.b]
    else:
        here, there = np.array([x.value]), np.array([y.value])
    values = paired_differences(here, there)
    defined = ~np.isnan(values)
    nan = float("nan")
    mean_a, mean_b, mean = (mean_and_std(each[defined])[0] for each in (here, there, values))
    return Difference(
        metric=x.metric,
        scope=x.scope,
        k=x.k,
        n=x.n,
        a=mean_a,
        b=mean_b,
        difference=mean,
        interval=NOTHING,
        p=nan,
        p_holm=nan,
        effect=_NO_EFFECT,
        most_up=(),
        most_down=(),
        pairs=int(defined.sum()),
        undefined=int((~defined).sum()),
        unit=x.unit,
        signatures=(x.signature, y.signature),
        values=values,
        values_a=here,
        values_b=there,
    )
