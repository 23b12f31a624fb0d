"""``divfast metrics``."""

from __future__ import annotations

from typing import Any

import click

from divfast.cli import options


@click.command()
@click.argument("name", required=False)
@options.plugins
@options.formats("table", "json")
@options.debug
def metrics(name: str | None, plugins: tuple[str, ...], form: str | None) -> None:
    """List metrics, tokenizers and formats, or explain one.

    With a NAME: the definition of that metric, its parameters, and the paper that it comes from.

    \b
    Example:
      divfast metrics ead
    """
    from divfast.catalogue import describe_all, describe_one
    from divfast.cli import flat

    if name is not None:
        one = describe_one(name, plugins)
        click.echo(flat.as_json(one) if form == "json" else _page(one))
    else:
        everything = describe_all(plugins)
        click.echo(flat.as_json(everything) if form == "json" else _overview(everything))


def _parameters(metric: dict[str, Any], between: str = " ") -> str:
    return between.join(f"{key}={value}" for key, value in metric["parameters"].items())


def _names(metric: dict[str, Any]) -> str:
    return " = ".join([metric["name"], *metric["aliases"]])


def _bounds(metric: dict[str, Any]) -> str:
    low, high = metric["bounds"]
    return f"{'-inf' if low is None else low} to {'inf' if high is None else high}"


def _overview(everything: dict[str, Any]) -> str:
    from divfast.cli import render

    metrics = everything["metrics"]
    rows = [
        [
            _names(metric),
            _parameters(metric, "\n"),
            metric["view"],
            " ".join(metric["presets"]),
            " ".join(metric["scopes"]),
            metric["unit"],
            metric["higher"],
        ]
        for metric in metrics
    ]
    headers = ["metric", "parameters", "works on", "presets", "scopes", "unit", "higher is"]
    summaries = [[metric["name"], metric["summary"]] for metric in metrics]
    meanings = render.table(["metric", "what it is"], summaries, wrap=("what it is",))
    if any(metric["from"] != "divfast" for metric in metrics):
        summaries = [[*row, metric["from"]] for row, metric in zip(summaries, metrics, strict=True)]
        meanings = render.table(["metric", "what it is", "from"], summaries, wrap=("what it is",))
    grid = render.table(headers, rows, wrap=("presets", "scopes", "unit", "higher is"))
    tokenizers = render.table(["tokenizer", "tokens"], everything["tokenizers"].items(), wrap=("tokens",))
    readers = render.table(["reader", "format"], everything["readers"].items(), wrap=("format",))
    hint = "Write parameters as -m ead:n=2,vocab_size=32000. All about one metric: divfast metrics NAME"
    return "\n\n".join([meanings, grid, hint, tokenizers, readers])


def _page(metric: dict[str, Any]) -> str:
    facts = {
        "parameters": _parameters(metric) or "none",
        "from": metric["from"],
        "works on": metric["view"],
        "presets": " ".join(metric["presets"]),
        "scopes": " ".join(metric["scopes"]),
        "per sample": " ".join(metric["per_sample"]) or "no",
        "backends": " ".join(metric["backends"]),
        "unit": metric["unit"],
        "range": _bounds(metric),
        "higher is": metric["higher"],
    }
    lines = [f"{key:<12}{value}" for key, value in facts.items()]
    return "\n".join([_names(metric), "", *lines, "", metric["documentation"]])
