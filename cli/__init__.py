"""The command line: one file per command. Every command calls one function of the library and prints."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import pkgutil
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

_NOT_COMMANDS = ("flat", "options", "options_sampling", "progress")
_FIRST = ("score", "compare")


class Commands(click.Group):
    """Commands by the names of their files, imported when they are asked for.

    What the library raises becomes one sentence on stderr and exit 1 here, its warnings one line. An
    interrupt exits 130. A reader that closes the pipe ends the command quietly.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, the main one first."""
        names = {module.name for module in pkgutil.iter_modules(__path__)} - {*_NOT_COMMANDS, *_FIRST}
        return [*_FIRST, *sorted(name for name in names if not name.startswith("render"))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(importlib.import_module(f"divfast.cli.{cmd_name}"), cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that is named, or say which one may be meant."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from divfast.errors import nearest

            ctx.fail(f"No such command {args[0]!r}. {nearest(args[0], self.list_commands(ctx))}")
        return super().resolve_command(ctx, args)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the arguments."""
        with _errors_as_sentences({}):
            _open_streams()
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        with _errors_as_sentences(ctx.meta), _warnings_as_lines(ctx.meta):
            return super().invoke(ctx)


@contextlib.contextmanager
def _errors_as_sentences(meta: Mapping[str, Any]) -> Iterator[None]:
    """End the program in the way that suits what was raised."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        raise click.exceptions.Exit(130) from None
    except BrokenPipeError:
        _silence_stdout()
        raise click.exceptions.Exit(0) from None
    except Exception as error:
        sentence = None if meta.get("divfast.debug") else _sentence(error)
        if sentence is None:
            raise
        if isinstance(error, OSError):
            _silence_stdout()
        click.echo("Error: " + sentence.replace("\n", "\n       "), err=True)
        raise click.exceptions.Exit(1) from None


def _sentence(error: Exception) -> str | None:
    """Return what to say of an error that has a cause outside this program; None for any other."""
    from divfast.errors import DivfastError, os_reason

    if isinstance(error, MemoryError):
        error = DivfastError("memory ran out.", remedy="Name a smaller --memory, or fewer --threads.")
    elif isinstance(error, OSError):
        error = DivfastError(f"{os_reason(error)}.", where=error.filename or "standard output")
    return str(error) if isinstance(error, DivfastError) else None


def _open_streams() -> None:
    """Make sure that there is something to print to, and that no character can end hours of work."""
    # Python leaves None where the parent process closed a stream.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")


def _silence_stdout() -> None:
    """Keep what is left in the buffer from failing once more when the interpreter exits."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def _warnings_as_lines(meta: Mapping[str, Any]) -> Iterator[None]:
    """Show what the library warns of in one line each; other libraries' warnings only with ``--debug``."""
    from divfast.errors import DivfastWarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, DivfastWarning) or meta.get("divfast.debug"):
            click.echo(f"Warning: {' '.join(str(message).split())}", err=True)

    with warnings.catch_warnings():
        warnings.simplefilter("default", DivfastWarning)
        warnings.showwarning = show
        yield


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command has help: divfast score -h",
)
@click.version_option(package_name="divfast", message="divfast %(version)s")
def main() -> None:
    """How diverse are a language model's outputs, and where was that diversity lost?

    \b
    Example:
      divfast score base.jsonl sft.jsonl dpo.jsonl --encoder minilm
    """
