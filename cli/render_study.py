"""What ``divfast study`` prints."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from divfast.cli import flat, render

if TYPE_CHECKING:
    from divfast.studies import Findings

_WIDTH = 120


def text(findings: Findings, chosen: str | None, form: str) -> str:
    """Return a study as a summary, or one of its tables, as ``table``, ``json``, ``csv``, ``md`` or ``tex``."""
    from divfast.studies import tabular

    if form == "json":
        named = findings.tables if chosen is None else {chosen: findings[chosen]}
        told = {name: table.to_pylist() for name, table in named.items()}
        return flat.as_json({"study": findings.study.title, "tables": told, "run": dict(findings.run)})
    if chosen is None:
        return _summary(findings)
    table = findings[chosen]
    if form == "table":
        headers, rows = tabular.to_read(table)
        return render.table(headers, rows)
    write = {"csv": tabular.as_csv, "md": tabular.as_md, "tex": tabular.as_tex}[form]
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
    """Return what is found over all tasks, in words and few tables."""
    from divfast.studies import summary

    study = findings.study
    parts = [render.bold(f"{study.title}: {summary.scope(study, findings.tables)}")]
    for section in summary.sections(study, findings.tables):
        parts += ["", render.bold(section.title)]
        for sentence in section.words:
            parts += ["", textwrap.fill(sentence, _WIDTH, subsequent_indent="  ", break_on_hyphens=False)]
        if section.rows:
            table = render.table(section.headers, section.rows, right=section.headers[section.names :])
            parts += ["", table, *(["", textwrap.fill(section.note, _WIDTH)] if section.note else [])]
    return "\n".join(parts)
