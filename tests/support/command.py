"""The command line, in this process."""

import json
from typing import Any

from typer.testing import CliRunner

from shardline.cli import commands
from shardline.cli.app import app

assert commands


def call(*arguments: object, width: int = 100) -> Any:
    """What `shardline ARGUMENTS` does without a terminal: `exit_code`, `stdout` and `stderr`."""
    env = {"COLUMNS": str(width), "NO_COLOR": "1", "TERM": "dumb"}
    result = CliRunner().invoke(app, [str(one) for one in arguments], env=env)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def printed(*arguments: object, code: int = 0, width: int = 100) -> str:
    """What it prints, without spaces at the ends of lines."""
    result = call(*arguments, width=width)
    assert result.exit_code == code, result.output
    assert all(len(line) <= width or " " not in line for line in result.stdout.splitlines()), result.stdout
    return "\n".join(line.rstrip() for line in result.stdout.splitlines())


def as_json(*arguments: object, code: int = 0) -> Any:
    """What it prints with `--json`."""
    result = call(*arguments, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def fails(*arguments: object, code: int = 1) -> str:
    """What it says of an error: nothing on stdout, and no traceback."""
    result = call(*arguments)
    assert (result.exit_code, result.stdout) == (code, ""), result.output
    assert "Traceback" not in result.stderr
    return str(result.stderr)
