"""What ``divfast judge`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from divfast.cli import flat, render

if TYPE_CHECKING:
    from divfast.judging.preference import Preference
    from divfast.judging.scores import Scores


def remarks(found: Scores | Preference) -> list[str]:
    """Return what a reader of the number should know, in sentences."""
    said = dict(found.run["judge"])
    row = found.to_dict()
    lines = [
        f"The judge was asked {said.get('asked', 0):,} times; {said.get('cached', 0):,} answers were there already."
    ]
    if found.malformed:
        many = said.get("verdicts", 0)
        lines.append(
            f"{found.malformed:,} answers had no verdict that could be read and were asked for once more; "
            f"{found.unusable:,} of {many:,} verdicts ({found.unusable / max(1, many):.1%}) are lacking for good."
        )
    if cut := said.get("cut", 0):
        lines.append(f"{cut:,} of these were cut off: raise --max-tokens.")
    if row.get("without_checklist"):
        lines.append(f"{row['without_checklist']:,} samples of prompts without a checklist were not judged.")
    without = row["without_reference"]
    if row.get("b") == "references":
        # Prompts of A alone are those.
        without, row["only_a"] = row["only_a"], 0
    if without:
        what = "prompts" if "pairs" in row else "samples of prompts"
        lines.append(f"{without:,} {what} without a reference were not judged.")
    for name in ("a", "b"):
        if row.get(f"only_{name}"):
            lines.append(f"Only in {row[name]}: {row[f'only_{name}']:,} prompts.")
    if row.get("different_prompts"):
        lines.append(
            f"{row['different_prompts']:,} prompts of the same id are not the same text; the judge saw those of "
            f"{row['a']}."
        )
    return lines


def text(found: Scores | Preference, form: str) -> str:
    """Return a summary as ``table``, ``json``, ``csv`` or ``md``."""
    row = found.to_dict()
    if form == "json":
        return flat.as_json({"results": [row]})
    if form in ("csv", "md"):
        write = flat.as_csv if form == "csv" else flat.as_md
        named: dict[str, Any] = {}
        for name, value in row.items():
            if name.endswith("interval"):
                named |= {f"{name}_low": value[0], f"{name}_high": value[1]}
            elif name != "run":
                named[name] = value
        return write(list(named), [list(named.values())])
    return _preference(row) if "win_rate" in row else _scores(row)


def _scores(row: Mapping[str, Any]) -> str:
    counts = ["prompts", "samples", "scored", "unusable"]
    name = ", ".join(part for part in (row["model"], row["task"]) if part) or row["run"]["dumps"][0]["dump"]
    low, high = row["interval"]
    cells = [
        name,
        "" if row["score"] is None else f"{row['score']:.3f}",
        "" if low is None else f"{low:.3f} to {high:.3f}",
        *(f"{row[count]:,}" for count in counts),
    ]
    headers = ["dump", "score", "95% interval", *counts]
    return f"{render.table(headers, [cells], right=headers[1:], wrap=('dump',))}\n\n{row['signature']}"


def _preference(row: Mapping[str, Any]) -> str:
    counts = ["prompts", "pairs", "wins", "ties", "losses", "without_verdict"]
    cells = [
        f"{row['a']} against {row['b']}",
        _share(row["win_rate"]),
        _between(row["interval"]),
        *(f"{row[count]:,}" for count in counts),
    ]
    headers = ["dumps", "wins", "95% interval", *(count.replace("_", " ") for count in counts)]
    headers[1] = "win rate"
    table = render.table(headers, [cells], right=headers[1:], wrap=("dumps",))
    shown, between = _share(row["position_bias"]), _between(row["position_interval"])
    lines = [table, ""]
    if shown:
        lines.append(
            f"The answer shown first was preferred {shown} of the time ({between or 'no interval'}; 50% without bias); "
            f"{row['contradicted']:,} of {row['pairs']:,} pairs turned with the order."
        )
    if row["identical"]:
        lines.append(f"Pairs of equal texts, which are ties: {row['identical']:,}.")
    return "\n".join([*lines, row["signature"]])


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.2%}"


def _between(interval: list[float | None]) -> str:
    low, high = interval
    return "" if low is None or high is None else f"{low:.2%} to {high:.2%}"
