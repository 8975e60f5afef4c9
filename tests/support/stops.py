"""Every stopping point of an epoch, each gone on from in a process of its own.

`python -m support.stops grid FOLDER` tries them all, in children of a forkserver that has torch loaded and nothing of
ours; `python -m support.stops child FOLDER` is one cold start. Both read jobs as JSON from standard input and write
what came of them to standard output.
"""

import hashlib
import json
import multiprocessing
import sys
import warnings
from collections import deque
from multiprocessing.connection import Connection
from typing import Any

SETTINGS: dict[str, dict[str, Any]] = {
    "no shuffle": {"shuffle": False},
    "split shuffle": {"shuffle": True, "shuffle_buffer_size": 0},
    "row shuffle": {"shuffle": True, "shuffle_buffer_size": 256},
}
Digest = list[Any]
"""Of a batch: a hash of all its columns, and its row numbers."""


def make_loader(folder: str, mode: str) -> Any:
    import shardline

    path = json.loads(folder) if folder.startswith("[") else folder  # a list of URLs
    return shardline.DataLoader(path, batch_size=10, shuffle_seed=11, num_threads=2, **SETTINGS[mode])


def digest(batch: dict[str, Any]) -> Digest:
    hasher = hashlib.sha256()
    for name, tensor in batch.items():
        hasher.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        hasher.update(tensor.numpy().tobytes())
    return [hasher.hexdigest(), batch["i"].tolist()]


def go_on(folder: str, mode: str, state: Any) -> list[list[Digest]]:
    """Loads the state and reads what is left of its epoch, then the next."""
    loader = make_loader(folder, mode)
    loader.load_state_dict(state)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*delivers nothing")
        return [[digest(batch) for batch in loader] for _ in range(2)]


def _answer(folder: str, mode: str, state: str, pipe: Connection) -> None:
    """The child of the forkserver: it has torch, and nothing of ours."""
    ours = [name for name in sys.modules if name.split(".")[0] == "shardline"]
    epochs = go_on(folder, mode, json.loads(state))
    pipe.send({"loaded before": ours, "torch": "torch" in _before, "answered before": len(_answered), "epochs": epochs})
    _answered.append(mode)
    pipe.close()


_before = frozenset(sys.modules)
_answered: list[str] = []
"""What this process has answered: a number of a process may come again, so that it does not tell one from another."""


def _grid(folder: str, jobs: list[tuple[str, str]]) -> list[dict[str, Any]]:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch", "torch.utils.data", "pyarrow"])
    answers: list[dict[str, Any]] = []
    under_way: deque[Any] = deque()  # two at a time, all started by this thread

    def collect() -> None:
        child, pipe = under_way.popleft()
        if not pipe.poll(60):
            raise TimeoutError(f"no answer within a minute: {jobs[len(answers)]}")
        answer: dict[str, Any] = pipe.recv()
        child.join()
        answers.append({**answer, "exit": child.exitcode})
        child.close()

    for job in jobs:
        here, there = context.Pipe(duplex=False)
        child = context.Process(target=_answer, args=(folder, *job, there), daemon=True)
        child.start()
        there.close()
        under_way.append((child, here))
        if len(under_way) == 3:
            collect()
    while under_way:
        collect()
    return answers


if __name__ == "__main__":
    what, place = sys.argv[1:]
    asked = json.load(sys.stdin)
    if what == "child":
        mode, state = asked
        json.dump(go_on(place, mode, json.loads(state)), sys.stdout)
    else:
        # By its importable name, so that children find what they are to run.
        from support import stops

        json.dump(stops._grid(place, [tuple(job) for job in asked]), sys.stdout)
