"""The command line: one file per command. Every command calls one function of the library and prints."""

from __future__ import annotations

import contextlib
import importlib
import io
import pkgutil
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import click

_NOT_COMMANDS = ("options", "progress", "render")
_FIRST = ("score",)


class Commands(click.Group):
    """Commands by the names of their files, imported when they are asked for.

    What the library raises becomes one sentence on stderr and exit 1 here, its warnings one line. An
    interrupt exits 130. A reader that closes the pipe ends the command quietly.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands, the main one first."""
        found = {module.name for module in pkgutil.iter_modules(__path__)} - set(_NOT_COMMANDS)
        return [*_FIRST, *sorted(found - set(_FIRST))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = getattr(importlib.import_module(f"divfast.cli.{cmd_name}"), cmd_name)
        return command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Parse the arguments."""
        with _quiet_pipe():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        from divfast.errors import DivfastError

        try:
            with _quiet_pipe(), _warnings_as_lines(ctx):
                return super().invoke(ctx)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(130)
        except (DivfastError, MemoryError) as error:
            if ctx.meta.get("divfast.debug"):
                raise
            if isinstance(error, MemoryError):
                error = DivfastError("memory ran out.", remedy="Name a smaller --memory, or fewer --threads.")
            indented = str(error).replace("\n", "\n       ")
            click.echo(f"Error: {indented}", err=True)
            ctx.exit(1)


@contextlib.contextmanager
def _quiet_pipe() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        from divfast.cli.render import silence_stdout

        silence_stdout()
        raise click.exceptions.Exit(0) from None


@contextlib.contextmanager
def _warnings_as_lines(ctx: click.Context) -> Iterator[None]:
    """Show what the library warns of in one line each; other libraries' warnings only with ``--debug``."""
    from divfast.errors import DivfastWarning

    def show(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
        if issubclass(category, DivfastWarning) or ctx.meta.get("divfast.debug"):
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
    # What a terminal cannot show is replaced, rather than ending hours of work with an encoding error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
