"""``divfast tasks``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from divfast.cli import options

if TYPE_CHECKING:
    from divfast.generation.prompts import Prompt
    from divfast.generation.task import Task


@click.command()
@click.argument("names", nargs=-1, metavar="[TASK]...")
@click.option(
    "--data",
    type=click.Path(),
    metavar="PATH",
    help="File (JSON Lines, JSON, Parquet, CSV) or folder with the columns of the task's data set.",
)
@click.option(
    "--field",
    "fields",
    multiple=True,
    metavar="NAME=THERE",
    help="The column that the task calls NAME is called THERE in --data; repeatable.",
)
@options.formats("table", "json", "csv", "md")
@options.debug
def tasks(names: tuple[str, ...], data: str | None, fields: tuple[str, ...], form: str | None) -> None:
    """List tasks to take prompts from, or show some whole.

    A TASK is a name, or a file of your own as docs/tasks.md describes it. With --data its first prompt is shown too.

    \b
    Example:
      divfast tasks gsm8k --data test.jsonl
    """
    from divfast.generation.task import all_tasks, find_task, load_prompts

    if not names and (data is not None or fields):
        raise click.UsageError("--data and --field are for a task: name one.")
    renamed = [field.partition("=") for field in fields]
    if wrong := [field for field, parts in zip(fields, renamed, strict=True) if not all(parts)]:
        raise click.UsageError(f"--field is NAME=NAME_THERE, not {wrong[0]!r}.")
    there = {name: other for name, _, other in renamed}
    found = [find_task(name) for name in names] if names else list(all_tasks().values())
    shown = [load_prompts(task, data, 1, fields=there)[0] if data else None for task in found]
    click.echo(_text(found, shown, whole=bool(names), form=form or "table"))


def _text(tasks: list[Task], prompts: list[Prompt | None], *, whole: bool, form: str) -> str:
    from divfast.cli import flat, render

    if form == "json":
        listed = [
            task.to_dict() | ({"example": _example(prompt)} if prompt else {})
            for task, prompt in zip(tasks, prompts, strict=True)
        ]
        return flat.as_json({"tasks": listed})
    if whole and form == "table":
        return "\n\n".join(map(_page, tasks, prompts))
    headers = ["task", "data set", "config", "split", "prompts", "verifier", "judge", "max tokens", "summary"]
    rows = [
        [
            task.name,
            task.dataset,
            task.config,
            task.split,
            task.n,
            task.verifier,
            task.judge.get("how"),
            task.max_tokens,
            task.summary,
        ]
        for task in tasks
    ]
    if form in ("csv", "md"):
        return flat.as_table(form, headers, rows)
    left = [headers.index(name) for name in ("config", "max tokens")]
    kept = [
        ["all" if cell is None and i == 4 else str(cell or "") for i, cell in enumerate(row) if i not in left]
        for row in rows
    ]
    grid = render.table(
        [header for i, header in enumerate(headers) if i not in left],
        kept,
        right=("prompts",),
        wrap=("summary", "data set"),
    )
    return f"{grid}\n\nAll about one task: divfast tasks TASK"


def _example(prompt: Prompt) -> dict[str, Any]:
    conversation = {"messages": prompt.messages} if prompt.messages else {}
    return {"input_id": prompt.id, "prompt": prompt.text, **conversation, **prompt.columns}


def _page(task: Task, prompt: Prompt | None) -> str:
    lines = [f"# {task.name}", task.source.rstrip()]
    if prompt is not None:
        lines += ["", f"# its first prompt, number {prompt.id}", prompt.text]
        lines += [f"# {name}\n{value}" for name, value in prompt.columns.items()]
    return "\n".join(lines)
