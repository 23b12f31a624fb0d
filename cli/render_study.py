"""What ``divfast study`` prints."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from divfast.cli import flat, render

if TYPE_CHECKING:
    from divfast.studies import Findings

Row = Mapping[str, Any]
_SIGNIFICANT = 0.05


def text(findings: Findings, chosen: str | None, form: str) -> str:
    """Return a study as a summary, or one of its tables, as ``table``, ``json``, ``csv``, ``md`` or ``tex``."""
    from divfast.studies import writing

    if form == "json":
        named = findings.tables if chosen is None else {chosen: findings[chosen]}
        told = {name: table.to_pylist() for name, table in named.items()}
        return flat.as_json({"study": findings.study.title, "tables": told, "run": dict(findings.run)})
    if chosen is None:
        return _summary(findings)
    table = findings[chosen]
    if form == "table":
        headers, rows = writing.to_read(table)
        return render.table(headers, rows)
    write = {"csv": writing.as_csv, "md": writing.as_md, "tex": writing.as_tex}[form]
    return write(table)


def remarks(findings: Findings) -> list[str]:
    """Return what happened on the way to the numbers, one line each."""
    run = findings.run
    lines = list(run["remarks"])
    if run["scored"] or run["known"]:
        lines.append(f"Scored {render.many(run['scored'], 'dump')}; {run['known']:,} were known.")
    if run["verified"] or run["verified_before"]:
        lines.append(
            f"Verified {render.many(run['verified'], 'dump')}; {run['verified_before']:,} were known."
        )
    return lines


def _summary(findings: Findings) -> str:
    """Return what is found over all tasks, in few lines."""
    plan = findings.study
    parts = [
        render.bold(
            f"{plan.title}: {render.many(len(plan.models), 'model')}, {render.many(len(plan.tasks), 'task')}"
        )
    ]
    for setting in plan.settings():
        named = ", ".join(f"{name} {level}" for name, level in setting.items())
        over = "averaged over tasks" if len(plan.tasks) > 1 else f"on {next(iter(plan.tasks))}"
        for title, table in (
            ("Share of each stage in % of the base", _attribution(findings, setting)),
            ("Loss against the base, and what is left of it among right samples", _losses(findings, setting)),
            ("Accuracy, and what a majority vote gains", _quality(findings, setting)),
        ):
            if table:
                parts += ["", render.bold(f"{title}, {over}{f' ({named})' if named else ''}"), "", table]
    starred = "95% intervals over prompts; * p < 0.05, paired by prompt, after Holm's correction."
    return "\n".join([*parts, "", starred] if findings.tables["values"]["low"].null_count == 0 else parts)


def _of(findings: Findings, name: str, setting: Mapping[str, str]) -> list[Row]:
    """Return the rows of a table in one setting, averaged over tasks where there are several."""
    if name not in findings.tables:
        return []
    rows = [
        row
        for row in findings[name].to_pylist()
        if all(row[factor] == level for factor, level in setting.items())
    ]
    averages = [row for row in rows if row["task"] == "average"]
    return averages if len(findings.study.tasks) > 1 else rows


def _shown(rows: Sequence[Row]) -> Iterator[Row]:
    """Yield rows but those at equal size of a metric that is there at full size too."""
    whole = {row["metric"] for row in rows}
    yield from (
        row for row in rows if "@" not in row["metric"] or row["metric"].partition("@")[0] not in whole
    )


def _attribution(findings: Findings, setting: Mapping[str, str]) -> str:
    by_line: dict[tuple[str, str], dict[str, str]] = {}
    steps: dict[str, None] = {}
    for row in _shown(_of(findings, "attribution", setting)):
        star = "*" if (row["p_holm"] or 1.0) < _SIGNIFICANT and row["step"] != "retained" else ""
        by_line.setdefault((row["metric"], row["lineage"]), {})[row["step"]] = (
            _with_ends(row, "share", 0) + star
        )
        if row["step"] != "retained":
            steps[row["step"]] = None
    names = [*steps, "retained"]
    rows = [[*line, *(cells.get(name, "") for name in names)] for line, cells in _by_metric(by_line)]
    return render.table(["metric", "lineage", *names], rows, right=names) if rows else ""


def _by_metric(
    lines: Mapping[tuple[str, str], dict[str, str]],
) -> Iterable[tuple[tuple[str, str], dict[str, str]]]:
    """Return lines with those of one metric together, metrics in the order in which they came."""
    order = list(dict.fromkeys(metric for metric, _ in lines))
    return sorted(lines.items(), key=lambda item: order.index(item[0][0]))


def _losses(findings: Findings, setting: Mapping[str, str]) -> str:
    rows = []
    for row in _shown(_of(findings, "decomposition", setting)):
        digits = flat.decimals([row["base_all"] or 0.0])
        share = "undefined" if row["share"] is None else f"{row['share']:.0%}"
        cells = [_with_ends(row, name, digits) for name in ("loss", "residual", "quality_control")]
        rows.append([row["metric"], row["base"], row["model"], row["over"], *cells, share])
    headers = ["metric", "base", "model", "prompts", "loss", "residual", "quality control", "residual / loss"]
    return render.table(headers, rows, right=headers[4:]) if rows else ""


def _quality(findings: Findings, setting: Mapping[str, str]) -> str:
    found = _of(findings, "quality", setting)
    wanted = ("accuracy", "accuracy_at_1", "majority", "mv_gain", "gain_over_mean")
    names = [name for name in wanted if any(row.get(name) is not None for row in found)]
    rows = [[row["model"], *(_with_ends(row, name, 3) for name in names)] for row in found]
    return render.table(["model", *(name.replace("_", " ") for name in names)], rows) if rows else ""


def _with_ends(row: Row, name: str, digits: int) -> str:
    """Return a value with its interval behind it."""
    if row[name] is None:
        return "undefined"
    ends = [row.get(f"{name}_{side}", row.get(side) if name == "share" else None) for side in ("low", "high")]
    value, *between = ("" if one is None else _rounded(one, digits) for one in (row[name], *ends))
    return f"{value} [{', '.join(between)}]" if all(between) else value


def _rounded(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text
