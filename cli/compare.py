"""``divfast compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from divfast.cli import options


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "-m",
    "--metric",
    "metrics",
    multiple=True,
    metavar="COLUMN",
    help="Column of groups.parquet, such as ead or ead@k=4; repeatable. Default: all that both runs have.",
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(options.SCOPES),
    default=options.SCOPES,
    help="Scopes to compare; repeatable. Default: all.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="PART",
    help="Part of the signature that may differ: metric, preset, tok, enc, judge, v; repeatable.",
)
@options.seed("bootstrap interval and of the test")
@options.formats("table", "json", "csv", "md")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="DIR",
    help="Write DIR/comparison.json and DIR/pairs.parquet (a row a prompt) instead of printing; with --format, "
    "as well.",
)
@options.debug
def compare(
    a: str, b: str, metrics: tuple[str, ...], form: str | None, output: str | None, **settings: Any
) -> None:
    """Compare two runs, prompt by prompt.

    A and B are folders that divfast score -o wrote, FOLDER:MODEL where one holds several dumps. Differences are B
    minus A over the prompts that both have, with a bootstrap interval and the p-value of a sign-flip test, and that
    corrected for the number of metrics.

    Numbers are compared only where their signatures agree in all but the data, and where K or the number of rows is
    the same; at unequal ones, score both with --at-k or --at-n first.

    \b
    Example:
      divfast compare base/ dpo/ -m ead@k=8 -m cosine
    """
    import divfast
    from divfast.cli import render_compare
    from divfast.output import check_folder

    if output is not None:
        check_folder(output)
    comparison = divfast.compare(a, b, list(metrics) or None, **settings)
    for remark in render_compare.compare_remarks(comparison):
        click.echo(remark, err=True)
    if output is not None:
        comparison.save(output)
        click.echo(f"Wrote {Path(output, 'comparison.json')} and {Path(output, 'pairs.parquet')}.", err=True)
    if output is None or form is not None:
        click.echo(render_compare.compare_text(comparison, form or "table"))
