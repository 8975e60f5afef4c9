"""A training over a mixture, as a program of ranks: sets weights, saves, and is killed; or goes on to the epoch's end.

    python -m torch.distributed.run --nproc-per-node 2 mixed_ranks.py FOLDER '{"stop": 7, …}'

Rank r writes a line a step to FOLDER/NAME-r.jsonl: the source and the number of each row of its batch.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch.distributed as dist

from shardline import Checkpointer, DataLoader, Mixture, Source


def main() -> None:
    folder, asked = Path(sys.argv[1]), json.loads(sys.argv[2])
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    sources = {name: Source(folder / f"{name}.parquet", weight) for name, weight in asked["weights"].items()}
    loader = DataLoader(Mixture(sources, batches=asked["batches"]), **asked["options"])
    checkpointer = Checkpointer(folder / "checkpoints", data=loader, timeout=60)
    checkpointer.restore()
    with (folder / f"{asked['name']}-{rank}.jsonl").open("w") as out:
        print(json.dumps([len(loader), loader.remaining]), file=out, flush=True)
        for step, batch in enumerate(loader, start=1):
            print(json.dumps([batch["source"].tolist(), batch["i"].tolist()]), file=out, flush=True)
            if step == asked["change"]:
                loader.set_weights(asked["after"])
            if step == asked["stop"]:
                checkpointer.save(asked["at"] + step)
                checkpointer.wait()
                dist.barrier()  # no rank's end takes another's file from it
                os.kill(os.getpid(), signal.SIGKILL)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
