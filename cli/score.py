"""``divfast score``."""

from __future__ import annotations

from typing import Any

import click

from divfast.cli import options


@click.command()
@click.argument("dumps", nargs=-1, required=True, metavar="DUMP...", type=click.Path())
@options.metrics(
    "NAME or NAME:KEY=VALUE,...; repeatable. Default: ead, distinct:n=1 and distinct:n=2; with an encoder or "
    "embeddings cosine and vendi as well, with a judge nli."
)
@options.scopes(
    "The samples of every prompt, the first sample of every prompt together, or all samples together; "
    "repeatable. Default: prompt and pooled."
)
@options.choice(
    "--preset", options.PRESETS, "paper reproduces the published code of arXiv 2604.16027, quirks included."
)
@click.option(
    "--tokenizer",
    metavar="NAME",
    help="One that divfast metrics lists, or a Hugging Face tokenizer by name, folder or file. Default: that of each "
    "metric.",
)
@options.plugins
@click.option(
    "--vocab-size",
    type=click.IntRange(min=1),
    metavar="V",
    help="Words that EAD assumes there to be. Default: 50257, or those of a Hugging Face tokenizer.",
)
@options.rarefying
@options.encoding
@options.programs
@options.judging
@options.partitions
@options.answering
@options.reading
@options.join
@options.seed("bootstrap interval and of random subsets")
@options.running
@options.formats("table", "json", "csv", "md")
@options.output(
    "DIR",
    "Write DIR/report.json and DIR/groups.parquet (a row a prompt) instead of printing; with --format, "
    "as well.",
)
@click.option(
    "--per-sample",
    is_flag=True,
    help="Also write DIR/samples.parquet (a row a sample), for the metrics that have values per sample.",
)
@click.option("--strict", is_flag=True, help="Exit 3 where a value is undefined.")
@options.debug
def score(
    dumps: tuple[str, ...],
    metrics: tuple[str, ...],
    no_cache: bool,
    form: str | None,
    output: str | None,
    per_sample: bool,
    strict: bool,
    **settings: Any,
) -> None:
    """Score the diversity of the outputs in one or more dumps.

    A DUMP is a file that a sampler or harness wrote, compressed or not, a pattern such as 'runs/*.jsonl.gz',
    or - for standard input. Several dumps make one table with a row for each.

    Results go to standard output, with the signature of every number: what it was made of. Exit 0: done; 1:
    the data or the backend will not do; 2: the command line will not do; 3: undefined values, with --strict.

    \b
    Example:
      divfast score base.jsonl dpo.jsonl -m ead -m vendi:q=2 --encoder minilm -o run/
    """
    import divfast
    from divfast.cli import progress, render
    from divfast.output import check_folder

    if output is not None:
        check_folder(output, per_sample=per_sample)
    elif per_sample:
        raise click.UsageError("--per-sample needs -o DIR: the values go to DIR/samples.parquet.")
    with progress.bars() as shown:
        report = divfast.score(
            list(dumps),
            list(metrics) or None,
            cache=not no_cache,
            progress=shown,
            per_sample=per_sample,
            **settings,
        )
    for remark in render.score_remarks(report):
        click.echo(remark, err=True)
    if output is not None:
        report.save(output)
        names = ["report.json", "groups.parquet", *(["samples.parquet"] if per_sample else [])]
        click.echo(render.wrote(output, *names), err=True)
    if output is None or form is not None:
        click.echo(render.score_text(report, form or "table"))
    if strict and any(result.undefined for result in report):
        raise click.exceptions.Exit(3)
