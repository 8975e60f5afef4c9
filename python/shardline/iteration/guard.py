"""Refusals where rows would be lost or come twice because of what stands around a dataset."""

import sys
from types import FrameType

import torch.distributed as dist
from torch.utils.data._utils import collate, fetch

from shardline.errors import ShardlineRuntimeError

_FETCH = fetch._IterableDatasetFetcher.fetch.__code__
_DISPATCHES = "DataLoaderDispatcher."  # of accelerate, which reads on rank 0 for all ranks
_SHARDS_AGAIN = "IterableDatasetShard.__iter__"  # of accelerate and transformers, which put it around a dataset
_LOOKS_AHEAD = "_WrappedDataLoader._prefetch_next_batch"  # of ray.train.torch.prepare_data_loader


def check_not_batched_again(caller: FrameType) -> None:
    """A dataset gives whole batches. `caller`: who asks for one.

    Raises:
        ShardlineRuntimeError: A loader would make batches of batches, or share them out among ranks a second time.
    """
    # A frame's variables are looked at only where it is one of theirs: a look keeps what they refer to alive.
    if caller.f_code.co_qualname == _SHARDS_AGAIN:
        raise ShardlineRuntimeError(
            "an IterableDatasetShard would share the batches of this dataset out among ranks a second time, and most "
            "rows would be lost: a StructuredDataset gives each rank its own batches. Give the framework a "
            "shardline.DataLoader, not the dataset"
        )
    if caller.f_code is not _FETCH:
        return
    fetcher = caller.f_locals["self"]
    if not fetcher.auto_collation:
        return
    wanted = len(caller.f_locals["possibly_batched_index"])
    if wanted != 1 or fetcher.collate_fn in (collate.default_collate, collate.default_convert):
        raise ShardlineRuntimeError(
            f"a torch DataLoader with batch_size={wanted} would make batches of batches: a StructuredDataset gives "
            "whole batches. Use shardline.DataLoader(dataset), or torch.utils.data.DataLoader(dataset, "
            "batch_size=None). To skip batches, which frameworks do by such a loader: load_state_dict(), or seek(step)"
        )


def looks_ahead(caller: FrameType) -> bool:
    """Whether what asks for a batch holds it back while its own caller has the one before."""
    return caller.f_code.co_qualname == _LOOKS_AHEAD


def check_not_ahead(looked_ahead: bool) -> None:
    """A state is asked for in mid-epoch. `looked_ahead`: by something of which `looks_ahead` is true.

    Raises:
        ShardlineRuntimeError: The state would count a batch that nobody was trained on.
    """
    if looked_ahead:
        raise ShardlineRuntimeError(
            "ray.train.torch.prepare_data_loader has taken a batch that your loop was not given yet, and this state "
            "would count it, and a resume would lose it. Use shardline.integrations.ray.prepare_data_loader(loader) "
            "and its state_dict(), or loader.state_at(step) of the steps trained on in this epoch"
        )


def check_not_dispatched(num_ranks: int) -> None:
    """Looks at who calls: what reads on rank 0 only, and shares that out, would lose the rows of the other ranks.

    In a worker that was forked its parent's frames are still there.

    Raises:
        ShardlineRuntimeError: accelerate's `DataLoaderDispatcher` iterates over a dataset that has a part of the rows.
    """
    frame = sys._getframe(1) if num_ranks > 1 else None
    while frame is not None:
        if frame.f_code.co_qualname.startswith(_DISPATCHES):
            raise ShardlineRuntimeError(
                "accelerate would read this dataset on rank 0 only and share its batches out, but it has one of "
                f"{num_ranks} parts of the rows there: the others would be lost. Give prepare() a "
                "shardline.DataLoader, which it leaves as it is, or make the dataset with rank=0 and num_ranks=1"
            )
        frame = frame.f_back


def check_ranks_known(by_default: bool) -> None:
    """`by_default`: the dataset was made as rank 0 of 1, because no ranks were given and there was no process group.

    Raises:
        ShardlineRuntimeError: There is a process group of several ranks now, each of which would read every row.
    """
    if by_default and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        raise ShardlineRuntimeError(
            f"this loader was made before the process group of {dist.get_world_size()} ranks, as rank 0 of 1, so that "
            "every rank would read every row. Make it after init_process_group() (in Lightning in train_dataloader(), "
            "else in the function that mp.spawn calls), or give rank= and num_ranks= (0 and 1 if every rank is to read "
            "everything)"
        )
