"""`shardline state`: `shardline.read_state` and `shardline.compare_states`."""

from pathlib import Path
from typing import Annotated

import typer

from shardline.cli.app import PROBLEM, app
from shardline.cli.options import Filters, Json, Other, loader_arguments
from shardline.cli.output import show, show_json, show_text, width
from shardline.errors import CheckpointError
from shardline.inspection.compare import compare_states, try_resume
from shardline.inspection.states import StateReport, read_state
from shardline.text import paragraph


@app.command(epilog="Example: shardline state runs/7/checkpoints data/train")
def state(
    a: Annotated[
        Path,
        typer.Argument(metavar="STATE", help="A checkpoint, its directory, a .pt file or JSON.", show_default=False),
    ],
    b: Annotated[
        str | None,
        typer.Argument(
            metavar="[OTHER]",
            help="Another state to compare it with, or data that should resume it.",
            show_default=False,
        ),
    ] = None,
    filters: Filters = None,
    option: Other = None,
    json: Json = False,
) -> None:
    """What a saved state says: the epoch, how far it is, its files, what it needs to resume.

    With another state: what differs, and whether the data of OTHER resume STATE. With data: whether they do, and what a
    loader would do. Exits with 1 where they do not, and where there is no state that a loader can take.
    """
    report = read_state(a)
    if b is None:
        show(report, json)
        if not report.is_good:
            raise typer.Exit(PROBLEM)
        return
    other = _as_state(b)
    if other is not None:
        comparison = compare_states(report.state, other.state)
        show(comparison, json)
        resumes = comparison.resumes
    else:
        given = loader_arguments([b], filters=filters, other=option)
        resumes, said = try_resume(report.state, **given)
        if json:
            show_json({"resumes": resumes, "sentence": said})
        else:
            show_text("\n".join(each for line in said.splitlines() for each in paragraph(line, width(), "", "  ")))
    if not resumes:
        raise typer.Exit(PROBLEM)


def _as_state(path: str) -> StateReport | None:
    """A state where it is one; None where it is data."""
    local = Path(path)
    if "://" in path or local.suffix == ".parquet" or not local.exists():
        return None
    try:
        return read_state(local)
    except CheckpointError:
        if local.is_dir():
            return None
        raise
