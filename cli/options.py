"""Options that mean the same in every command."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import click

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

# Written out because the modules that hold them import NumPy, and --help must be instant; a test compares. Where an
# option has a default, it is the first.
SCOPES = ("prompt", "first", "pooled")
PRESETS = ("default", "paper")
BACKENDS = ("auto", "cpu", "cuda", "reference")
DTYPES = ("float32", "bfloat16", "float16")
JUDGE_ENGINES = ("transformers", "vllm")
DEDUPE_SCOPES = ("pooled", "prompt")
SELECT_SCOPES = ("pooled", "prompt")
SELECT_METHODS = ("k_centre", "vendi")
UNITS = ("chars", "words")
STATISTICS = ("mean", "nearest")
NORMALISATIONS = ("none", "fold")
LANGUAGES = ("python", "javascript", "typescript", "java", "c", "cpp", "go", "rust", "auto")
PARSERS = ("auto", "tree-sitter")
CONTINUATION = ("auto", "always", "never")
EMBED = ("text", "code")
CLUSTER_METHODS = ("threshold", "leader", "kmeans")
CLUSTER_SCOPES = ("prompt", "pooled")
SANDBOXES = ("auto", "bwrap", "namespaces", "rlimits")
INDEXES = ("auto", "flat", "ivf")
VERIFIERS = ("math", "gsm8k", "code", "ifeval", "cruxeval", "truthfulqa", "exact", "regex", "labels")
STUDY_TABLES = (
    *("attribution", "values", "decomposition", "quality"),
    *("correlation", "length", "ranks", "factors"),
)
# Arguments that `reading` gives to a command.
READING = ("reader", "outputs_field", "id_field", "prompt_field", "prompts", "keep_reasoning", "on_error")

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_UNITS |= {f"{letter}I": 2 ** (10 * i) for i, letter in enumerate("KMGT", 1)}


class Size(click.ParamType[int]):
    """Bytes, as ``1GB``, ``512MB``, ``2GiB`` or a plain number."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number of bytes."""
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?I?)B?", str(value).strip().upper())
        size = int(float(match[1]) * _UNITS[match[2]]) if match and match[2] in _UNITS else 0
        if size < 1:
            self.fail(f"{value!r} is not a size such as 1GB or 512MB.", param, ctx)
        return size


class Sizes(click.ParamType[tuple[int, ...]]):
    """Whole numbers between commas, as ``2,4,8``."""

    name = "sizes"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, ...]:
        """Return the numbers."""
        if isinstance(value, tuple):
            return value
        if not re.fullmatch(r"0*[1-9]\d*(,0*[1-9]\d*)*", str(value)):
            self.fail(f"{value!r} is not a list of whole numbers such as 2,4,8.", param, ctx)
        return tuple(map(int, str(value).split(",")))


def debug(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--debug``; what it does stands in `divfast.cli.Commands`."""

    def remember(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
        ctx.meta["divfast.debug"] = value

    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=remember,
        help="Show tracebacks of errors.",
    )(command)


def formats(*names: str) -> Decorator:
    """``--format`` with a choice of `names`; None where it is not given."""
    return click.option(
        "--format", "form", type=click.Choice(names), help=f"How to print it. Default: {names[0]}."
    )


def choice(flag: str, names: Sequence[str], help: str) -> Decorator:
    """Give one of several names, of which the first is the default."""
    return click.option(flag, type=click.Choice(names), default=names[0], show_default=True, help=help)


def metrics(help: str) -> Decorator:
    """``-m``, as often as need be."""
    return click.option("-m", "--metric", "metrics", multiple=True, metavar="SPEC", help=help)


def scopes(help: str) -> Decorator:
    """``--scope``, as often as need be."""
    return click.option("--scope", "scopes", multiple=True, type=click.Choice(SCOPES), help=help)


def output(metavar: str, help: str) -> Decorator:
    """``-o``: a folder or a file to write."""
    return click.option("-o", "--output", type=click.Path(), metavar=metavar, help=help)


on_error = choice("--on-error", ("fail", "skip"), "Stop at a bad record, or leave it out and say so.")
threads = click.option(
    "--threads",
    type=click.IntRange(min=1),
    metavar="N",
    help="Threads to run on. Default: all cores, or DIVFAST_THREADS.",
)
memory = click.option(
    "--memory", type=Size(), metavar="SIZE", help="About how much memory to work in, such as 1GB or 512MB."
)


def rarefying(command: Callable[..., Any]) -> Callable[..., Any]:
    """Scores at equal size."""
    return together(
        command,
        click.option(
            "--at-k",
            type=Sizes(),
            metavar="K,...",
            default=(),
            help="Also give the value expected on K samples of each prompt, to compare dumps of unequal K.",
        ),
        click.option(
            "--at-n",
            type=Sizes(),
            metavar="N,...",
            default=(),
            help="The same for the scopes first and pooled: the value expected on N samples of the corpus.",
        ),
        click.option(
            "--draws",
            type=click.IntRange(1, 1_000_000),
            metavar="N",
            help="Random subsets that --at-k and --at-n draw where there is no formula and there are more. Default: "
            "32 of a prompt's samples, 8 of a corpus.",
        ),
    )


def plugins(command: Callable[..., Any]) -> Callable[..., Any]:
    """Metrics of one's own."""
    return click.option(
        "--plugin",
        "plugins",
        multiple=True,
        type=click.Path(),
        metavar="FILE",
        help="Python file with metrics of your own (@divfast.metric); repeatable.",
    )(command)


def join(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--join``: several dumps are one."""
    return click.option(
        "--join", is_flag=True, help="The dumps are parts of one: samples with the same id are one prompt's."
    )(command)


def seed(of: str) -> Decorator:
    """``--seed`` of what is drawn at random."""
    return click.option(
        "--seed",
        type=click.IntRange(0, 2**32 - 1),
        metavar="N",
        default=0,
        show_default=True,
        help=f"Seed of the {of}.",
    )


def reading(command: Callable[..., Any]) -> Callable[..., Any]:
    """How dumps are read."""
    return together(
        command,
        click.option(
            "--reader",
            metavar="NAME",
            help="Format of the dumps; recognised by content. See divfast metrics.",
        ),
        click.option("--outputs-field", metavar="NAME", help="Field that holds the samples."),
        click.option("--id-field", metavar="NAME", help="Field that holds the id of the prompt."),
        click.option("--prompt-field", metavar="NAME", help="Field that holds the prompt."),
        click.option(
            "--prompts",
            metavar="FILE",
            type=click.Path(),
            help="Second file with the prompts (input of an OpenAI batch).",
        ),
        click.option(
            "--keep-reasoning",
            is_flag=True,
            help="Keep what stands before the last </think>; it is stripped by default.",
        ),
        on_error,
    )


def answering(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where verdicts, answers and scores of samples stand."""
    return together(
        command,
        click.option(
            "--where",
            metavar="NAME",
            help="Score only the samples for which this field is true, such as correct (see divfast verify), or its "
            "number high enough: 'scores>=7' (see divfast judge).",
        ),
        click.option(
            "--correct-field",
            metavar="NAME",
            default="correct",
            show_default=True,
            help="Field with the verdict on every sample, for accuracy and pass@k.",
        ),
        click.option(
            "--answers-field",
            metavar="NAME",
            default="extracted",
            show_default=True,
            help="Field with the answer of every sample, for majority votes; outputs: the whole sample.",
        ),
    )


def encoding(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where vectors come from."""
    return together(
        command,
        click.option(
            "--encoder",
            metavar="NAME",
            help="minilm (needs no network), or an encoder of sentence-transformers or transformers, by name "
            "or folder.",
        ),
        choice("--dtype", DTYPES, "Precision of the encoder."),
        click.option(
            "--embeddings",
            metavar="FILE",
            help="Vectors instead of an encoder: FILE.npy or FILE.parquet:COLUMN, one row per sample; "
            "{stem} stands for the name of the dump.",
        ),
        click.option("--no-cache", is_flag=True, help="Do not keep embeddings and judgments on disk."),
    )


def judging(command: Callable[..., Any]) -> Callable[..., Any]:
    """What judges pairs of samples."""
    return together(
        command,
        click.option(
            "--judge",
            metavar="NAME",
            help="Classifier of entailment, neutral and contradiction (transformers), by name or folder.",
        ),
        choice("--judge-dtype", DTYPES, "Precision of the judge."),
        choice("--judge-engine", JUDGE_ENGINES, "What runs the judge."),
    )


def programs_in_samples(command: Callable[..., Any]) -> Callable[..., Any]:
    """How the program of a sample is found."""
    return together(
        command,
        click.option(
            "--code-field",
            metavar="NAME",
            help="Field that holds the program of every sample. Default: the longest block between fences, else "
            "the whole sample.",
        ),
        choice(
            "--continuation",
            CONTINUATION,
            "Join samples without a fence to their prompt; auto: where that is the beginning of a program.",
        ),
        click.option(
            "--stop",
            multiple=True,
            metavar="TEXT",
            help="Text at which such samples are cut off; repeatable. Default for Python: what comes after a function.",
        ),
    )


def programs(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where programs are, for metrics over programs, the tokenizer code and --embed code."""
    return together(
        command,
        choice(
            "--language",
            LANGUAGES,
            "Language of the programs in the samples; auto: what their fences say, else Python.",
        ),
        choice(
            "--parser",
            PARSERS,
            "What reads them; auto: Python's own parser for Python, tree-sitter for other languages.",
        ),
        programs_in_samples,
        choice("--embed", EMBED, "What --encoder is given: the samples, or the programs in them."),
    )


def partitions(command: Callable[..., Any]) -> Callable[..., Any]:
    """Classes of samples that a dump carries."""
    return together(
        command,
        click.option(
            "--partition",
            metavar="FIELD",
            default="partition",
            show_default=True,
            help="Field with the class of every sample, for metrics such as distinct_k.",
        ),
        choice(
            "--partition-scope",
            CLUSTER_SCOPES,
            "Whether a label is a class among the samples of its prompt, or the same class everywhere.",
        ),
        click.option(
            "--reward",
            metavar="FIELD",
            default="scores",
            show_default=True,
            help="Field with the reward of every sample, for utility_k and best_of.",
        ),
    )


def running(command: Callable[..., Any]) -> Callable[..., Any]:
    """Where and how work runs; changes no number."""
    return together(
        working(command),
        choice(
            "--backend",
            BACKENDS,
            "Where metrics run; auto takes what there is, one that is named works or fails.",
        ),
    )


def working(command: Callable[..., Any]) -> Callable[..., Any]:
    """How much of the machine work may take; changes no number."""
    return together(
        command,
        threads,
        memory,
    )


def together(command: Callable[..., Any], *options: Decorator) -> Callable[..., Any]:
    """Give a command several options, the first of them first in its help."""
    for option in reversed(options):
        command = option(command)
    return command
