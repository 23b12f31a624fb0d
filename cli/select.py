"""``divfast select``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from divfast.cli import options

if TYPE_CHECKING:
    from divfast.selected import Selection

_OF = {"all": "all samples", "selected": "selected", "random": "random"}


@click.command()
@click.argument("dumps", nargs=-1, required=True, metavar="DUMP...", type=click.Path())
@click.option(
    "-k",
    "k",
    type=click.IntRange(min=1),
    metavar="N",
    required=True,
    help="How many samples: in all, or of every prompt with --scope prompt.",
)
@options.choice(
    "--method",
    options.SELECT_METHODS,
    "k_centre: next is the sample farthest from all that were picked; vendi: the one with which the Vendi Score of the "
    "subset is highest.",
)
@click.option(
    "--q",
    type=float,
    metavar="Q",
    default=1.0,
    show_default=True,
    help="Order of the Vendi Score; for --method vendi from 0.5 to 2.",
)
@options.choice("--scope", options.SELECT_SCOPES, "N of all samples of all dumps, or N of each prompt's.")
@options.encoding
@options.reading
@options.join
@click.option(
    "--draws",
    type=click.IntRange(0, 1_000_000),
    metavar="N",
    default=8,
    show_default=True,
    help="Random subsets of the same size to compare with.",
)
@options.seed("random subsets; the selection does not depend on it")
@options.running
@options.formats("table", "json", "csv", "md")
@options.output(
    "FILE",
    "Write the selected samples as JSON Lines, a dump: input_id, prompt, outputs, rank, position, distance or "
    "vendi, and the columns of the dump cut alike.",
)
@options.debug
def select(
    dumps: tuple[str, ...], form: str | None, output: str | None, no_cache: bool, **settings: Any
) -> None:
    """Select the most diverse samples of one or more dumps.

    The subset grows by one sample at a time: the one farthest from all that were picked (k_centre), or the one with
    which the Vendi Score of the subset is highest (vendi). The table compares it with all samples and with random
    subsets of the same size: its Vendi Score, and its coverage radius, the distance (one minus the cosine) from the
    sample that is farthest from the subset to the nearest one in it.

    \b
    Example:
      divfast select dump.jsonl -k 100 --encoder minilm -o subset.jsonl
    """
    from divfast.cli import progress, render
    from divfast.deduplicated import check_files
    from divfast.selection import select as select_samples

    check_files(dumps, output, None, join=settings["join"])
    with progress.bars() as shown:
        found = select_samples(list(dumps), cache=not no_cache, progress=shown, **settings)
    for remark in render.reading_remarks(found.counts, found.run["dumps"]):
        click.echo(remark, err=True)
    if found.short:
        click.echo(_short(found), err=True)
    if output is not None:
        found.save(output)
        click.echo(f"Wrote {output}.", err=True)
    click.echo(_text(found, form or "table"))


def _short(found: Selection) -> str:
    """Return what is to be said where there were fewer samples than were asked for."""
    from divfast.cli.render import many

    if found.recipe.scope == "pooled":
        return f"All {many(len(found), 'sample')} were taken: there are no {found.recipe.k:,}."
    are = "has" if found.short == 1 else "have"
    return (
        f"{many(found.short, 'prompt')} {are} fewer than {found.recipe.k:,} samples: all of these were taken."
    )


def _text(found: Selection, form: str) -> str:
    """Return what was gained as ``table``, ``json``, ``csv`` or ``md``."""
    from divfast.cli import flat, render

    summary = found.to_dict()
    if form == "json":
        return flat.as_json(summary)
    rows = summary["results"]
    if form in ("csv", "md"):
        headers = ["of", "samples", "vendi", "radius", "signature"]
        lines = [[row[name] for name in headers] for row in rows]
        return flat.as_table(form, headers, lines, code=["signature"])
    cells = []
    for row in rows:
        line = [_OF[row["of"]], f"{row['samples']:,}"]
        for name in ("vendi", "radius"):
            value = row[name]
            line.append("undefined" if value is None else render.number(value, 3))
            ends = row.get(f"{name}_range")
            line.append("" if ends is None else f"{ends[0]:.3f} to {ends[1]:.3f}")
        cells.append(line)
    recipe = found.recipe
    if len(rows) > 2:
        cells[2][0] = f"random, mean of {recipe.draws:,}"
    headers = ["", "samples", f"Vendi, q = {recipe.q:g}", "range", "radius", "range "]
    if not any("range" in name for row in rows for name in row):
        headers, cells = (
            [headers[i] for i in (0, 1, 2, 4)],
            [[line[i] for i in (0, 1, 2, 4)] for line in cells],
        )
    parts = [render.table(headers, cells, right=headers[1:])]
    if recipe.scope == "prompt":
        parts.append("\nVendi Score and radius are means over prompts.")
    return "\n".join([*parts, "", str(found.signature)])
