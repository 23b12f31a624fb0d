"""``divfast judge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from divfast.cli import options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from divfast.judging.pairwise import Preference
    from divfast.judging.scores import Scores

# Written out because the module that holds them imports NumPy; a test compares.
RUBRICS = ("auto", "score", "checklist")


class Many(click.ParamType[str | int]):
    """A number, or one of a few words."""

    name = "many"

    def __init__(self, *words: str) -> None:
        self.words = words

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | int:
        """Return the word or the number."""
        if value in self.words:
            return str(value)
        if not str(value).isdecimal() or int(value) < 1:
            words = ", ".join(self.words)
            self.fail(f"{value!r} is none of {words}, and no whole number of at least 1.", param, ctx)
        return int(value)


@click.command()
@click.argument("dumps", nargs=-1, metavar="DUMP [OTHER]", type=click.Path())
@click.option(
    "--base-url",
    metavar="URL",
    help="Server that speaks the OpenAI protocol: http://HOST:PORT/v1. Its key is taken from OPENAI_API_KEY.",
)
@click.option("--model", metavar="NAME", help="The judge, as the server calls it. Default: its only one.")
@click.option(
    "--rubric",
    type=click.Choice(RUBRICS),
    default="auto",
    show_default=True,
    help="For one dump. checklist: with the questions of the dump's field checklist, as WildBench has them; auto: "
    "where it has that field.",
)
@click.option(
    "--samples",
    type=Many("all"),
    default="all",
    show_default=True,
    metavar="all|N",
    help="For one dump: score only the first N of every prompt.",
)
@click.option(
    "--pairs",
    type=Many("first", "all"),
    default="first",
    show_default=True,
    metavar="first|all|N",
    help="For two dumps: compare the first samples, every one with every one, or the first N by their places.",
)
@click.option("--template", metavar="FILE", type=click.Path(), help="What to ask instead; see --show-prompt.")
@click.option("--show-prompt", is_flag=True, help="Print what the judge is asked, and do nothing else.")
@click.option(
    "--max-tokens",
    type=click.IntRange(min=1),
    default=2048,
    show_default=True,
    metavar="N",
    help="Of one answer of the judge, its thinking included.",
)
@click.option(
    "--concurrency",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    metavar="N",
    help="Requests at a time.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for one answer.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=6,
    show_default=True,
    metavar="N",
    help="How often to ask again where the server is full, broken or gone.",
)
@click.option("--no-cache", is_flag=True, help="Do not keep answers on disk, and do not look there.")
@click.option("--explain", is_flag=True, help="For one dump: also write what the judge said.")
@click.option(
    "--keep", multiple=True, metavar="NAME", help="For one dump: a further field to write again; repeatable."
)
@options.seed("bootstrap interval")
@options.reading
@options.memory
@options.formats("table", "json", "csv", "md")
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="JSON Lines, compressed where the name ends in .gz. For one dump by default beside it, as NAME.judged.jsonl; "
    "for two a line for each pair, by default nowhere.",
)
@options.debug
def judge(
    dumps: tuple[str, ...],
    base_url: str | None,
    model: str | None,
    show_prompt: bool,
    form: str | None,
    no_cache: bool,
    **settings: Any,
) -> None:
    """Let a language model score samples, or say which are better.

    For what no verifier can tell right from wrong. With one dump, every sample gets a score from 1 to 10, and the dump
    is written again with a field scores. With two, the judge says for each prompt which sample it prefers, once in
    either order, and what is printed is how often the first dump wins.

    The judge answers at temperature 0. What it said is kept: the same call asks nothing again, and one that was
    interrupted goes on. An answer without a verdict that can be read is asked for once more, then counted and left out.

    \b
      divfast score dump.judged.jsonl -m cosine --where 'scores>=7' --encoder minilm
      divfast score dump.judged.jsonl -m best_of

    \b
    Example:
      divfast judge dpo.jsonl base.jsonl --base-url http://localhost:8000/v1 --model NAME
    """
    if show_prompt:
        click.echo(_shown(len(dumps), settings["rubric"], settings["template"]))
        return
    if not 1 <= len(dumps) <= 2:
        raise click.UsageError("name one dump to score, or two to compare.")
    if base_url is None:
        raise click.UsageError("name the server of the judge: --base-url http://HOST:PORT/v1.")
    _refuse_of_the_other(len(dumps))
    from divfast.cli import progress, render, render_judge
    from divfast.dumps import total_counts
    from divfast.judging.judge import open_language_judge

    serving = {name: settings.pop(name) for name in ("max_tokens", "concurrency", "timeout", "retries")}
    found: Scores | Preference
    with (
        progress.bars() as shown,
        open_language_judge(base_url, model, cache=not no_cache, **serving) as asked,
    ):
        if len(dumps) == 1:
            found = _score(dumps[0], asked, settings | {"progress": shown})
        else:
            found = _compare(dumps, asked, settings | {"progress": shown})
    facts = found.run["dumps"]
    for remark in [*render.reading_remarks(total_counts(facts), facts), *render_judge.remarks(found)]:
        click.echo(remark, err=True)
    click.echo(render_judge.text(found, form or "table"))


def _score(dump: str, asked: Any, settings: Mapping[str, Any]) -> Scores:
    from divfast.dumps import stem
    from divfast.judging.scores import score_samples

    given = dict(settings)
    many, output = given.pop("samples"), given.pop("output")
    given.pop("pairs")
    if output is None and dump == "-":
        raise click.UsageError("standard input has no name: say where to write with -o FILE.")
    file = Path(output) if output else Path(dump).with_name(f"{stem(Path(dump))}.judged.jsonl")
    found = score_samples(dump, asked, file, samples=None if many == "all" else many, **given)
    click.echo(f"Wrote {file}.", err=True)
    return found


def _compare(dumps: tuple[str, ...], asked: Any, settings: Mapping[str, Any]) -> Preference:
    from divfast.judging.pairwise import prefer

    given = {name: value for name, value in settings.items() if name not in _OF_ONE}
    found = prefer(dumps[0], dumps[1], asked, **given)
    if given["output"] is not None:
        click.echo(f"Wrote {given['output']}.", err=True)
    return found


# Options that only one of the two ways takes.
_OF_ONE = ("rubric", "samples", "explain", "keep")
_OF_TWO = ("pairs",)


def _refuse_of_the_other(many: int) -> None:
    context = click.get_current_context()
    for name in _OF_TWO if many == 1 else _OF_ONE:
        if context.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"--{name} is for {'two dumps' if many == 1 else 'one dump'}.")


def _shown(many: int, rubric: str, template: str | None) -> str:
    """Return the question for two dumps, or for one; both where no dump is named."""
    from divfast.judging.templates import find_template

    kinds = ["pair"] if many == 2 else [rubric] if rubric != "auto" else ["score", "checklist"]
    if many == 0 and rubric == "auto" and template is None:
        kinds = ["score", "checklist", "pair"]
    if template is not None:
        return find_template(kinds[0], template).text.rstrip()
    return "\n\n".join(f"# {kind}\n{find_template(kind).text.rstrip()}" for kind in kinds)
