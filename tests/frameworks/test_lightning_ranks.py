"""Lightning and Fabric on two ranks, by torchrun, and Fabric on one: as in `test_lightning`."""

import json
import warnings
from importlib.metadata import version

import pytest
from frameworks import fabric_training as fabric
from frameworks import lightning_ranks
from frameworks import lightning_training as t
from frameworks import small_training as small
from support import programs

pytestmark = [pytest.mark.frameworks, *map(pytest.mark.filterwarnings, t.QUIET)]
VERSION = version("lightning")
LIMIT = 900
CHECKS = [*lightning_ranks.CASES, "checkpoints of one rank", "fabric, with set_epoch", "fabric, without set_epoch"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return small.write(tmp_path_factory.mktemp("lightning") / "data")


@pytest.fixture(scope="module")
def one_rank(data, tmp_path_factory):
    """A folder with the batches and checkpoints of a run on one rank."""
    out = tmp_path_factory.mktemp("ranks")
    module = t.Module(data, num_shards=2)
    t.fit(module, out / "one", callbacks=t.savers(out / "one"))
    (out / "one.json").write_text(json.dumps(module.seen))
    for name in ("step-006", "step-020", "step-034", "epoch-000"):
        (out / "one" / f"{name}.ckpt").rename(out / f"one-{name}.ckpt")
    return out


@pytest.fixture(scope="module")
def ranks(data, one_rank):
    """What each of two ranks found."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", lightning_ranks.__file__]
    done = programs.run(*command, data, one_rank, timeout=LIMIT)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads((one_rank / f"rank-{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.timeout(LIMIT + 60)
@pytest.mark.parametrize("check", CHECKS)
def test_two_ranks_resume_exactly(ranks, check, say):
    for results in ranks:
        tried, wrong = results[check]
        assert tried
        assert not wrong
    say(f"lightning {VERSION}, 2 ranks, {check}: {tried} of {tried} stops exact")


@pytest.mark.timeout(LIMIT + 60)
def test_checkpoints_of_two_ranks_on_one(ranks, one_rank, data, say):
    batches = json.loads((one_rank / "one.json").read_text())
    checkpoints = lightning_ranks.stops(one_rank / "plain")
    for ckpt in checkpoints:
        resumed = t.Module(data, num_shards=2)
        t.fit(resumed, one_rank, ckpt=ckpt)
        assert resumed.seen == batches[2 * t.trained(ckpt) :], ckpt.stem
    say(f"lightning {VERSION}, from 2 ranks to 1: {len(checkpoints)} of {len(checkpoints)} stops exact")


@pytest.mark.parametrize("named", [True, False])
def test_fabric_on_one_rank(tmp_path, data, named, say):
    with warnings.catch_warnings():
        if not named:  # an empty pass then warns, and no row is lost
            warnings.filterwarnings("ignore", ".*delivers nothing", RuntimeWarning)
        tried, wrong = fabric.check(data, tmp_path, 1, named)
    assert not wrong
    say(f"lightning {VERSION}, fabric on 1 rank: {tried} of {tried} stops exact")


BEFORE_THE_GROUP = """
import sys
from pathlib import Path
from frameworks import lightning_training as t, small_training as small

data, strategy = Path(sys.argv[1]), sys.argv[2]
t.trainer(data.parent, strategy=strategy, devices=2).fit(t.Module(data), small.loader(data))
"""


@pytest.mark.parametrize("strategy", ["ddp_fork", "ddp"])
def test_a_loader_made_before_the_group_raises(tmp_path, data, strategy):
    """`fit(module, loader)`: made as rank 0 of 1, it would give every row to both."""
    script = tmp_path / "script.py"  # which "ddp" starts again for the second rank
    script.write_text(BEFORE_THE_GROUP)
    done = programs.run(script, data, strategy)
    assert done.returncode
    assert "train_dataloader()" in done.stderr or "WORLD_SIZE" in done.stderr, done.stderr
    assert "num_ranks=" in done.stderr
