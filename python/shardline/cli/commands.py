"""All commands, which add themselves to `app` when they are imported, and how the program runs them."""

import logging
import warnings
from typing import Any, cast

from shardline.cli import bench, head, info, plan, rewrite, shuffle_quality, state, stats, verify  # noqa: F401
from shardline.cli.app import app
from shardline.cli.output import complain


def run() -> None:
    """Runs the command line: warnings and log lines go to stderr, a line each."""

    def say(message: Warning | str, *_: Any) -> None:
        complain("warning", str(message))

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            complain(record.levelname.lower(), record.getMessage())

    warnings.showwarning = cast(Any, say)
    warnings.simplefilter("ignore", ResourceWarning)  # of a file that Ctrl-C left open
    logging.getLogger("shardline").addHandler(Lines(logging.WARNING))
    logging.getLogger("torch.fx").setLevel(logging.ERROR)  # of torch's own features
    app(prog_name="shardline")
