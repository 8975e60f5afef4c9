"""`shardline info`: `shardline.inspect`."""

from typing import Annotated

import typer

from shardline.cli.app import PROBLEM, app
from shardline.cli.options import Json, Other, Paths, loader_arguments
from shardline.cli.output import bar, show
from shardline.inspection.files import inspect


@app.command(epilog="Example: shardline info s3://bucket/train --json")
def info(
    path: Paths,
    footers_only: Annotated[
        bool, typer.Option("--footers-only", help="Read no rows: no advice that depends on values.")
    ] = False,
    option: Other = None,
    json: Json = False,
) -> None:
    """What is in the files, what each column becomes, and what could be laid out better.

    Reads all footers, one page header a file, and some rows of columns that may be stored better. Exits with 1 where a
    file is damaged, or the files cannot be read together.
    """
    given = loader_arguments(path, other=option)
    taken = {name: given[name] for name in ("storage_options", "num_threads") if name in given}
    if unused := set(given) - {"path", *taken}:
        raise typer.BadParameter(
            f"{', '.join(sorted(unused))}: info takes storage_options and num_threads", param_hint="--option"
        )
    with bar("footers") as progress:
        report = inspect(given["path"], sample=not footers_only, progress=progress, **taken)
    show(report, json)
    if not report.is_good:
        raise typer.Exit(PROBLEM)
