"""The state of torchdata's StatefulDataLoader over a dataset, made into the job's."""

from collections.abc import Mapping
from typing import Any

from shardline.errors import CheckpointMismatchError
from shardline.state.leg import Leg

WORKER = "worker"
"""The key of a state that holds what is one worker's own."""


def job_state(state: Mapping[str, Any]) -> dict[str, Any]:
    """The job's state, out of that of torchdata's StatefulDataLoader over a StructuredDataset.

    For other numbers of workers or ranks, or for `shardline.DataLoader`: load it into the dataset before its loader is
    made. CheckpointMismatchError where it is no such state.
    """
    if "shardline" in state and WORKER not in state:
        return dict(state)
    try:
        if "_snapshot" not in state:
            return dict(_job(state["dataset_state"]))
        snapshot = state["_snapshot"]
        parts = [part["dataset_state"] for part in snapshot["_worker_snapshots"].values()]
        since, finished = state["_steps_since_snapshot"], state["_iterator_finished"]
        entries = [part[WORKER] for part in parts]
        steps = sum(entry["batches"] for entry in entries) + since
        job = {key: value for key, value in parts[0].items() if key != WORKER}
        if any({k: v for k, v in part.items() if k != WORKER} != job for part in parts):
            raise ValueError("its workers do not agree on where they began")
        *before, last = job["legs"]
        leg = Leg.of(last)
        leg = leg._replace(delivered=leg.delivered + steps * entries[0]["ranks"])
        return {**job, "legs": [*before, leg.plain()], "ended": finished}
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise CheckpointMismatchError(
            f"this is no state of a StatefulDataLoader over a shardline.StructuredDataset: {error!r}"
        ) from error


def _job(state: Any) -> Mapping[str, Any]:
    if not isinstance(state, Mapping) or "shardline" not in state:
        raise ValueError("its dataset_state is none of shardline's")
    return state
