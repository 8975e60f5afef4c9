"""Predict every row of a data set once, on any number of ranks and workers, and go on after a kill.

torchrun --standalone --nproc-per-node 2 examples/predict.py --data /tmp/points --out /tmp/predicted

For each file of the data there is one in OUT/predictions: of the same name, with as many rows, in the same order. The
ranks write what they predict into OUT/parts and then save their place. Started again, with other ranks too, they
drop the parts after that place and go on; at the end the parts are put in the order of the files by `row_id=True`.
"""

import argparse
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import torch
import torch.distributed as dist

import shardline


def predict(data: Path, out: Path, every: int, num_workers: int) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(8, 1).eval()
    loader = shardline.DataLoader(
        data, columns=["features"], row_id=True, batch_size=64, num_shards=12, num_workers=num_workers
    )
    rank, ranks = loader.dataset.rank, loader.dataset.num_ranks
    parts = out / "parts"
    parts.mkdir(parents=True, exist_ok=True)
    ck = shardline.Checkpointer(out / "checkpoints", data=loader)
    step = ck.restore().step
    if rank == 0:
        for part in parts.iterdir():
            if int(part.name.partition("-")[0]) > step:  # written, and its place not saved
                part.unlink()
    wait_for_all()
    made: list[pa.Table] = []
    for _ in range(loader.epoch, 1):
        for batch in loader:
            with torch.inference_mode():
                predicted = model(batch["features"]).squeeze(1).numpy()
            where = {name: batch[f"row_id__{name}"].numpy() for name in ("file", "row")}
            made.append(pa.table({**where, "prediction": predicted}))
            step += 1
            if step % every == 0:
                write(pa.concat_tables(made), parts / f"{step:08}-{rank}.parquet")
                made = []
                ck.save(step)
                if rank == 0:
                    print(f"step {step} saved", flush=True)
    if made:
        write(pa.concat_tables(made), parts / f"{step:08}-{rank}.parquet")
    ck.save(step)
    wait_for_all()
    for number, (name, rows, _) in enumerate(loader.dataset.plan.files()):
        if number % ranks == rank:
            found = pads.dataset(parts).to_table(filter=pads.field("file") == number).sort_by("row")
            if found["row"].to_pylist() != list(range(rows)):
                raise SystemExit(f"{name}: not every row was predicted once; was {data} changed in between?")
            write(found.select(["prediction"]), out / "predictions" / name)


def write(table: pa.Table, path: Path) -> None:
    """The file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}")
    pq.write_table(table, new)
    new.rename(path)


def wait_for_all() -> None:
    if dist.is_initialized():
        dist.barrier()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=Path, required=True, help="a folder of Parquet files with the column features")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--every", type=int, default=1000, help="steps between two saves")
    parser.add_argument("--num-workers", type=int, default=0)
    given = parser.parse_args()
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        dist.init_process_group("gloo")
    predict(given.data, given.out, given.every, given.num_workers)
    if dist.is_initialized():
        dist.destroy_process_group()
