"""What ``divfast similarity`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from divfast.cli import flat, render

if TYPE_CHECKING:
    from divfast.model_similarity import Similarities

_SCOPES = {
    "prompt": "prompt: mean over prompts",
    "first": "first: the first sample of every prompt, together",
    "pooled": "pooled: all samples together",
}


def similarity_text(report: Similarities, form: str) -> str:
    """Return a report as ``table``, ``json``, ``csv`` or ``md``."""
    return _table(report) if form == "table" else flat.of_report(report.to_dict(), form)


def _table(report: Similarities) -> str:
    first = report.results[0]
    lines = []
    for scope in report.scopes:
        values = report.matrix(scope)
        digits = flat.decimals(values.ravel().tolist())
        rows = [
            [name, *(render.number(value, digits) for value in row)]
            for name, row in zip(report.models, values.tolist(), strict=True)
        ]
        grid = render.table([first.statistic, *report.models], rows, right=report.models)
        lines += [render.bold(_SCOPES[scope]), "", grid, ""]
    by_scope = [[each for each in report if each.scope == scope] for scope in report.scopes]
    dumps = [_dump(fact) for fact in report.run["dumps"]]
    headers = ["model", "prompts", "samples", "data", "file"]
    listed = render.table(headers, dumps, right=("prompts", "samples"), wrap=("file",))
    return "\n".join([*lines, *render.signatures(by_scope), "", listed])


def _dump(fact: dict[str, Any]) -> list[str]:
    size = [f"{fact[key]:,}" for key in ("prompts", "samples")]
    return [str(fact["model"]), *size, fact["data"], fact["dump"] or ""]


def similarity_remarks(report: Similarities) -> list[str]:
    """Return what happened on the way to the numbers, one line each."""
    lines = []
    for model, left in report.run["left_out"].items():
        named = ", ".join(map(str, left["ids"])) + (", ..." if left["prompts"] > len(left["ids"]) else "")
        lines.append(
            f"Not in all dumps, and so left out of {model}: {render.many(left['prompts'], 'prompt')} ({named})."
        )
    lines += render.reading_remarks(report.counts, report.run["dumps"])
    if undefined := sum(result.undefined > 0 for result in report if result.scope == "prompt"):
        lines.append(
            f"Undefined for some prompts in {render.many(undefined, 'pair')} of models: one sample has no other."
        )
    return lines
