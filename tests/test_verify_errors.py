"""`shardline verify` where nothing can be found out."""

import os

import pytest
from support.command import call, fails

import shardline
from shardline import ShardlineRuntimeError, ShardlineTypeError, ShardlineValueError, verify

# Processes that import torch, several to a test.
pytestmark = [pytest.mark.usefixtures("quick"), pytest.mark.timeout(300)]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("raises", "KeyError: 'label'"),
        ("nothing", "it returned None"),
        ("dies", "ended by SIGKILL"),
        ("augmnt", "did you mean 'augment'"),
        ("OWN", "OWN is not a function"),
    ],
)
def test_a_transform_that_does_not_work_at_all(hundred, planted, name, said):
    with pytest.raises(ShardlineRuntimeError) as error:
        verify(hundred, transform=planted(name), batch_size=5)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"transform": "none.py:f"}, shardline.ShardlineFileNotFoundError, "no such file: none.py"),
        ({"transform": "augment"}, ShardlineValueError, 'write "file.py:function"'),
        ({"transform": 3}, ShardlineTypeError, "transform must be a function or its place"),
        ({"transform": lambda batch: batch}, ShardlineTypeError, "cannot be sent to a new process"),
        ({"ranks": (1, 3), "num_shards": 4}, ShardlineValueError, "3 does not divide num_shards=4"),
        ({"ranks": 2}, ShardlineTypeError, "ranks must be a list of numbers"),
        ({"workers": (-1,)}, ShardlineValueError, "workers must be between 0"),
        ({"num_workers": 2}, ShardlineTypeError, "num_workers= is not taken"),
        ({"batchsize": 2}, ShardlineTypeError, "did you mean batch_size="),
        ({"ranks": (64,)}, ShardlineValueError, "fewer than the 64 shards"),
    ],
)
def test_wrong_arguments_are_named(rows, quick, options, error, said):
    with pytest.raises(error, match=said.replace("(", r"\(")):
        verify(rows([[40]]), **{"batch_size": 5, **options})


def test_a_process_that_hangs_is_given_up(hundred, tmp_path, quick):
    os.mkfifo(tmp_path / "never")
    (tmp_path / "waits.py").write_text(f"def wait(batch):\n    open({str(tmp_path / 'never')!r})\n    return batch\n")
    with pytest.raises(ShardlineRuntimeError, match="not done after 2 s"):
        verify(hundred, transform=f"{tmp_path / 'waits.py'}:wait", timeout=2)


def test_wrong_use_of_the_command(hundred):
    assert "write numbers" in " ".join(fails("verify", hundred, "--ranks", "a", code=2).split())
    assert call("verify", hundred, "--stops", 0).exit_code == 2
    assert "--transform" in fails("verify", hundred, "-o", "transform=f", code=2)
