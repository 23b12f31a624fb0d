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
from divfast.errors import MetricError, nearest
from divfast.output import save_report
from divfast.result import Signature, column_name, json_number, sizes
from divfast.runs import Entry, Run, open_run
from divfast.scope import SCOPES, check_scope
from divfast.stats import FLIPS, INTERVAL, bootstrap_intervals, holm, mean_and_std, sign_flip_p


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
    pairs, undefined : int
        Prompts on which both are defined, and prompts of both runs on which one is not; 1 or 0 in all, outside the
        scope ``prompt``.
    unit : str
        What the values measure.
    signatures : (Signature, Signature)
        The recipe of each value.
    values : numpy.ndarray
        ``float64``, the difference of every prompt that is in both runs.
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
    pairs: int
    undefined: int
    unit: str
    signatures: tuple[Signature, Signature]
    values: NDArray[np.float64] = field(repr=False)

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
            "pairs": self.pairs,
            "undefined": self.undefined,
            "unit": self.unit,
            "signature_a": str(self.signatures[0]),
            "signature_b": str(self.signatures[1]),
        }


@dataclass(frozen=True, eq=False)
class Comparison:
    """All differences between two runs.

    Attributes
    ----------
    results : list of Difference
        In the order of run A.
    pairs : pyarrow.Table
        One row a prompt of both runs: ``input_id``, ``n_a``, ``n_b`` and the difference in one column a metric.
    run : Mapping
        ``a`` and ``b`` (what was compared), ``paired``, ``only_a``, ``only_b`` (numbers of prompts), ``left_out``
        (sentences), how interval and p-value were made.
    """

    results: Sequence[Difference]
    pairs: pa.Table
    run: Mapping[str, Any]

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
    scopes: Sequence[str] = SCOPES,
    allow: Sequence[str] = (),
    seed: int = 0,
) -> Comparison:
    """Compare two runs, prompt by prompt.

    Parameters
    ----------
    a, b : str, Path or Report
        Folders that ``divfast score -o`` wrote, ``FOLDER:MODEL`` where one holds several dumps, or reports of one
        dump in memory.
    metrics : sequence of str, optional
        Columns of ``groups.parquet``, such as ``"ead"`` or ``"ead@k=4"``. By default all that both runs have.
    scopes : sequence of {"prompt", "first", "pooled"}
        Those to compare.
    allow : sequence of str
        Parts of a signature that may differ: ``metric`` (its parameters), ``tok``, ``enc``, ``judge``, ``preset``,
        ``v``.
    seed : int
        Of the bootstrap and of the sign flips.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        Where a run cannot be read, no prompt is in both, the signatures differ in more than is allowed, or a metric
        that depends on the number of samples is asked for at unequal K, or at unequal numbers of rows.
    MetricError
        Where a metric, scope or part of a signature is not in the runs.

    Notes
    -----
    Prompts are paired by ``input_id``; the difference is B minus A over the prompts where both are defined, with the
    percentile bootstrap over prompts for its interval and the sign-flip test for its p-value (see `divfast.stats`).
    Both speak of other prompts of the same kind, not of other models or seeds. Where runs differ in K, a metric that
    is a plain mean over samples or over pairs of samples (cosine) is compared as it is, since it is expected to be
    the same at any K; others at the k of ``score(at_k=)``. In the scopes ``first`` and ``pooled`` a run has one
    value, and the difference has neither interval nor p-value.

    Examples
    --------
    >>> import divfast
    >>> a = divfast.score([["a b", "c d"], ["a b", "c d"], ["a b", "b a"]], ["distinct"])
    >>> b = divfast.score([["a a", "a a"], ["a b", "a b"], ["a a", "b b"]], ["distinct"])
    >>> result = divfast.compare(a, b)["distinct"]
    >>> round(result.difference, 4), result.p  # -3/4, -1/2 and 0; --, ++ among four changes of sign
    (-0.4167, 0.5)
    """
    run_a, run_b = open_run(a), open_run(b)
    wanted = [check_scope(scope) for scope in scopes]
    pairs = Pairs.of(run_a, run_b)
    matched, left_out = match(run_a, run_b, metrics, wanted)
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
        results[i] = replace(results[i], interval=interval, p=p, p_holm=p_holm)
    table = {"input_id": pairs.ids, "n_a": run_a.sizes()[pairs.a], "n_b": run_b.sizes()[pairs.b]}
    table.update({result.column: result.values for result in results if result.scope == "prompt"})
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
    return Comparison(results, pa.table(table), facts)


def _difference(x: Entry, y: Entry, a: Run, b: Run, pairs: Pairs) -> Difference:
    """Return the difference between two entries, not yet tested."""
    if x.scope == "prompt":
        here, there = a.values(x.column)[pairs.a], b.values(y.column)[pairs.b]
    else:
        here, there = np.array([x.value]), np.array([y.value])
    values = there - here
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
        interval=(nan, nan),
        p=nan,
        p_holm=nan,
        pairs=int(defined.sum()),
        undefined=int((~defined).sum()),
        unit=x.unit,
        signatures=(x.signature, y.signature),
        values=values,
    )
