"""What a study found, to be read without knowing its tables: in words, and in tables of a few columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from divfast.errors import MetricError
from divfast.registry import parse_spec
from divfast.studies.columns import AVERAGE, COLUMNS, RETAINED, TITLES
from divfast.studies.plan import Stage, Study
from divfast.studies.tabular import digits_of

Row = Mapping[str, Any]
_SIGNIFICANT = 0.05
# From here on hardly any prompt has kept its length: see `correlation.beside_length`.
_FAR = 2.0
_STARRED = "95% intervals over prompts; * p < 0.05, paired by prompt, after Holm's correction."


@dataclass(frozen=True)
class Section:
    """A part of a summary.

    Attributes
    ----------
    title : str
        What it tells.
    words : tuple of str
        Sentences, each a paragraph.
    headers, rows
        A table of texts; empty where there is none.
    names : int
        How many columns hold names, before those of numbers.
    note : str
        What stands below.
    """

    title: str
    words: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    names: int = 0
    note: str = ""


def scope(study: Study, tables: Mapping[str, pa.Table]) -> str:
    """Return of how much a study is, in one line."""
    parts = [_many(len(study.models), "model"), _many(len(study.tasks), "task")]
    prompts = {row["task"]: row["prompts"] for row in tables["values"].to_pylist() if row["task"] != AVERAGE}
    counts = [count for count in prompts.values() if count is not None]
    if counts:
        parts.append(_many(sum(counts), "prompt"))
    factors = [f"{name} {', '.join(levels)}" for name, levels in study.factors.items()]
    return "; ".join([", ".join(parts), *factors])


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def sections(study: Study, tables: Mapping[str, pa.Table]) -> Iterator[Section]:
    """Yield what a study found over all tasks, setting by setting of the factors."""
    for setting in study.settings():
        named = ", ".join(f"{name} {level}" for name, level in setting.items())
        rows = {name: _of(table, setting) for name, table in tables.items()}
        over = "averaged over tasks" if len(study.tasks) > 1 else f"on {next(iter(study.tasks))}"
        over += f" ({named})" if named else ""
        whole = {name: _averages(of, study) for name, of in rows.items()}
        tested = any(row["p"] is not None for row in rows.get("attribution", ()))
        for section in (
            _attribution(study, rows, whole, over, tested)
            if study.lineages
            else _values(whole["values"], over),
            _losses(whole.get("decomposition", ()), over),
            _quality(whole.get("quality", ()), over),
        ):
            if section.words or section.rows:
                yield section


def by_task(study: Study, tables: Mapping[str, pa.Table]) -> Iterator[Section]:
    """Yield the shares of all stages on every task, a section for every metric; none where there is one task."""
    if len(study.tasks) < 2 or "attribution" not in tables:
        return
    for setting in study.settings():
        named = "".join(f", {name} {level}" for name, level in setting.items())
        found = _shown(_of(tables["attribution"], setting))
        for metric in dict.fromkeys(row["metric"] for row in found):
            rows = [row for row in found if row["metric"] == metric]
            headers, lines = _stages(rows, ("lineage", "task"))
            tested = any(row["p"] is not None for row in rows)
            yield Section(f"{metric}{named}", (), headers, lines, 2, _STARRED if tested else "")


def explained(tables: Mapping[str, pa.Table]) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Yield name and title of every table, and its columns with what stands in them."""
    for name, table in tables.items():
        told = COLUMNS[name]
        yield name, TITLES[name], [(column, told[column]) for column in table.column_names if column in told]


def _of(table: pa.Table, setting: Mapping[str, str]) -> list[Row]:
    """Return the rows of a table in one setting."""
    if not set(setting) <= set(table.column_names):
        return []
    return [row for row in table.to_pylist() if all(row[name] == level for name, level in setting.items())]


def _averages(rows: Sequence[Row], study: Study) -> list[Row]:
    """Return those averaged over tasks, where there are several."""
    return [row for row in rows if row.get("task") == AVERAGE] if len(study.tasks) > 1 else list(rows)


def _shown(rows: Sequence[Row]) -> list[Row]:
    """Return rows but those at equal size of a metric that is there at full size too."""
    whole = {row["metric"] for row in rows}
    return [row for row in rows if "@" not in row["metric"] or row["metric"].partition("@")[0] not in whole]


def _attribution(
    study: Study, rows: Mapping[str, list[Row]], whole: Mapping[str, list[Row]], over: str, tested: bool
) -> Section:
    found = _shown(whole.get("attribution", ()))
    metrics = list(dict.fromkeys(row["metric"] for row in found))
    growing = [name for name in metrics if _grows(name)]
    words = []
    for lineage, stages in study.lineages.items():
        here = [row for row in found if row["lineage"] == lineage and row["metric"] in growing]
        if here:
            cells = [
                row
                for row in _shown(rows["attribution"])
                if row["lineage"] == lineage and row["task"] != AVERAGE and row["metric"] in growing
            ]
            parts = [
                _steps(lineage, stages, here, tested),
                _where(stages, here, cells, tested),
                _right(stages, here, _shown(whole.get("decomposition", ())), tested),
                _length(lineage, stages, here, _shown(rows.get("length", ())), tested),
            ]
            words.append(" ".join(part for part in parts if part))
    if falling := [name for name in metrics if name not in growing]:
        words.append(f"Left out of these words, since more of it is not more diverse: {', '.join(falling)}.")
    headers, lines = _stages(found, ("metric", "lineage"))
    note = f"Share of each stage in % of the base, and what the last one retains. {_STARRED if tested else ''}".strip()
    return Section(f"Where diversity is lost, {over}", tuple(words), headers, lines, 2, note)


def _values(found: Sequence[Row], over: str) -> Section:
    """Return how diverse every model is, where there is no lineage along which to look."""
    lines: dict[str, dict[str, str]] = {}
    for row in _shown(found):
        digits = digits_of([row["value"]])
        lines.setdefault(row["model"], {})[row["metric"]] = with_ends(row, "value", digits)
    names = list(dict.fromkeys(name for cells in lines.values() for name in cells))
    rows = tuple((model, *(cells.get(name, "") for name in names)) for model, cells in lines.items())
    return Section(f"Diversity of every model, {over}", (), ("model", *names), rows, 1)


def _grows(metric: str) -> bool:
    """Return whether more of a metric is more diverse; of one that is not divfast's it is supposed."""
    try:
        higher = parse_spec(metric.partition("@")[0]).metric.higher
    except MetricError:
        return True
    return "more diverse" in higher or "richer" in higher


def _steps(lineage: str, stages: Sequence[Stage], rows: Sequence[Row], tested: bool) -> str:
    """Return what every stage does, and what is left."""
    told = []
    for stage in stages[1:]:
        here = [row for row in rows if row["step"] == stage.name and row["share"] is not None]
        if here:
            sure = _sure(sum(map(_is_significant, here)), len(here)) if tested else ""
            told.append(f"{stage.name} {_does([row['share'] for row in here])}{sure}")
    left = [row["share"] for row in rows if row["step"] == RETAINED and row["share"] is not None]
    if not told or not left:
        return f"{lineage}: there is nothing in the base to lose."
    ends = " to ".join(
        stage.models[0] if len(stage.models) == 1 else f"{len(stage.models)} models"
        for stage in (stages[0], stages[-1])
    )
    return f"{lineage}, from {ends}: {', '.join(told)}; {_range(left)}% are left."


def _does(shares: Sequence[float]) -> str:
    rounded = [round(share) for share in shares]
    if max(rounded) < 0:
        return f"takes {_range([-share for share in shares])}%"
    if min(rounded) > 0:
        return f"adds {_range(shares)}%"
    return f"changes it by {_range(shares)}%"


def _range(values: Sequence[float]) -> str:
    ends = dict.fromkeys(f"{round(value)}" for value in (min(values), max(values)))
    return " to ".join(ends)


def _sure(many: int, of: int) -> str:
    if of == 1:
        return " (significant)" if many else " (not significant)"
    return f" (significant by {_by(many, of)})"


def _by(many: int, of: int) -> str:
    """Return by how many of several metrics."""
    if many < of:
        return f"{many or 'none'} of {of} metrics"
    return "both metrics" if of == 2 else f"all {of} metrics"


def _is_significant(row: Row) -> bool:
    return row["p_holm"] is not None and row["p_holm"] < _SIGNIFICANT


def _where(stages: Sequence[Stage], rows: Sequence[Row], cells: Sequence[Row], tested: bool) -> str:
    """Return at which stage most is lost, of three stages or more."""
    if len(stages) < 3 or all(row["share"] is None for row in rows):
        return ""
    found = _greatest(rows, ("metric",), tested)
    if not found:
        return "No stage takes anything" + (" that is significant." if tested else ".")
    stage, many = Counter(found).most_common(1)[0]
    metrics = len({row["metric"] for row in rows})
    told = [f"by {_by(many, metrics)}"] if metrics > 1 else []
    alone = Counter(_greatest(cells, ("metric", "task"), tested=False))
    of = len({(row["metric"], row["task"]) for row in cells})
    if of > metrics:
        told.append(f"in {alone[stage]} of {of} {'pairs of task and metric' if metrics > 1 else 'tasks'}")
    return f"Most is lost at {stage}{': ' if told else ''}{', and '.join(told)}."


def _greatest(rows: Sequence[Row], key: tuple[str, ...], tested: bool) -> list[str]:
    """Return the stage of the greatest loss for every value of a key, where there is a loss."""
    of: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        lost = row["step"] != RETAINED and row["share"] is not None and row["share"] < 0
        if lost and (_is_significant(row) or not tested):
            of.setdefault(tuple(row[name] for name in key), []).append(row)
    return [min(found, key=lambda row: row["share"])["step"] for found in of.values()]


def _changed(rows: Sequence[Row], tested: bool) -> set[str]:
    """Return the metrics that say that the last stage differs from the base."""
    return {row["metric"] for row in rows if row["step"] == RETAINED and (_is_significant(row) or not tested)}


def _right(stages: Sequence[Stage], whole: Sequence[Row], rows: Sequence[Row], tested: bool) -> str:
    """Return what the loss is among right samples alone."""
    ends = (stages[0].models, stages[-1].models)
    changed = _changed(whole, tested)
    here = [row for row in rows if ((row["base"],), (row["model"],)) == ends and row["metric"] in changed]
    over = "paired" if any(row["over"] == "paired" for row in here) else "own"
    here = [row for row in here if row["over"] == over and row["share"] is not None and row["loss"] > 0]
    if not here:
        return ""
    return f"Among right samples alone the loss is {_range([100 * row['share'] for row in here])}% of that."


def _length(
    lineage: str, stages: Sequence[Stage], whole: Sequence[Row], rows: Sequence[Row], tested: bool
) -> str:
    """Return how much of the change is there at equal length, for the metrics that have one."""
    step = RETAINED if len(stages) > 2 else stages[-1].name
    changed = _changed(whole, tested)
    here = [
        row for row in rows if row["lineage"] == lineage and row["step"] == step and row["metric"] in changed
    ]
    here = [row for row in here if row["at_equal_length"] is not None and row["metric"] != "length"]
    if not here:
        return ""
    if any(row["distance"] is None or row["distance"] >= _FAR for row in here):
        return "Nearly all samples have become longer, or shorter, so that length cannot be held apart."
    sums: dict[str, tuple[float, float]] = {}
    for row in here:
        change, equal = sums.get(row["metric"], (0.0, 0.0))
        sums[row["metric"]] = change + row["change"], equal + row["at_equal_length"]
    parts = [100 * equal / change for change, equal in sums.values() if change]
    return f"At equal length {_range(parts)}% of the change remains." if parts else ""


def _stages(rows: Sequence[Row], key: tuple[str, str]) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """Return a line for every value of a key, the stages in columns; lines of the first name together."""
    lines: dict[tuple[str, str], dict[str, str]] = {}
    tasks: dict[str, set[int]] = {}
    for row in rows:
        star = "*" if _is_significant(row) and row["step"] != RETAINED else ""
        line = lines.setdefault((row[key[0]], row[key[1]]), {})
        line[row["step"]] = with_ends(row, "share", 0) + star
        tasks.setdefault(row[key[0]], set()).add(row["tasks"])
    steps = [*dict.fromkeys(row["step"] for row in rows if row["step"] != RETAINED), RETAINED]
    order = list(dict.fromkeys(first for first, _ in lines))
    found = sorted(lines.items(), key=lambda item: order.index(item[0][0]))
    # An average is over fewer tasks where a metric is not there on all.
    uneven = len(set().union(*tasks.values())) > 1 and key[1] == "lineage"
    headers = (*key, *(("tasks",) if uneven else ()), *steps)
    return headers, tuple(
        (
            *line,
            *(("-".join(map(str, sorted(tasks[line[0]]))),) if uneven else ()),
            *(cells.get(name, "") for name in steps),
        )
        for line, cells in found
    )


def _losses(found: Sequence[Row], over: str) -> Section:
    rows = []
    # Where no model has two bases, its lineage says which.
    pairs = {(row["base"], row["model"]) for row in found}
    several = len({model for _, model in pairs}) < len(pairs)
    for row in _shown(found):
        digits = digits_of([(row["base_all"] or 0.0) / 10])
        share = "undefined" if row["share"] is None else f"{row['share']:.0%}"
        cells = (with_ends(row, name, digits) for name in ("loss", "residual", "quality_control"))
        base = (row["base"],) if several else ()
        rows.append((row["metric"], *base, row["model"], row["over"], *cells, share))
    names = ("metric", *(("base",) if several else ()), "model", "prompts")
    headers = (*names, "loss", "residual", "quality control", "residual / loss")
    note = (
        "residual: what is lost among right samples too; quality control: the rest, which went with wrong samples. "
        "own: each model over prompts with two right samples of its own; paired: over those with two of both."
    )
    return Section(
        f"Loss against the base, and what is left of it among right samples, {over}",
        (),
        headers,
        tuple(rows),
        len(names),
        note,
    )


def _quality(found: Sequence[Row], over: str) -> Section:
    beside = {"model", "task", "prompts"} | {
        name for row in found for name in row if name.endswith(("_low", "_high"))
    }
    numbers = [name for name in (found[0] if found else ()) if name not in beside and f"{name}_low" in beside]
    names = [name for name in numbers if any(row[name] is not None for row in found)]
    rows = tuple((row["model"], *(with_ends(row, name, 3) for name in names)) for row in found)
    headers = ("model", *(name.replace("_", " ") for name in names))
    note = "gain over mean: majority vote less mean accuracy; mv gain: less the accuracy of the first sample."
    told = note if "mv_gain" in names and "gain_over_mean" in names else ""
    return Section(f"Accuracy, and what a majority vote gains, {over}", (), headers, rows, 1, told)


def with_ends(row: Row, name: str, digits: int) -> str:
    """Return a value with its interval behind it."""
    if row[name] is None:
        return "undefined"
    beside = name if f"{name}_low" in row else ""
    ends = [row.get(f"{beside}_{side}" if beside else side) for side in ("low", "high")]
    value, *between = ("" if one is None else _rounded(one, digits) for one in (row[name], *ends))
    return f"{value} [{', '.join(between)}]" if all(between) else value


def _rounded(value: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text.removeprefix("-") if float(text) == 0 else text
