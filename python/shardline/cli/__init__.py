"""`shardline` on the command line: one file a command, each a thin layer over a public function.

- `commands`: all of them, and how the program runs
- `app`: what they are added to; errors as one message, and exit codes
- `output`: what is printed, as text or as JSON, for a terminal or for a pipe
- `options`: the options that several commands have
- `info`, `head`, `stats`, `plan`, `state`, `shuffle_quality`, `rewrite`, `verify`, `bench`: the commands
"""

import sys


def main() -> None:
    """Runs the command line of this process, and exits: 0 if all is well, 1 if not, 2 where it was used wrongly."""
    try:
        from shardline.cli.commands import run
    except ImportError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.exit(f"error: the command line needs {error.name}: pip install 'shardline[cli]'")
    run()
