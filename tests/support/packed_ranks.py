"""A training over packed sequences, as a program of ranks: saves, and is killed; or goes on to the epoch's end.

    python -m torch.distributed.run --nproc-per-node 2 packed_ranks.py FOLDER '{"stop": 7, …}'

Rank r writes a line a step to FOLDER/NAME-r.jsonl: the tokens of each sequence of its batch.
"""

import json
import os
import signal
import sys
from pathlib import Path

import torch.distributed as dist

from shardline import Checkpointer, DataLoader, Pack


def main() -> None:
    folder, asked = Path(sys.argv[1]), json.loads(sys.argv[2])
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    pack = Pack("ids", seq_len=16, mode=asked["mode"], labels="next", count=asked["count"])
    loader = DataLoader(folder / "data", pack=pack, **asked["options"])
    checkpointer = Checkpointer(folder / "checkpoints", data=loader, timeout=60)
    checkpointer.restore()
    tokens = loader.dataset.plan.tokens
    assert tokens is not None
    with (folder / f"{asked['name']}-{rank}.jsonl").open("w") as out:
        print(json.dumps([len(loader), loader.remaining, tokens[1]]), file=out, flush=True)
        for step, batch in enumerate(loader, start=1):
            kept = [
                ids[segments > 0].tolist()
                for ids, segments in zip(batch["input_ids"], batch["segment_ids"], strict=True)
            ]
            print(json.dumps(kept), file=out, flush=True)
            if step == asked["stop"]:
                checkpointer.save(asked["at"] + step)
                checkpointer.wait()
                dist.barrier()  # no rank's end takes another's file from it
                os.kill(os.getpid(), signal.SIGKILL)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
