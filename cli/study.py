"""``divfast study``."""

from __future__ import annotations

from pathlib import Path

import click

from divfast.cli import options


class Means(click.ParamType[tuple[str, str]]):
    """``FILE``, or ``METRIC=FILE``."""

    name = "means"

    def convert(
        self, value: str | tuple[str, str], param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return the name of the metric, empty where the file says it, and the file."""
        if isinstance(value, tuple):
            return value
        name, equals, file = value.partition("=")
        return (name, file) if equals else ("", name)


@click.command()
@click.argument("file", metavar="STUDY.yaml", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="DIR",
    help="Write every table as Parquet, CSV, Markdown and LaTeX, and keep what was scored: the next run goes on "
    "from it.",
)
@click.option(
    "--dumps",
    type=click.Path(),
    metavar="FOLDER",
    help="Where names of dumps begin. Default: at the study file.",
)
@click.option(
    "--means",
    multiple=True,
    type=Means(),
    metavar="[METRIC=]FILE",
    help="Means by model and task (CSV) instead of dumps; repeatable. Without intervals and tests.",
)
@click.option(
    "--intersect",
    is_flag=True,
    help="Where models have other prompts, or means lack tasks, go on with those that are everywhere.",
)
@click.option(
    "--allow-code-execution",
    is_flag=True,
    help="Let verifiers run programs that models wrote, in a sandbox; no study file can say so.",
)
@click.option(
    "--table",
    "chosen",
    type=click.Choice(options.STUDY_TABLES),
    help="Print this table whole. Default: a summary.",
)
@options.seed("bootstrap, of random subsets and of the sign flips")
@options.working
@options.formats("table", "json", "csv", "md", "tex")
@options.debug
def study(
    file: str,
    output: str | None,
    dumps: str | None,
    means: tuple[tuple[str, str], ...],
    intersect: bool,
    allow_code_execution: bool,
    chosen: str | None,
    seed: int,
    threads: int | None,
    memory: int | None,
    form: str | None,
) -> None:
    """Find where along lineages of checkpoints diversity is lost.

    STUDY.yaml names models, lineages (stages in order, several models a stage where need be), tasks, the pattern of
    the dumps, metrics, a verifier for each task that has one, and factors such as the temperature.

    For every lineage, task and metric: the share of each stage in percent of the base, with a 95% interval over
    prompts and a p-value that is paired by prompt and corrected for the number of tests; what is left among right
    samples; accuracy and what voting gains; whether it is only length; ranks of models. What follows from these is
    said in words; DIR/summary.md has them too. Only dumps that are new or have changed are scored.

    \b
    Example:
      divfast study olmo3.yaml -o runs/olmo3
    """
    from divfast.cli import progress, render_study
    from divfast.studies import study as conduct

    if form in ("csv", "md", "tex") and chosen is None:
        raise click.UsageError(f"--format {form} is of one table: name it with --table.")
    if len(dict(means)) < len(means):
        raise click.UsageError("several --means must differ in name: say METRIC=FILE for each.")
    with progress.bars() as shown:
        findings = conduct(
            file,
            output,
            dumps=dumps,
            means=dict(means),
            intersect=intersect,
            allow_code_execution=allow_code_execution,
            seed=seed,
            threads=threads,
            memory=memory,
            progress=shown,
        )
    for remark in render_study.remarks(findings):
        click.echo(remark, err=True)
    if output is not None:
        names = ", ".join(findings.tables)
        told = f"summary.md to begin with; {names}, each as .parquet, .csv, .md and .tex."
        click.echo(f"Wrote {Path(output)}: {told}", err=True)
    click.echo(render_study.text(findings, chosen, form or "table"))
