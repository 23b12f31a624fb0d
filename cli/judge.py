"""``divfast judge``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from divfast.cli import options

if TYPE_CHECKING:
    from collections.abc import Mapping

    from divfast.judging.preference import Preference
    from divfast.judging.scores import Scores
    from divfast.judging.ways import Way

# Written out because the module that holds them imports NumPy; a test compares.
RUBRICS = ("auto", "score", "checklist", "reference")


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
@click.option(
    "--model",
    metavar="NAME",
    help="The judge, as the server calls it. Default: its only one, or that which the task names.",
)
@click.option(
    "--rubric",
    type=click.Choice(RUBRICS),
    help="For one dump: scores. checklist: with the questions of its field checklist, as WildBench has them; "
    "reference: beside its references; auto: a checklist where it has one. Default: as its task says, else auto.",
)
@click.option(
    "--against-references",
    is_flag=True,
    help="For one dump: compare its samples with its references, as two dumps are compared.",
)
@click.option(
    "--task",
    metavar="NAME",
    help="Judge as this task says (see divfast tasks), a name or a file. Default: the task that the dump names.",
)
@click.option(
    "--gold",
    metavar="NAME",
    help="Field with the reference, or a list of them. Default: references, else gold.",
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
    help="Of what is compared: the first samples, every one with every one, or the first N by their places.",
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
    "for pairs a line for each, by default nowhere.",
)
@options.debug
def judge(
    dumps: tuple[str, ...],
    base_url: str | None,
    model: str | None,
    task: str | None,
    rubric: str | None,
    against_references: bool,
    show_prompt: bool,
    form: str | None,
    no_cache: bool,
    **settings: Any,
) -> None:
    """Let a language model score samples, or say which are better.

    For what no verifier can tell right from wrong. With one dump, every sample gets a score from 1 to 10, and the dump
    is written again with all its fields and a field scores. With two, the judge says for each prompt which sample it
    prefers, once in either order, and what is printed is how often the first dump wins. The references of a data set
    may stand in for a second dump.

    A dump of divfast generate --task is judged as its task says, unless --rubric, --against-references or --template
    say otherwise: summaries against their references, WildBench with its checklists.

    The judge answers at temperature 0. What it said is kept: the same call asks nothing again, and one that was
    interrupted goes on. An answer without a verdict that can be read is asked for once more, then counted and left out.

    \b
      divfast score dump.judged.jsonl -m cosine --where 'scores>=7' --encoder minilm
      divfast score dump.judged.jsonl -m best_of

    \b
    Example:
      divfast judge dpo.jsonl base.jsonl --base-url http://localhost:8000/v1 --model NAME
    """
    if len(dumps) > 2 or not (dumps or show_prompt):
        raise click.UsageError("name one dump to score, or two to compare.")
    if against_references and (len(dumps) == 2 or rubric is not None):
        other = "--rubric, which scores" if rubric is not None else "the second"
        raise click.UsageError(
            f"--against-references compares one dump with its references: leave out {other}."
        )
    said = {"rubric": rubric, "template": settings["template"], "references": against_references}
    if show_prompt:
        click.echo(_shown(dumps, task, said))
        return
    if base_url is None:
        raise click.UsageError("name the server of the judge: --base-url http://HOST:PORT/v1.")
    from divfast.judging.ways import check_one_task, find_way

    named = find_way(dumps, task)
    way = named.settled(dumps, **said)
    if task is None and named.how is not None and not any(said.values()):
        check_one_task(dumps, **{name: settings[name] for name in options.READING})
    _refuse_of_the_other(len(dumps), way)
    if remark := _remark(named, way, said):
        click.echo(remark, err=True)
    settings["template"] = way.template
    from divfast.cli import progress, render, render_judge
    from divfast.dumps import total_counts
    from divfast.judging.judge import open_language_judge

    serving = {name: settings.pop(name) for name in ("max_tokens", "concurrency", "timeout", "retries")}
    found: Scores | Preference
    with (
        progress.bars() as shown,
        open_language_judge(base_url, model, usual=way.model, cache=not no_cache, **serving) as asked,
    ):
        if way.how == "pair":
            found = _compare(dumps, asked, settings | {"progress": shown})
        else:
            found = _score(dumps[0], asked, settings | {"rubric": way.how, "progress": shown})
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
    found = prefer(dumps[0], dumps[1] if len(dumps) > 1 else None, asked, **given)
    if given["output"] is not None:
        click.echo(f"Wrote {given['output']}.", err=True)
    return found


# Options that only one of the two ways takes.
_OF_ONE = ("rubric", "samples", "explain")
_OF_TWO = ("pairs",)


def _refuse_of_the_other(many: int, way: Way) -> None:
    context = click.get_current_context()
    for name in _OF_ONE if way.how == "pair" else _OF_TWO:
        if context.get_parameter_source(name) != click.core.ParameterSource.COMMANDLINE:
            continue
        if way.how != "pair":
            raise click.UsageError(f"--{name} is for two dumps, or for --against-references.")
        if many == 2:
            raise click.UsageError(f"--{name} is for one dump.")
        why = f"of the task {way.task} it is compared with its references: say --rubric score"
        if context.params["against_references"]:
            why = "leave out --against-references"
        raise click.UsageError(f"--{name} is for a dump that is scored: {why}.")


def _remark(named: Way, way: Way, said: Mapping[str, Any]) -> str | None:
    """Return what to say of the task, where it decides or would have been expected to."""
    if any(said.values()):
        return None
    if named.unknown is not None:
        return (
            f"The task {named.unknown} is none of divfast's: judged with the general prompt. --task FILE.yaml names a "
            "task of your own."
        )
    if named.how is None or way.how != named.how:
        return None
    against = ", against its references" if way.against == "reference" else ""
    return f"Judged as the task {way.task} says: with the prompt {way.template or way.how}{against}."


def _shown(dumps: tuple[str, ...], task: str | None, said: Mapping[str, Any]) -> str:
    """Return the question for two dumps, or for one; all of them where neither dump nor task is named."""
    from divfast.judging.templates import find_template
    from divfast.judging.ways import find_way

    way = find_way(dumps, task)
    if dumps:
        way = way.settled(dumps, **said)
    how, template = way.how, way.template
    if not dumps and any(said.values()):
        how, template = "pair" if said["references"] else said["rubric"], said["template"]
    kinds = ["score", "checklist"] if how in ("auto", None) else [how]
    if not dumps and how is None and template is None:
        kinds += ["reference", "pair"]
    if said["template"] is not None:
        return find_template(kinds[0], template).text.rstrip()
    texts = {template or kind: find_template(kind, template).text.rstrip() for kind in kinds}
    return "\n\n".join(f"# {name}\n{text}" for name, text in texts.items())
