"""The command line: finds commands by name, loads only the one that is called, turns errors into exit codes.

Exit codes: 0 done; 1 a check failed; 2 bad input, with one message; 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

import typer
import typer.core
import typer.main

from simcore.errors import SimcoreError, nearest_name

__all__ = ["COMMANDS", "COMMAND_GROUP", "main"]

COMMAND_GROUP = "simcore.commands"

#: The engine's own commands: name and ``module:function`` (options by Typer; the module imports nothing
#: heavy), or ``module:app`` with a ``typer.Typer`` that has commands of its own. Models add theirs by entry
#: points.
COMMANDS: dict[str, str] = {
    "run": "simcore.commands:run",
    "sweep": "simcore.sweep.cli:sweep",
    "plan": "simcore.sweep.cli:plan",
    "plot": "simcore.commands:plot",
    "report": "simcore.report.command:report",
    "verify": "simcore.commands:verify",
    "schema": "simcore.commands:schema",
}


class _Commands(typer.core.TyperGroup):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the engine's commands in their order, then those of models."""
        return [*COMMANDS, *sorted(set(_installed()) - set(COMMANDS))]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return a command, None if there is none of this name."""
        target = COMMANDS.get(cmd_name) or _installed().get(cmd_name)
        return None if target is None else _command(cmd_name, target)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the command that the arguments name, or say which name is nearest."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and name not in (names := self.list_commands(ctx)):
            nearest = nearest_name(name, names)
            ctx.fail(f"No such command {name!r}." + (f" Did you mean {nearest!r}?" if nearest else ""))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the arguments name."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(130) from None


def _installed() -> dict[str, str]:
    return {entry.name: entry.value for entry in entry_points(group=COMMAND_GROUP)}


def _command(name: str, target: str) -> Any:
    """Return the Typer command for ``module:function`` or ``module:app``."""
    module_name, _, attribute = target.partition(":")
    try:
        found = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise SimcoreError(f"command {name!r} ({target}) cannot be loaded: {error}") from error
    if isinstance(found, typer.Typer):
        command = typer.main.get_command(found)
        command.name = name
        return command
    holder = typer.Typer(add_completion=False, rich_markup_mode=None)
    holder.command(name)(found)
    return typer.main.get_command(holder)


app = typer.Typer(
    cls=_Commands,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Discrete-event simulation: experiments, sweeps, results and plots.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - only when asked

        typer.echo(f"simcore {version('simcore')}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    """Take the options that stand before the command."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process."""
    command = typer.main.get_command(app)
    try:
        command.main(args=None if arguments is None else list(arguments), prog_name="simcore")
    except SimcoreError as error:
        typer.echo(f"simcore: {error}", err=True)
        sys.exit(2)
