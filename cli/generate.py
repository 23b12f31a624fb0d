"""``divfast generate``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from divfast.cli import options, options_sampling

if TYPE_CHECKING:
    from divfast.errors import DivfastError
    from divfast.generation.generating import Generation


@click.command()
@click.option("--model", metavar="NAME", help="Name on the hub, folder, or name on the server.")
@click.option(
    "--prompts",
    type=click.Path(),
    metavar="FILE",
    help="A prompt a line, records with a prompt or messages, or a dump; their other columns are carried along.",
)
@click.option("--task", metavar="NAME", help="Prompts of a task (see divfast tasks) instead.")
@click.option(
    "--data", type=click.Path(), metavar="PATH", help="Where the task's data set is, if not on the hub."
)
@click.option(
    "--field", "fields", multiple=True, metavar="NAME=THERE", help="How a column of it is called; repeatable."
)
@click.option("-k", type=click.IntRange(min=1), metavar="K", help="Samples of every prompt. Default: 1.")
@click.option(
    "-o", "--output", type=click.Path(), metavar="FILE", help="The dump, JSON Lines; gone on with if there."
)
@click.option(
    "--study",
    type=click.Path(),
    metavar="STUDY.yaml",
    help="Draw what a study lacks; --model and --task choose.",
)
@options_sampling.sampling
@click.option("--chat/--raw", default=None, help="Default: the chat template, where there is one.")
@click.option(
    "--chat-template", type=click.Path(), metavar="FILE", help="Instead of the model's own (Jinja)."
)
@click.option("--system", metavar="TEXT", help="System message.")
@click.option(
    "--prefix", type=click.Path(), metavar="FILE", help="Text before every prompt, such as examples."
)
@click.option(
    "--reasoning",
    type=click.Choice(options_sampling.REASONING),
    default="apart",
    show_default=True,
    help="What stands before the last </think>: into a field of its own, away, or left in the sample.",
)
@click.option("--no-think", is_flag=True, help="Give the model its block for thinking closed and empty.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Only the first N prompts.")
@click.option("--reader", metavar="NAME", help="Format of the prompts, where they are a dump.")
@click.option("--id-field", metavar="NAME", help="Field that holds the id of the prompt.")
@click.option("--prompt-field", metavar="NAME", help="Field that holds the prompt.")
@options_sampling.serving
@options.on_error
@options.debug
def generate(
    study: str | None,
    fields: tuple[str, ...],
    prefix: str | None,
    chat_template: str | None,
    no_think: bool,
    **settings: Any,
) -> None:
    """Draw K samples of every prompt from a model.

    Every prompt that is finished is appended to the dump: whatever ends the run, the same command goes on where it
    stood, and a higher -k adds samples to those that are there. The first record says how they were drawn; a dump that
    was drawn in another way is refused.

    \b
    Example:
      divfast generate --model MODEL --prompts prompts.jsonl -k 16 --temperature 0.6 --top-p 0.95 -o dump.jsonl
      divfast generate --model MODEL --task gsm8k -k 16 --base-url http://localhost:8000/v1 -o dump.jsonl
    """
    from divfast.cli import progress
    from divfast.generation import generating

    sampling = {name: settings.pop(name) for name in options_sampling.SAMPLING}
    sampling["stop"] = list(sampling["stop"]) or None
    settings["sampling"] = sampling
    settings["fields"] = _named(fields)
    settings["prefix"] = _text(prefix)
    settings["template"] = _text(chat_template)
    settings["think"] = not no_think
    if study is not None:
        _generate_study(study, settings)
        return
    if settings["output"] is None:
        raise click.UsageError("say where to write with -o FILE.")
    settings["k"] = settings["k"] or 1
    settings["engine"] = settings["engine"] or "auto"
    with progress.bars() as shown:
        done = generating.generate(settings.pop("model"), progress=shown, **settings)
    _tell(done)


def _generate_study(study: str, settings: dict[str, Any]) -> None:
    from divfast.cli import progress
    from divfast.errors import BackendError
    from divfast.generation.study_runs import generate_study

    for name in ("prompts", "output"):
        if settings.pop(name) is not None:
            raise click.UsageError(f"--{name} is what the study says: leave out --study or --{name}.")
    # What is not said here must not go before what the study says.
    if settings["think"]:
        del settings["think"]
    failures: list[tuple[str, DivfastError]] = []
    complete = 0
    with progress.bars() as shown:
        drawn = generate_study(study, progress=shown, failed=lambda *one: failures.append(one), **settings)
        for _, done in drawn:
            complete += 1
            _tell(done)
    for name, error in failures:
        click.echo(f"Not drawn: {name}: {' '.join(str(error).split())}", err=True)
    if failures:
        raise BackendError(
            f"{len(failures):,} of {complete + len(failures):,} dumps of the study are not complete.",
            where=study,
            remedy="Mend what is said above; the same command draws what is lacking.",
        )


def _named(fields: tuple[str, ...]) -> dict[str, str]:
    pairs = [one.partition("=") for one in fields]
    if wrong := [name for name, equals, there in pairs if not (name and equals and there)]:
        raise click.UsageError(f"--field is NAME=NAME_THERE, not {wrong[0]!r}.")
    return {name: there for name, _, there in pairs}


def _text(path: str | None) -> str | None:
    from divfast.errors import DataError, os_reason

    if path is None:
        return None
    try:
        return Path(path).read_text("utf-8")
    except UnicodeDecodeError:
        raise DataError("is not UTF-8 text.", where=path) from None
    except OSError as error:
        raise DataError(f"cannot be read: {os_reason(error)}.", where=path) from None


def _tell(done: Generation) -> None:
    for line in done.skipped:
        click.echo(f"Left out: {line}", err=True)
    if done.cut:
        click.echo(f"{done.cut:,} of {done.drawn:,} samples ended at the limit of their length.", err=True)
    if done.cut_thoughts:
        click.echo(
            f"{done.cut_thoughts:,} samples ended in the midst of thinking; it stands in outputs.", err=True
        )
    # Not every server counts tokens.
    tokens = f", {done.tokens:,} tokens" if done.tokens else ""
    speed = f"{tokens} in {done.seconds:,.1f} s" if done.drawn else ""
    engine = done.recipe.get("engine", "")
    format = done.recipe.get("prompt", {}).get("format", "")
    click.echo(
        f"{done.path}: {done.prompts:,} prompts x {done.k} samples ({done.drawn:,} drawn now{speed}; "
        f"{engine}, {format} prompts)"
    )
