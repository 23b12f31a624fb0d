"""``divfast verify``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from divfast.cli import options

if TYPE_CHECKING:
    from divfast.quality.verification import Verification


@click.command()
@click.argument("dumps", nargs=-1, required=True, metavar="DUMP...", type=click.Path())
@click.option(
    "--as",
    "verifier",
    type=click.Choice(options.VERIFIERS),
    required=True,
    help="math: equal as mathematics (Math-Verify). gsm8k: equal numbers, after #### or the last one. code: the tests "
    "of its prompt pass. ifeval: every instruction is followed. cruxeval: the same Python literal, or the assertion "
    "holds. truthfulqa: a reference stands in it. exact: equal but for case and white space. regex: what --pattern "
    "captures is. labels: the dump knows already.",
)
@click.option(
    "--preset",
    type=click.Choice(options.PRESETS),
    default="default",
    show_default=True,
    help="paper reproduces the published code of arXiv 2604.16027, quirks included (math, gsm8k, ifeval, truthfulqa).",
)
@click.option(
    "--pattern", metavar="REGEX", help="For regex: one group, around the answer; the last match counts."
)
@click.option(
    "--labels",
    metavar="NAME",
    default="correct",
    show_default=True,
    help="For labels: the field with the verdicts, true and false or 1 and 0.",
)
@click.option(
    "--gold",
    metavar="NAME",
    help="Field with the right answer, or a list of them. Default: gold, else references; for code tests.",
)
@click.option(
    "--problems",
    metavar="FILE",
    type=click.Path(),
    help="File of the problems (JSON Lines, JSON or Parquet, such as HumanEval.jsonl.gz): what a prompt lacks, its "
    "answer or its tests, is taken from the record there that has its id, or else its text.",
)
@click.option(
    "--loose",
    is_flag=True,
    help="For ifeval: correct is the loose verdict, which also tries the sample without its first line, its last line "
    "and its asterisks.",
)
@click.option("--json-field", metavar="NAME", help="Judge this field of samples that are JSON objects.")
@click.option(
    "--limit",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="Processor time for one sample, where a verifier parses or runs it; one that takes longer counts as wrong. "
    "Default: 10, and 3 where it is run.",
)
@click.option(
    "--allow-code-execution",
    is_flag=True,
    help="For code and cruxeval: run what a model wrote, in a sandbox without network and without your files.",
)
@click.option(
    "--sandbox",
    type=click.Choice(options.SANDBOXES),
    default="auto",
    show_default=True,
    help="auto: bubblewrap, else namespaces. rlimits: limits alone, for a machine that may be harmed.",
)
@options.programs_in_samples
@options.seed("bootstrap interval")
@options.reading
@options.join
@options.working
@options.formats("table", "json", "csv", "md")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="JSON Lines, compressed where the name ends in .gz. Default: beside the dump, as NAME.verified.jsonl.",
)
@options.debug
def verify(dumps: tuple[str, ...], join: bool, output: str | None, form: str | None, **settings: Any) -> None:
    """Judge every sample right or wrong.

    The dump is written again with all its fields, and with the verdicts.

    The new dump has a field correct with a verdict for every output, and why: extracted is the answer that was found
    in it, expected what it was compared with, error what went wrong. Then score its accuracy, pass@k and majority
    votes, or the diversity of what is right:

    \b
      divfast score dump.verified.jsonl -m accuracy -m pass_at_k:k=5 -m majority
      divfast score dump.verified.jsonl --where correct

    No code that a model wrote is run, unless --allow-code-execution says so: then in a sandbox (see divfast doctor).
    A run that was interrupted goes on where it stood.

    Beside the samples a dump needs, for every prompt, what they are compared with; else --gold, --labels or --problems
    say where it is:

    \b
      math, gsm8k, exact, regex, cruxeval  gold, or references
      truthfulqa                           references, or gold
      code                                 tests, test or test_list; entry_point where they define check(candidate)
      ifeval                               instruction_id_list and kwargs, or tests that holds both
      labels                               correct, a verdict for every sample

    \b
    Example:
      divfast verify dump.jsonl --as math -o dump.verified.jsonl
      divfast verify gsm8k.jsonl --as gsm8k --gold answer
      divfast verify samples.jsonl --as code --allow-code-execution --problems HumanEval.jsonl.gz
    """
    from divfast.cli import progress, render
    from divfast.dumps import stem
    from divfast.quality.verified import verify as verify_dump
    from divfast.readers import find_dumps

    paths = find_dumps(dumps)
    if output is not None and len(paths) > 1 and not join:
        raise click.UsageError("-o names one file: verify the dumps one by one, leave it out, or say --join.")
    done = []
    for parts in [paths] if join else [[path] for path in paths]:
        if output is None and str(parts[0]) == "-":
            raise click.UsageError("standard input has no name: say where to write with -o FILE.")
        file = Path(output) if output else parts[0].with_name(f"{stem(parts[0])}.verified.jsonl")
        with progress.bars() as shown:
            done.append(verify_dump(parts, output=file, progress=shown, **settings))
        for remark in render.reading_remarks(done[-1].run["dumps"][0]["counts"], done[-1].run["dumps"]):
            click.echo(remark, err=True)
        click.echo(f"Wrote {file}.", err=True)
    click.echo(_text(done, form or "table"))


def _text(done: list[Verification], form: str) -> str:
    """Return a summary as ``table``, ``json``, ``csv`` or ``md``."""
    from divfast.cli import flat, render

    found = [one.to_dict() for one in done]
    if form == "json":
        return flat.as_json({"results": found})
    if form in ("csv", "md"):
        write = flat.as_csv if form == "csv" else flat.as_md
        left = ("interval", "errors", "run", "shares")
        named = [{k: value for k, value in one.items() if k not in left} | one["shares"] for one in found]
        names = list(dict.fromkeys(name for row in named for name in row))
        return write(names, [[row.get(name) for name in names] for row in named])
    counts = ["prompts", "samples", "correct", "incorrect", "no_verdict", "unparseable"]
    rows = []
    for one, row in zip(done, found, strict=True):
        share = "" if row["accuracy"] is None else f"{row['accuracy']:.2%}"
        low, high = row["interval"]
        between = "" if low is None else f"{low:.2%} to {high:.2%}"
        name = ", ".join(part for part in (one.model, one.task) if part) or one.run["dumps"][0]["dump"]
        rows.append([name, share, between, *(f"{row[key]:,}" for key in counts)])
    headers = ["dump", "accuracy", "95% interval", *(name.replace("_", " ") for name in counts)]
    parts = [render.table(headers, rows, right=headers[1:], wrap=("dump",))]
    for one in done:
        parts += ["", *(f"{name} {share:.2%}" for name, share in one.shares.items())]
        parts += [f"{many:,} x {render.one_line(what, 80)}" for what, many in one.errors.items()]
        if "sandbox" in one.run:
            parts.append(f"sandbox: {one.run['sandbox']}")
        parts.append(str(one.signature))
    return "\n".join(parts)
