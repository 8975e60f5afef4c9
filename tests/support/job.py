"""Several ranks as real processes, with a time limit; quick to start, for a fork server has imported torch already."""

import multiprocessing as mp
import os
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch.distributed as dist

LIMIT = 60.0
_context = mp.get_context("forkserver")
_context.set_forkserver_preload(["torch", "torch.distributed", "pyarrow.parquet", "shardline", "support.job"])


def job(ranks: int, function: Callable[..., Any], *args: Any, limit: float = LIMIT) -> list[Any]:
    """What `function(rank, *args)` returned on each rank of a gloo job, or the (type's name, message) of its error.

    The store's server lives here, so that no rank's end takes it from the others. A job that takes longer than `limit`
    seconds is killed, and fails.
    """
    server = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    pipes, processes = [], []
    for rank in range(ranks):
        here, there = _context.Pipe(duplex=False)
        process = _context.Process(target=_member, args=(there, server.port, rank, ranks, function, args), daemon=True)
        process.start()
        there.close()
        pipes.append(here)
        processes.append(process)
    end = time.monotonic() + limit
    try:
        results = []
        for rank, pipe in enumerate(pipes):
            assert pipe.poll(max(0.0, end - time.monotonic())), f"rank {rank} hangs: {limit} seconds were not enough"
            try:
                results.append(pipe.recv())
            except EOFError:
                results.append(("died", ""))
        return results
    finally:
        for process in processes:
            process.kill()
            process.join()


def _member(pipe: Any, port: int, rank: int, ranks: int, function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    warnings.simplefilter("ignore")
    store = dist.TCPStore("127.0.0.1", port, is_master=False)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=ranks)
    try:
        result = function(rank, *args)
    except Exception as error:
        result = (type(error).__name__, str(error))
    pipe.send(result)
    pipe.close()
    time.sleep(LIMIT)  # the job ends when all are done: gloo's threads of others may still talk to this one
