"""``divfast decompose``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from divfast.cli import options

if TYPE_CHECKING:
    from divfast.decomposition import Decomposition

_ROWS = (
    "  computable, base and model",
    "  all samples, base and model",
    "  right samples, base and model",
    "  loss (95% interval)",
    "  residual",
    "  quality control",
    "  residual / loss",
)


@click.command()
@click.argument("base", metavar="BASE", type=click.Path())
@click.argument("model", metavar="MODEL", type=click.Path())
@options.metrics("NAME or NAME:KEY=VALUE,...; repeatable. Default: cosine and vendi.")
@click.option(
    "--where",
    metavar="NAME",
    default="correct",
    show_default=True,
    help="Field that is true for right samples (see divfast verify).",
)
@options.choice("--preset", options.PRESETS, "As in divfast score.")
@click.option(
    "--at-k",
    type=options.Sizes(),
    metavar="K,...",
    default=(),
    help="Also at K samples of each prompt, since fewer may be right of one model than of the other.",
)
@options.encoding
@options.reading
@options.seed("bootstrap intervals and of random subsets")
@options.running
@options.formats("table", "json", "csv", "md")
@options.debug
def decompose(
    base: str, model: str, metrics: tuple[str, ...], no_cache: bool, form: str | None, **settings: Any
) -> None:
    """Take apart the diversity that a model has lost.

    BASE and MODEL are two dumps with verdicts.

    The loss is the difference on all samples; the residual that on right samples alone, which is genuine narrowing;
    the rest is quality control: fewer wrong answers. Each over the prompts that a model has two right samples for
    (own), and over those that both have (paired), with 95% intervals over prompts.

    \b
    Example:
      divfast decompose base.verified.jsonl dpo.verified.jsonl --encoder minilm
    """
    from divfast.cli import progress
    from divfast.decomposition import decompose as take_apart
    from divfast.decomposition import of_unequal_size

    with progress.bars() as shown:
        found = take_apart(base, model, list(metrics) or None, cache=not no_cache, progress=shown, **settings)
    if (remark := of_unequal_size(one.metric for one in found)) is not None:
        click.echo(remark, err=True)
    click.echo(_text(found, form or "table"))


def _text(found: Sequence[Decomposition], form: str) -> str:
    """Return decompositions as ``table``, ``json``, ``csv`` or ``md``."""
    from divfast.cli import flat, render

    entries = [one.to_dict() for one in found]
    if form == "json":
        return flat.as_json({"results": entries})
    if form in ("csv", "md"):
        rows = []
        for entry in entries:
            ends = entry.pop("intervals")
            entry.pop("signatures")
            for name, (low, high) in ends.items():
                entry |= {f"{name}_low": low, f"{name}_high": high}
            rows.append(entry)
        return flat.as_table(form, list(rows[0]), [list(row.values()) for row in rows])
    lines = []
    for own, paired in zip(found[::2], found[1::2], strict=True):
        digits = flat.decimals([own.base_all, own.model_all])
        columns = [own.metric, *_ROWS], _cells(own, digits), _cells(paired, digits)
        lines += [list(line) for line in zip(*columns, strict=True)]
    grid = render.table(["", "own prompts", "paired prompts"], lines)
    signatures = [
        f"{side.replace('_', ' ')}: {text}"
        for one in found
        if one.over == "own"
        for side, text in one.signatures.items()
    ]
    return "\n".join([grid, "", "signatures", *signatures])


def _cells(one: Decomposition, digits: int) -> list[str]:
    """Return what stands beside the name of the metric and each of the rows."""

    def number(value: float) -> str:
        return "undefined" if math.isnan(value) else f"{value:.{digits}f}"

    def with_interval(name: str) -> str:
        value, (low, high) = number(getattr(one, name)), one.intervals[name]
        return value if math.isnan(low) else f"{value} ({number(low)} to {number(high)})"

    def both(values: tuple[int, int]) -> str:
        return " and ".join(f"{value:,}" for value in dict.fromkeys(values))

    return [
        "",
        f"{both(one.computable)} of {both(one.prompts)}",
        f"{number(one.base_all)} and {number(one.model_all)}",
        f"{number(one.base_correct)} and {number(one.model_correct)}",
        *(with_interval(name) for name in ("loss", "residual", "quality_control", "share")),
    ]
