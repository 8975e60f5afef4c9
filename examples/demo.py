"""Trains on real flights twice: once in one go, and once killed in mid-epoch and resumed. Proves that both are equal.

    python examples/demo.py --dir DIR

Equal means: every step of the killed run and of the resumed one was given the same batch as in the uninterrupted run
(by a hash of all its bytes) and came to the same loss, and the final weights, states of optimizer, schedule and random
generators, and place in the data are the same, bit for bit. The exit status is 1 if anything differs.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import pyarrow.parquet as pq
import torch

import flights
import shardline


def say(text: str) -> None:
    """Prints at once, so that the lines of all processes stand in the order of events."""
    print(text, flush=True)


def training(args: argparse.Namespace, out: Path, *more: str) -> subprocess.Popen[bytes]:
    """Starts a training process."""
    command = [sys.executable, str(Path(flights.__file__).resolve()), "train", "--data", str(args.dir / "data")]
    command += ["--out", str(out), "--epochs", str(args.epochs), "--batch-size", str(args.batch_size)]
    command += ["--save-every", str(args.save_every), *(["--quiet"] if args.quiet else []), *more]
    return subprocess.Popen(command)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Waits for a training process that must succeed."""
    if process.wait() != 0:
        sys.exit(f"the training failed with exit status {process.returncode}")


def steps_in(out: Path) -> list[list[flights.Step]]:
    """The steps that each process in turn took."""
    return [list(flights.read_log(path)) for path in flights.logs(out)]


def kill_after(process: subprocess.Popen[bytes], out: Path, epoch: int, step: int) -> flights.Step:
    """Kills the process from outside as soon as its log shows the step. Returns the last step that it took."""
    deadline = time.monotonic() + 300
    while True:
        if process.poll() is not None:
            sys.exit(f"the training ended (exit status {process.returncode}) before it could be killed")
        if time.monotonic() > deadline:
            process.kill()
            sys.exit("the training did not come as far as the step where it was to be killed")
        taken = [s for log in steps_in(out) for s in log]
        if taken and (taken[-1].epoch, taken[-1].step) >= (epoch, step):
            break
        time.sleep(0.001)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return steps_in(out)[-1][-1]


def coverage(reference: list[flights.Step], epochs: int, rows: int) -> list[str]:
    """What is wrong with the uninterrupted run itself: rows that are missing, or batches that come again."""
    delivered = [sum(s.rows for s in reference if s.epoch == epoch) for epoch in range(epochs)]
    found = [f"epoch {epoch} delivered {n:,} of {rows:,} rows" for epoch, n in enumerate(delivered) if n != rows]
    if len({s.sha256 for s in reference}) < len(reference):
        found.append("the uninterrupted run was given a batch twice")
    return found


def differences(reference: list[flights.Step], runs: list[list[flights.Step]]) -> list[str]:
    """What the steps of some processes, which resumed one another, have not in common with those of a single one."""
    expected = {(s.epoch, s.step): s for s in reference}
    found = [
        f"epoch {s.epoch}, step {s.step}: {s}, but uninterrupted {expected.get((s.epoch, s.step))}"
        for steps in runs
        for s in steps
        if s != expected.get((s.epoch, s.step))
    ]
    taken = {(s.epoch, s.step) for steps in runs for s in steps}
    found += [f"epoch {epoch}, step {step}: never taken" for epoch, step in expected if (epoch, step) not in taken]
    for steps in runs:
        places = [reference.index(s) for s in steps if s in reference]
        if places != list(range(places[0], places[0] + len(places))):
            found.append(f"the steps from {steps[0].epoch}, {steps[0].step} on are not in order")
    return found


def same(one: Any, other: Any) -> bool:
    """Whether two states are equal, tensors bit for bit."""
    if isinstance(one, torch.Tensor):
        return (
            isinstance(other, torch.Tensor)
            and (one.dtype, one.shape) == (other.dtype, other.shape)
            and one.contiguous().numpy().tobytes() == other.contiguous().numpy().tobytes()
        )
    if isinstance(one, dict):
        return isinstance(other, dict) and one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other)


def final_states(out: Path) -> dict[str, Any]:
    """What the last checkpoint holds, read by torch and json alone; of the generators, the one that dropout uses."""
    last = Path(shardline.Checkpointer(out / "checkpoints").list()[-1].path)
    states = {path.stem: torch.load(path, weights_only=True) for path in last.glob("*.pt")}
    states |= {name: state["torch"] for name, state in states.items() if name.startswith("rng")}
    return {**states, "data": json.loads((last / "data.json").read_text())}


def loading_alone(args: argparse.Namespace) -> float:
    """Rows a second of one epoch of the same batches, with nothing done to them."""
    columns = [*flights.NUMBERS, *flights.CODES, flights.LABEL]
    loader = shardline.DataLoader(args.dir / "data", batch_size=args.batch_size, shuffle=True, columns=columns)
    began = time.perf_counter()
    rows = sum(len(batch[flights.LABEL]) for batch in loader)
    return rows / (time.perf_counter() - began)


def demo(args: argparse.Namespace) -> list[str]:
    """Runs it all. Returns what differs."""
    data = args.dir / "data"
    written = flights.write_flights(data, files=args.files, rows=args.rows)
    files = [pq.ParquetFile(path).metadata for path in sorted(data.glob("*.parquet"))]
    say(
        f"1. real flights in {data}: {sum(f.num_rows for f in files):,} rows, {len(files)} Parquet files, "
        f"{sum(f.num_row_groups for f in files)} row groups ({'written now' if written else 'as they were'})"
    )

    whole, killed = args.dir / "uninterrupted", args.dir / "interrupted"
    for out in (whole, killed):
        shutil.rmtree(out, ignore_errors=True)
    say(f"2. {args.epochs} epochs of training in one process, shuffled, {args.batch_size} rows a batch")
    finish(training(args, whole))
    [reference] = steps_in(whole)
    found = coverage(reference, args.epochs, sum(f.num_rows for f in files))
    if not found:
        first, last = (fmean(float.fromhex(s.loss) for s in reference if s.epoch == e) for e in (0, args.epochs - 1))
        say(f"   every epoch delivered every row, and no two batches are alike; loss {first:.4f}, at last {last:.4f}")

    # In the middle of the second epoch, and between two checkpoints.
    epoch_steps = sum(s.epoch == 0 for s in reference)
    step = epoch_steps // 2 // args.save_every * args.save_every + args.save_every // 2
    say(f"3. the same in another process, killed by SIGKILL from outside after step {step} of {epoch_steps} of epoch 1")
    say("   (it pauses for 2 ms after every step, so that there is a moment to kill it in)")
    end = kill_after(training(args, killed, "--step-seconds", "0.002"), killed, 1, step)
    print(file=sys.stderr)  # the progress bar had no chance to end its line
    say(f"   killed: the last step that it took was {end.step} of epoch {end.epoch}")

    say("4. resumed from its last checkpoint in a new process")
    finish(training(args, killed))

    before, after = steps_in(killed)
    again = len(before) + len(after) - len(reference)
    say(
        f"5. the proof: {len(before)} steps before the kill, {len(after)} after it, {again} of them for the second time"
    )
    different = differences(reference, [before, after])
    found += different
    if not different:
        say(f"   batches: all {len(before) + len(after)} have the hash that they have in the uninterrupted run")
        say("   losses: the same in every step, bit for bit")
    if again < 0 or len(before) == len(reference):
        found.append("the run was not stopped in the middle")
    one, other = (final_states(out) for out in (whole, killed))
    what = {"model": "final weights", "optimizer": "optimizer state", "scheduler": "schedule"}
    what |= {"rng_0": "random generator", "data": "data state"}
    for part, name in what.items():
        if same(one[part], other[part]):
            say(f"   {name}: the same, bit for bit")
        else:
            found.append(f"{name}: {one[part]}, but after the kill {other[part]}")
    say(f"6. loading alone, without a training: {loading_alone(args):,.0f} rows/s")
    return found


def main() -> None:
    """Runs the demo and says how it ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=Path, default=Path(".demo"), help="for the data, the checkpoints and the logs")
    parser.add_argument("--rows", type=int, help="only the first so many flights")
    parser.add_argument("--files", type=int, default=8)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--save-every", type=int, default=50, metavar="STEPS")
    parser.add_argument("--quiet", action="store_true", help="no progress bars")
    began = time.perf_counter()
    found = demo(parser.parse_args())
    for difference in found[:20]:
        say(f"DIFFERENT: {difference}")
    if found:
        sys.exit(f"{len(found)} differences: the interrupted run is NOT the uninterrupted one")
    say(f"The interrupted run equals the uninterrupted one. {time.perf_counter() - began:.0f} s in all.")


if __name__ == "__main__":
    main()
