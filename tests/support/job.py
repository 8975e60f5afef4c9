"""Several ranks as real processes, with a time limit; quick to start, for a fork server has imported torch already."""

import faulthandler
import os
import sys
import time
import warnings
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import torch.distributed as dist

from shardline import ShardlineError
from support import context

LIMIT = 60.0
DIED = ("died", "")
_context = context("forkserver")


def new_server() -> Any:
    """The store of a job; one that is given to several outlives their processes, as torchrun's does."""
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


def job(
    ranks: int,
    function: Callable[..., Any],
    *args: Any,
    limit: float = LIMIT,
    server: Any = None,
    started: Callable[[list[BaseProcess]], object] = lambda processes: None,
) -> list[Any]:
    """What `function(rank, *args)` returned on each rank of a gloo job, or the (type's name, message) of its error.

    The store's server lives here, so that no rank's end takes it from the others. A job that takes longer than `limit`
    seconds is killed, and fails. Where one rank dies, all are killed, and DIED is what each returned. `started` is told
    the processes of the ranks.
    """
    server, life = server or new_server(), str(time.time_ns())
    pipes: list[Any] = []
    processes: list[BaseProcess] = []
    for rank in range(ranks):
        here, there = _context.Pipe(duplex=False)
        process = _context.Process(
            target=_member, args=(there, server.port, life, limit, rank, ranks, function, args), daemon=True
        )
        process.start()
        there.close()
        pipes.append(here)
        processes.append(process)
    end = time.monotonic() + limit
    try:
        started(processes)
        results: dict[int, Any] = {}
        while len(results) < ranks:
            waiting = [pipe for rank, pipe in enumerate(pipes) if rank not in results]
            ready = wait(waiting, max(0.0, end - time.monotonic()))
            assert ready, f"{len(waiting)} ranks hang: {limit} seconds were not enough"
            for pipe in ready:
                try:
                    results[pipes.index(pipe)] = pipe.recv()
                except EOFError:  # killed: the others end with it, as under torchrun
                    return [DIED] * ranks
        return [results[rank] for rank in range(ranks)]
    finally:
        for process in processes:
            process.kill()
            process.join()


def _member(
    pipe: Any,
    port: int,
    life: str,
    limit: float,
    rank: int,
    ranks: int,
    function: Callable[..., Any],
    args: tuple[Any, ...],
) -> None:
    faulthandler.dump_traceback_later(0.9 * limit, file=sys.__stderr__)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    warnings.simplefilter("ignore")
    store = dist.TCPStore("127.0.0.1", port, is_master=False)
    # gloo would try to reach the ranks of a life before; what is tested here is that shardline does not
    dist.init_process_group("gloo", store=dist.PrefixStore(life, store), rank=rank, world_size=ranks)
    dist.distributed_c10d._get_default_store = lambda: store
    try:
        result = function(rank, *args)
    except Exception as error:
        result = (type(error).__name__, str(error))
    faulthandler.cancel_dump_traceback_later()
    pipe.send(result)
    pipe.close()
    time.sleep(LIMIT)  # the job ends when all are done: gloo's threads of others may still talk to this one


def refused(function: Callable[..., Any], *args: Any) -> tuple[str, str, float]:
    """The (type's name, message) of a call that raises, and how many seconds it took."""
    start = time.monotonic()
    try:
        function(*args)
    except ShardlineError as error:
        return type(error).__name__, str(error), time.monotonic() - start
    raise AssertionError("no error")
