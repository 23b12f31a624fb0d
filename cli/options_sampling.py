"""Options of what draws samples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from divfast.cli.options import together

# Written out because the modules that hold them import more, and --help must be instant; a test compares.
ENGINES = ("auto", "vllm", "transformers", "openai")
DTYPES = ("auto", "float32", "bfloat16", "float16")
REASONING = ("apart", "strip", "keep")


def sampling(command: Callable[..., Any]) -> Callable[..., Any]:
    """How samples are drawn; where nothing is said the task decides, else temperature 1 over all tokens."""
    return together(
        command,
        click.option("--temperature", type=float, metavar="T", help="Default: 1."),
        click.option("--top-p", type=float, metavar="P", help="Default: 1."),
        click.option("--top-k", type=int, metavar="N", help="Default: all tokens."),
        click.option("--min-p", type=float, metavar="P", help="Default: 0."),
        click.option(
            "--max-tokens", type=int, metavar="N", help="Of one sample. Default: the task's, else 1024."
        ),
        click.option("--stop", multiple=True, metavar="TEXT", help="Where a sample ends; repeatable."),
        click.option("--presence-penalty", type=float, metavar="X"),
        click.option("--frequency-penalty", type=float, metavar="X"),
        click.option("--repetition-penalty", type=float, metavar="X"),
        click.option("--seed", type=int, metavar="N", help="Of the run. Default: 0."),
    )


SAMPLING = (
    *("temperature", "top_p", "top_k", "min_p", "max_tokens", "stop"),
    *("presence_penalty", "frequency_penalty", "repetition_penalty", "seed"),
)


def serving(command: Callable[..., Any]) -> Callable[..., Any]:
    """What runs the model, and how."""
    return together(
        command,
        click.option(
            "--engine",
            type=click.Choice(ENGINES),
            help="auto: a server where --base-url is given, else vllm where it is installed, else transformers.",
        ),
        click.option("--revision", metavar="NAME", help="Of the model."),
        click.option("--dtype", type=click.Choice(DTYPES), help="Default: the model's own."),
        click.option(
            "--max-model-len", type=click.IntRange(min=1), metavar="N", help="Tokens of the context."
        ),
        click.option("--lora", metavar="FOLDER", help="An adapter."),
        click.option(
            "--trust-remote-code", is_flag=True, default=None, help="Run code that comes with the model."
        ),
        click.option(
            "--tensor-parallel", type=click.IntRange(min=1), metavar="N", help="vllm: GPUs for one model."
        ),
        click.option(
            "--data-parallel", type=click.IntRange(min=1), metavar="N", help="vllm: models side by side."
        ),
        click.option(
            "--memory-share",
            type=click.FloatRange(0, 1, min_open=True),
            metavar="X",
            help="vllm: of the memory of each GPU.",
        ),
        click.option("--enforce-eager", is_flag=True, default=None, help="vllm: no graphs."),
        click.option(
            "--batch-size",
            type=click.IntRange(min=1),
            metavar="N",
            help="vllm, transformers: samples at a time.",
        ),
        click.option("--base-url", metavar="URL", help="openai: the server, as http://HOST:PORT/v1."),
        click.option(
            "--concurrency", type=click.IntRange(min=1), metavar="N", help="openai: requests at a time."
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(min=0, min_open=True),
            metavar="SECONDS",
            help="openai: of one.",
        ),
        click.option(
            "--no-logprobs",
            "logprobs",
            flag_value=False,
            type=bool,
            default=None,
            help="Do not ask for log-probabilities; vllm is faster without.",
        ),
    )
