"""``divfast compare``."""

from __future__ import annotations

from typing import Any

import click

from divfast.cli import options


@click.command()
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@options.metrics(
    "Column of groups.parquet, such as ead or ead@k=4, by default all that both runs have; for dumps NAME or "
    "NAME:KEY=VALUE,..., by default as in divfast score; repeatable."
)
@options.scopes("Scopes to compare; repeatable. Default: all.")
@click.option(
    "--allow",
    multiple=True,
    metavar="PART",
    help="Part of the signature that may differ: metric, preset, tok, enc, judge, v; repeatable.",
)
@click.option(
    "--top",
    type=click.IntRange(min=0),
    metavar="N",
    default=3,
    show_default=True,
    help="Name the N prompts that went up most, and the N that went down most.",
)
@options.seed("bootstrap intervals, of the test and of random subsets")
@click.option("--preset", type=click.Choice(options.PRESETS), help="For dumps, as in divfast score.")
@click.option("--tokenizer", metavar="NAME", help="For dumps, as are all options that follow.")
@options.plugins
@click.option("--vocab-size", type=click.IntRange(min=1), metavar="V", help="As in divfast score.")
@options.rarefying
@options.encoding
@options.programs
@options.judging
@options.partitions
@options.answering
@options.reading
@options.running
@options.formats("table", "json", "csv", "md")
@options.output(
    "DIR",
    "Write DIR/comparison.json and DIR/pairs.parquet (a row a prompt) instead of printing; with --format, "
    "as well.",
)
@options.debug
@click.pass_context
def compare(
    context: click.Context,
    /,
    a: str,
    b: str,
    metrics: tuple[str, ...],
    scopes: tuple[str, ...],
    allow: tuple[str, ...],
    top: int,
    seed: int,
    form: str | None,
    output: str | None,
    **settings: Any,
) -> None:
    """Compare two runs, prompt by prompt.

    A and B are dumps, or folders that divfast score -o wrote, FOLDER:MODEL where one holds several dumps. Differences
    are B minus A over the prompts that both have, with a bootstrap interval, the p-value of a sign-flip test and that
    corrected for the number of metrics, Cohen's d_z, the numbers of prompts that went up and down, and the prompts
    that moved most.

    Numbers are compared only where their signatures agree in all but the data, and where K or the number of rows is
    the same; at unequal ones, score both with --at-k or --at-n first.

    \b
    Example:
      divfast compare base.jsonl dpo.jsonl -m ead -m cosine --encoder minilm
    """
    import divfast
    from divfast.cli import progress, render, render_compare
    from divfast.output import check_folder

    if output is not None:
        check_folder(output)
    # Runs were scored as they were: the library refuses what it is told to score differently.
    given = click.core.ParameterSource.DEFAULT
    scoring = {name: value for name, value in settings.items() if context.get_parameter_source(name) != given}
    if scoring.pop("no_cache", False):
        scoring["cache"] = False
    with progress.bars() as shown:
        comparison = divfast.compare(
            a,
            b,
            list(metrics) or None,
            scopes=scopes,
            allow=allow,
            seed=seed,
            top=top,
            progress=shown,
            **scoring,
        )
    for remark in render_compare.compare_remarks(comparison):
        click.echo(remark, err=True)
    if output is not None:
        comparison.save(output)
        click.echo(render.wrote(output, "comparison.json", "pairs.parquet"), err=True)
    if output is None or form is not None:
        click.echo(render_compare.compare_text(comparison, form or "table"))
