"""``divfast bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from divfast.cli import options


# Also run by itself, by bench/run.py, where no group says what the help option is.
@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("cases", metavar="[CASE]...", nargs=-1)
@click.option("--list", "listing", is_flag=True, help="Name the cases and end.")
@click.option("--quick", is_flag=True, help="One small size of each, for a first look.")
@click.option(
    "--peers/--no-peers", default=True, help="Run the peers beside divfast, and compare the values."
)
@click.option(
    "--paper-code",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Checkout of github.com/ckarouzos/where-diversity-collapses, a peer. Default: DIVFAST_PEER_PAPER.",
)
@click.option(
    "--data",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Folder of real dumps. Default: DIVFAST_SHARED/data.",
)
@click.option(
    "--json", "file", metavar="FILE", type=click.Path(path_type=Path), help="Put the rows into FILE."
)
@options.formats("table", "json", "md")
@options.debug
def bench(
    cases: tuple[str, ...],
    listing: bool,
    quick: bool,
    peers: bool,
    paper_code: Path | None,
    data: Path | None,
    file: Path | None,
    form: str | None,
) -> None:
    """Measure throughput here, with the peers beside it.

    Values are compared first; where they differ, no time is reported. Without CASE, all cases run.

    \b
    Example:
      divfast bench ead cosine --quick
    """
    from divfast.cli import flat, render
    from divfast.throughput import results
    from divfast.throughput.cases import CASES, find_case
    from divfast.throughput.harness import run_cases

    if listing:
        click.echo(
            render.table(["case", "what"], [[case.name, case.summary] for case in CASES], wrap=["what"])
        )
        return
    chosen = [find_case(name) for name in cases] or list(CASES)

    def say(what: str) -> None:
        click.echo(what, err=True)

    rows: list[dict[str, Any]] = []
    for row in run_cases(chosen, data=data, paper_code=paper_code, quick=quick, peers=peers, progress=say):
        rows.append(row)
        if file is not None:
            # Row by row: what was measured stays when the rest is interrupted.
            results.save([row], file)
    if form == "json":
        click.echo(flat.as_json(rows))
        return
    lines = results.beside(rows)
    if form == "md":
        click.echo(results.markdown(results.HEADERS, lines))
    else:
        right = ("times as fast", "at least", "peak MB", "peer's")
        click.echo(render.table(results.HEADERS, lines, right=right, wrap=("size",)))
    for reason in results.reasons(rows):
        say(reason)
    if any(row["status"] in ("differs", "failed") for row in rows):
        raise click.exceptions.Exit(1)
