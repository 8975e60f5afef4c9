"""Several ranks that save to a store: each its pieces, loaded by any number of ranks."""

import pytest
import torch
from support import ranked
from support.job import DIED, job

from shardline import Checkpointer, CheckpointError


def in_store(bucket, ranks, function, *args):
    return job(ranks, ranked.in_store, bucket.environ, function, *args)


@pytest.mark.parametrize("blocking", [pytest.param(True, marks=pytest.mark.long), False])
def test_fsdp_saved_on_2_ranks_goes_on_on_2_and_is_loaded_on_1_and_4(hundred, bucket, blocking):
    """One rank is killed after its 14th step; batches, losses and weights are those of a run that was not."""
    common = ("fsdp", False)
    expected = in_store(bucket, 2, ranked.train, hundred, bucket.url / "whole", *common, None, 1, blocking)
    killed = bucket.url / "killed"
    assert in_store(bucket, 2, ranked.train, hundred, killed, *common, 14, 1, blocking) == [DIED] * 2
    resumed = in_store(bucket, 2, ranked.train, hundred, killed, *common, None, 1, blocking)
    for one, other in zip(resumed, expected, strict=True):
        assert one[1] == other[1][len(other[1]) - len(one[1]) :]
        assert one[2] == other[2]
    net = ranked.Net()
    optimizer = torch.optim.AdamW(net.parameters())
    one = Checkpointer(killed / "shared", model=net, optimizer=optimizer)
    assert one.restore().step == 48
    assert ranked.numbers(net) == expected[0][2]
    assert len(optimizer.state) == 4
    for found in in_store(bucket, 4, ranked.load_whole, killed):
        assert found == (expected[0][2], expected[0][2])
    assert not [key for key in bucket.objects if ".uploads" in key or ".tmp" in key]
    # a piece of another rank is looked at too
    key = f"{one.list()[-1].path}/sharded/__1_0.distcp".removeprefix(f"{bucket.url}/")
    bucket.write(key, bucket.objects[key][:-1] + b"?")
    restored = one.restore(only="model")
    assert restored.step == 45
    assert "sharded/__1_0.distcp is not as it was written" in restored.skipped[0]
    for key in [key for key in bucket.objects if key.endswith("__0_0.distcp")]:
        bucket.remove(key)
    with pytest.raises(CheckpointError, match=r"(?s)none of the checkpoints.*__0_0.distcp cannot be read: .*removed"):
        one.restore(only="model")


def test_ddp_and_what_every_rank_has_of_its_own(hundred, bucket):
    common = (hundred, bucket.url / "ddp", "ddp", False)
    expected = in_store(bucket, 2, ranked.train, hundred, bucket.url / "whole", "ddp", False, None)
    assert in_store(bucket, 2, ranked.train, *common, 13) == [DIED] * 2
    resumed = in_store(bucket, 2, ranked.train, *common, None)
    assert [rank[2] for rank in resumed] == [rank[2] for rank in expected]
