"""``divfast similarity``."""

from __future__ import annotations

from typing import Any

import click

from divfast.cli import options


@click.command()
@click.argument("dumps", nargs=-1, required=True, metavar="DUMP...", type=click.Path())
@options.choice(
    "--statistic",
    options.STATISTICS,
    "mean: mean cosine of all pairs of a sample of the row's model and one of the column's. nearest: of each sample of "
    "the row's model, the cosine with the nearest of the column's.",
)
@options.scopes(
    "Within every prompt, among the first samples of all prompts, or among all samples; repeatable. Default: "
    "prompt and pooled."
)
@options.encoding
@options.reading
@options.seed("bootstrap interval")
@options.working
@options.formats("table", "json", "csv", "md")
@options.output(
    "DIR",
    "Write DIR/similarity.json and DIR/prompts.parquet (a row a prompt) instead of printing; with --format, "
    "as well.",
)
@options.debug
def similarity(
    dumps: tuple[str, ...], no_cache: bool, form: str | None, output: str | None, **settings: Any
) -> None:
    """Show how alike the outputs of several models are.

    A DUMP is what one model answered; dumps are matched by the ids of their prompts, and compared on those that all of
    them have. The matrix has a row and a column for each model; on its diagonal a model is compared with itself.

    \b
    Example:
      divfast similarity llama.jsonl qwen.jsonl olmo.jsonl --encoder minilm
    """
    from divfast.cli import progress, render, render_similarity
    from divfast.model_similarity import similarity as measure
    from divfast.output import check_folder

    if output is not None:
        check_folder(output)
    with progress.bars() as shown:
        report = measure(list(dumps), cache=not no_cache, progress=shown, **settings)
    for remark in render_similarity.similarity_remarks(report):
        click.echo(remark, err=True)
    if output is not None:
        report.save(output)
        click.echo(render.wrote(output, "similarity.json", "prompts.parquet"), err=True)
    if output is None or form is not None:
        click.echo(render_similarity.similarity_text(report, form or "table"))
