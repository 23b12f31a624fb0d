"""``divfast overlap``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from divfast.cli import options

if TYPE_CHECKING:
    from divfast.coverage import Overlap

_SHOWN_PASSAGES = 20


def _searching(command: Callable[..., Any]) -> Callable[..., Any]:
    """How n-grams are made of training text."""
    return options.together(
        command,
        click.option("-n", type=click.IntRange(min=1), metavar="N", help="Tokens in an n-gram. Default: 13."),
        click.option("--tokenizer", metavar="NAME", help="See divfast metrics. Default: words."),
        click.option(
            "--field",
            "fields",
            multiple=True,
            metavar="NAME",
            help="Field of the training text that holds texts; repeatable. Default: text, content, messages, or all "
            "prompts and outputs.",
        ),
        options.on_error,
        options.threads,
        options.memory,
    )


@click.command()
@click.argument("train", nargs=-1, required=True, metavar="TRAIN...", type=click.Path())
@_searching
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(),
    metavar="INDEX",
    help="The file to write; an older index is replaced.",
)
@options.debug
def index(train: tuple[str, ...], output: str, n: int | None, tokenizer: str | None, **settings: Any) -> None:
    """Write the n-grams of a training text into one file, to be searched many times.

    What does not fit in --memory is sorted in runs beside INDEX; for a while that takes as much room again.

    \b
    Example:
      divfast overlap index 'train/*.jsonl.zst' -o train.idx
      divfast overlap train.idx --eval gsm8k.jsonl
    """
    from divfast.cli import progress, render
    from divfast.overlap import TOKENIZER, N, build_index

    with progress.bars() as shown:
        facts = build_index(
            list(train), output, n=n or N, tokenizer=tokenizer or TOKENIZER, progress=shown, **settings
        )
    click.echo(
        f"Wrote {output}: {facts.distinct:,} different {facts.n}-grams of {render.many(facts.documents, 'document')}, "
        f"{render.many(facts.tokens, 'token')}.",
        err=True,
    )


class _WithIndex(click.Command):
    """A command of its own name behind the first word; a training file called index is ./index."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the arguments of the one or the other."""
        if args[:1] == ["index"]:
            return index.make_context(f"{info_name} index", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


@click.command(cls=_WithIndex)
@click.argument("train", nargs=-1, required=True, metavar="TRAIN...", type=click.Path())
@click.option(
    "--eval",
    "evaluation",
    multiple=True,
    required=True,
    metavar="EVAL",
    type=click.Path(),
    help="An evaluation, or a pattern; repeatable.",
)
@click.option(
    "--eval-field",
    "eval_fields",
    multiple=True,
    metavar="NAME",
    help="Field of the evaluations that holds texts; repeatable. Default: the first of prompt, question, problem, "
    "instruction, query, text, ...",
)
@_searching
@click.option("--passages", is_flag=True, help="List the passages that both share.")
@options.seed("bootstrap interval")
@options.formats("table", "json", "csv", "md")
@options.output(
    "DIR",
    "Write DIR/report.json, DIR/documents.parquet and, with --passages, DIR/passages.parquet instead of "
    "printing; with --format, as well.",
)
@click.option("--strict", is_flag=True, help="Exit 3 where a document is too short for an n-gram.")
@options.debug
def overlap(
    train: tuple[str, ...],
    evaluation: tuple[str, ...],
    form: str | None,
    output: str | None,
    strict: bool,
    **settings: Any,
) -> None:
    """Measure how much of an evaluation occurs in a training text.

    The coverage of a document is the share of its tokens that lie in n-grams of the training text; the value is the
    mean over documents. Documents of fewer than n tokens are undefined, and left out of the mean.

    TRAIN is plain text, JSON Lines, Parquet or a dump, compressed or not, or a pattern; or an index, which
    divfast overlap index TRAIN... -o INDEX writes once (its options: divfast overlap index -h).

    \b
    Example:
      divfast overlap 'train/*.jsonl.zst' --eval gsm8k.jsonl --eval math.jsonl --passages
    """
    from divfast.cli import progress, render
    from divfast.output import check_folder
    from divfast.overlap import overlap as measure

    if output is not None:
        check_folder(output)
    with progress.bars() as shown:
        report = measure(list(train), list(evaluation), progress=shown, **settings)
    for remark in _remarks(report):
        click.echo(remark, err=True)
    if output is not None:
        report.save(output)
        names = ["report.json", "documents.parquet", *(["passages.parquet"] if settings["passages"] else [])]
        click.echo(render.wrote(output, *names), err=True)
    if output is None or form is not None:
        click.echo(_table(report) if form in (None, "table") else _flat(report, str(form)))
    if strict and any(result.undefined for result in report):
        raise click.exceptions.Exit(3)


def _flat(report: Overlap, form: str) -> str:
    from divfast.cli import flat

    found = report.to_dict()
    if form == "json" and report.passages is not None:
        found["passages"] = report.passages.to_pylist()
    return flat.of_report(found, form)


def _table(report: Overlap) -> str:
    from divfast.cli import flat, render

    digits = flat.decimals([result.value for result in report])
    rows = [
        [
            result.evaluation,
            render.number(result.value, digits),
            render.interval(result, digits),
            f"{result.documents:,}",
            f"{result.undefined:,}" if result.undefined else "",
            f"{result.covered:,} of {result.tokens:,}",
        ]
        for result in report
    ]
    headers = ["evaluation", "coverage", "95% interval", "documents", "undefined", "tokens covered"]
    parts = [render.table(headers, rows, right=headers[1:]), ""]
    if report.passages is not None and report.passages.num_rows:
        parts += [_passages(report), ""]
    return "\n".join([*parts, *render.signatures([[result] for result in report])])


def _passages(report: Overlap) -> str:
    from divfast.cli import render

    assert report.passages is not None
    rows = []
    for row in report.passages.slice(0, _SHOWN_PASSAGES).to_pylist():
        train = f"{row['train']}:{row['train_line']}" if row["train"] is not None else ""
        text = " ".join((row["text"] or "").split())
        where = f"{row['evaluation']}:{row['line']}" + (f" ({row['document']})" if row["document"] else "")
        rows.append([where, f"{row['token_start']}-{row['token_stop']}", text, train])
    return render.table(
        ["passage of", "tokens", "text", "first in"], rows, wrap=("text", "first in", "passage of")
    )


def _remarks(report: Overlap) -> list[str]:
    from divfast.cli import render

    lines = []
    if skipped := report.run["counts"].get("skipped"):
        lines.append(f"Bad records skipped: {skipped:,}.")
    if short := sum(result.undefined for result in report):
        lines.append(f"Undefined, since shorter than one n-gram: {render.many(short, 'document')}.")
    if report.passages is not None and report.passages.num_rows > _SHOWN_PASSAGES:
        lines.append(
            f"Of {report.passages.num_rows:,} passages the table shows {_SHOWN_PASSAGES}; -o DIR writes all."
        )
    return lines
