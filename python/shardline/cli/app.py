"""The commands by name. Errors are one message each, and every end has an exit code.

A command is a function in a file of its own, and `app.command()` here. It returns, or raises `typer.Exit(1)` where it
found a problem. It raises shardline's errors as they are, and `typer.BadParameter` for an option that is wrong.
"""

import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

import shardline
from shardline.cli.output import complain
from shardline.errors import ShardlineError

PROBLEM = 1
"""The exit code where a problem was found, or an error came."""
_CLOSED_PIPE = 141  # what a shell shows of a program that SIGPIPE ended
_INTERRUPTED = 130


class Commands(TyperGroup):
    """The commands: what they raise becomes a message and an exit code."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that was asked for."""
        try:
            result = super().invoke(ctx)
            if sys.stdout is not None:
                sys.stdout.flush()
            return result
        except BrokenPipeError:
            # Nobody reads what is left, and the interpreter's end would flush it again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(_CLOSED_PIPE) from None
        except KeyboardInterrupt:
            raise typer.Exit(_INTERRUPTED) from None
        except ShardlineError as error:
            complain("error", str(error))
            raise typer.Exit(PROBLEM) from None

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order in which they were added."""
        return list(self.commands)


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"shardline {shardline.__version__}")
        raise typer.Exit


@app.callback(epilog="Exit codes: 0 all is well, 1 a problem was found or an error came, 2 wrong use.")
def shardline_(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Look at Parquet data, at the order in which a loader delivers them, and at its state."""
