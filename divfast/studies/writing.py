"""The files of a study: every table in every form, and a summary to begin with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from divfast.output import write_whole
from divfast.studies import summary
from divfast.studies.plan import Study
from divfast.studies.tabular import as_csv, as_md, as_tex, md_table, one_line, tex_table

FORMS = ("parquet", "csv", "md", "tex")


def write_tables(
    folder: Path, study: Study, tables: Mapping[str, pa.Table], run: Mapping[str, Any], names: Iterable[str]
) -> None:
    """Write every table as ``NAME.parquet``, ``.csv``, ``.md`` and ``.tex``, a summary, ``study.json``: all or none.

    Of all `names` that tables have, those that are not among them now are removed where an earlier study left them.

    Raises
    ------
    OutputError
        Where the folder or a file cannot be written.
    """
    texts = {
        "study.json": json.dumps({"study": study.title, "run": dict(run)}, indent=2, allow_nan=False),
        "summary.md": summary_md(study, tables, run),
        "summary.tex": summary_tex(study, tables),
    }
    files: dict[Path, Callable[[Path], object]] = {}
    for name, table in tables.items():
        files[folder / f"{name}.parquet"] = lambda path, table=table: pq.write_table(table, path)  # type: ignore[misc]
        for suffix, write in (("csv", as_csv), ("md", as_md), ("tex", as_tex)):
            texts[f"{name}.{suffix}"] = write(table)
    for file, text in texts.items():
        files[folder / file] = lambda path, text=text: path.write_text(  # type: ignore[misc]
            f"{text}\n", encoding="utf-8", newline="\n"
        )
    was_study = (folder / "study.json").is_file()
    write_whole(files)
    for name in names if was_study else ():
        if name not in tables:
            for suffix in FORMS:
                (folder / f"{name}.{suffix}").unlink(missing_ok=True)


def summary_md(study: Study, tables: Mapping[str, pa.Table], run: Mapping[str, Any]) -> str:
    """Return what was found in words and few tables, then by task, then what every table and column is."""
    parts = [f"# {one_line(study.title)}", f"{summary.scope(study, tables)}."]
    if run["remarks"]:
        parts.append("\n".join(f"- {one_line(remark)}" for remark in run["remarks"]))
    for section in summary.sections(study, tables):
        parts += [f"## {one_line(section.title)}", *_md(section)]
    shares = list(summary.by_task(study, tables))
    if shares:
        parts.append("## Share of each stage in % of the base, by task")
        for section in shares:
            parts += [f"### {one_line(section.title)}", *_md(section)]
    parts += [
        "## The tables",
        "Each as .parquet and .csv to compute with, .md and .tex to read, an interval in the cell of its number.",
    ]
    for name, title, columns in summary.explained(tables):
        parts += [f"### {name}", title, md_table(("column", "what it is"), columns, plain=False)]
    return "\n\n".join(parts)


def _md(section: summary.Section) -> list[str]:
    words = "\n".join(f"- {one_line(sentence)}" for sentence in section.words)
    table = md_table(section.headers, section.rows) if section.rows else ""
    return [part for part in (words, table, section.note.replace("*", "\\*")) if part]


def summary_tex(study: Study, tables: Mapping[str, pa.Table]) -> str:
    """Return the tables of the summary as LaTeX, each behind a comment that says what it is."""
    parts = ["% Needs the packages booktabs and longtable."]
    for section in (*summary.sections(study, tables), *summary.by_task(study, tables)):
        if section.rows:
            note = f"\n% {section.note}" if section.note else ""
            parts.append(f"% {one_line(section.title)}{note}\n{tex_table(section.headers, section.rows)}")
    return "\n\n".join(parts)
