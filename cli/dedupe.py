"""``divfast dedupe``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from divfast.cli import options

if TYPE_CHECKING:
    from divfast.duplicate_clusters import Clusters

_SHOWN = 70


@click.command()
@click.argument("dumps", nargs=-1, required=True, metavar="DUMP...", type=click.Path())
@options.choice(
    "--scope",
    options.DEDUPE_SCOPES,
    "Duplicates among all samples of all dumps, or among the samples of each prompt.",
)
@click.option(
    "--threshold",
    type=click.FloatRange(0, 1, min_open=True),
    metavar="S",
    default=0.8,
    show_default=True,
    help="Jaccard similarity of shingles from which two texts are near-duplicates.",
)
@click.option("--exact", is_flag=True, help="Only equal texts.")
@options.choice("--unit", options.UNITS, "What a shingle is made of; words suit prose, characters any text.")
@click.option(
    "--shingle",
    type=click.IntRange(1, 1 << 20),
    metavar="N",
    default=5,
    show_default=True,
    help="Units in a shingle; a shorter text is one shingle.",
)
@options.choice(
    "--normalise",
    options.NORMALISATIONS,
    "fold: compare in lower case, with each run of white space as one blank.",
)
@click.option(
    "--hashes",
    type=click.IntRange(1, 1 << 16),
    metavar="N",
    default=128,
    show_default=True,
    help="Length of a MinHash signature.",
)
@click.option(
    "--bands",
    type=click.IntRange(min=1),
    metavar="N",
    help="Bands that the signature is cut into. Default: so that a pair at the threshold is found in 99 cases of 100.",
)
@options.seed("hashes")
@options.reading
@options.join
@options.working
@options.formats("table", "json", "csv", "md")
@options.output(
    "FILE",
    "Write a Parquet file with a row for every sample in the order of the dump: input_id, position, cluster, "
    "size, kept, exact; and dump where there are several.",
)
@click.option(
    "--kept",
    "kept",
    type=click.Path(),
    metavar="FILE",
    help="Write the samples that are kept as JSON Lines: input_id, prompt, outputs.",
)
@options.debug
def dedupe(
    dumps: tuple[str, ...], form: str | None, output: str | None, kept: str | None, **settings: Any
) -> None:
    """Find exact and near-duplicates in one or more dumps.

    Equal texts are exact duplicates. Others are near-duplicates where the Jaccard similarity of their shingles,
    runs of characters or words, reaches the threshold; clusters are chains of these. The first sample of a
    cluster is kept. The dumps themselves are never changed.

    With --scope prompt no pair is missed. Among all samples pairs are found by MinHash and then compared, so
    none is wrong, and one just above the threshold may be missed; the table says with what probability.

    \b
    Example:
      divfast dedupe dump.jsonl --threshold 0.8 -o duplicates.parquet --kept kept.jsonl
    """
    from divfast.cli import progress, render
    from divfast.deduplicated import check_files, write_kept
    from divfast.duplicates import find_duplicates

    reading = {name: settings[name] for name in options.READING}
    check_files(dumps, output, kept, join=settings["join"])
    with progress.bars() as shown:
        found = find_duplicates(list(dumps), progress=shown, **settings)
    for remark in render.reading_remarks(found.counts, found.run["dumps"]):
        click.echo(remark, err=True)
    if output is not None:
        found.save(output)
        click.echo(f"Wrote {output}.", err=True)
    if kept is not None:
        write_kept(found, kept, list(dumps), join=settings["join"], memory=settings["memory"], **reading)
        click.echo(f"Wrote {kept}.", err=True)
    click.echo(_text(found, form or "table"))


def _text(found: Clusters, form: str) -> str:
    """Return a summary as ``table``, ``json``, ``csv`` or ``md``."""
    from divfast.cli import flat, render

    summary = found.to_dict()
    if form == "json":
        return flat.as_json(summary)
    rows = summary["results"]
    if form in ("csv", "md"):
        return flat.as_table(form, list(rows[0]), [list(row.values()) for row in rows])
    several = len(rows) > 1
    headers = ["prompts", "samples", "exact", "near", "kept", "unique", "unique or near"]
    cells = [
        [f"{row[key]:,}" for key in headers[:5]]
        + ["" if row[key] is None else f"{row[key]:.1%}" for key in ("unique_exact", "unique_near")]
        for row in rows
    ]
    headers = ["prompts", "samples", "exact duplicates", "near-duplicates", "kept", "unique", "kept share"]
    wrap: tuple[str, ...] = ()
    if several:
        cells = [[row["dump"] or "all", *line] for row, line in zip(rows, cells, strict=True)]
        headers, wrap = ["dump", *headers], ("dump",)
    parts = [render.table(headers, cells, right=[name for name in headers if name != "dump"], wrap=wrap), ""]
    clusters = render.many(summary["clusters"], "cluster")
    parts.append(f"{clusters}, {summary['clusters_with_duplicates']:,} of them with a duplicate")
    if summary["largest"]:
        largest = [
            [f"{one['size']:,}", f"{one['cluster']:,}", one["input_id"], render.one_line(one["text"], _SHOWN)]
            for one in summary["largest"]
        ]
        listed = render.table(["size", "cluster", "input_id", "first"], largest, right=["size", "cluster"])
        parts += ["", listed]
    if found.recipe.searched:
        parts += ["", f"A pair at the threshold is found with a probability of {found.recall:.4f}."]
    return "\n".join([*parts, "", str(found.signature)])
