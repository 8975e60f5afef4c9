"""Two processes with one checkpoint directory: neither takes away what the other is writing, and it is said who."""

import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import shardline
from shardline.checkpoint import atomic_write

HOLDS = """
import sys
sys.path[:] = {path!r}
from pathlib import Path
from shardline.checkpoint import atomic_write
print(atomic_write.begin(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(tmp_path):
    """A process that is writing a checkpoint; its directory."""
    program = HOLDS.format(path=sys.path)
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    folder = process.stdout.readline().strip()
    yield process, folder
    process.kill()
    process.communicate()


def save(directory):
    shardline.Checkpointer(directory, model=torch.nn.Linear(1, 1)).save(1)


@pytest.mark.timeout(100)
def test_what_another_process_is_writing_is_left_to_it_and_it_is_named(other, tmp_path, caplog):
    process, folder = other
    with caplog.at_level(logging.WARNING, "shardline"):
        save(tmp_path)
    assert f"process {process.pid} on " in caplog.text
    assert "a directory of its own" in caplog.text
    assert Path(folder).is_dir()
    process.kill()
    process.wait()
    caplog.clear()
    with caplog.at_level(logging.WARNING, "shardline"):
        save(tmp_path)
    assert caplog.text == ""
    assert not Path(folder).exists(), "its writer is dead"


def test_a_number_that_was_given_anew_is_another_process(tmp_path):
    mine = atomic_write.begin(tmp_path)
    assert atomic_write.sweep(tmp_path) == [f"process {os.getpid()} on {atomic_write._host()}"]
    atomic_write.discard(mine)
    host, _pid, _, own = mine.name.removeprefix(atomic_write.UNFINISHED).rsplit("-", 3)
    parent = tmp_path / f"{atomic_write.UNFINISHED}{host}-{os.getppid()}-7-{own}"
    parent.mkdir()
    assert atomic_write.sweep(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_another_hosts_is_left_alone_while_it_is_written_to(tmp_path):
    name = atomic_write.begin(tmp_path).name
    atomic_write.discard(tmp_path / name)
    own = name.rpartition("-")[2]
    there = tmp_path / f"{atomic_write.UNFINISHED}node-7.example-12-34-{own}"
    there.mkdir()
    (there / "model.pt").write_bytes(b"x")
    assert atomic_write.sweep(tmp_path) == ["process 12 on node-7.example"]
    old = time.time() - 2 * 3600
    for path in (there / "model.pt", there):
        os.utime(path, (old, old))
    assert atomic_write.sweep(tmp_path) == []
    assert not there.exists()


def test_directories_of_earlier_versions_are_removed(tmp_path):
    (tmp_path / f"{atomic_write.UNFINISHED}{'0' * 32}").mkdir()
    assert atomic_write.sweep(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_an_unfinished_folder_that_is_gone_is_named_with_its_cause(tmp_path, monkeypatch):
    """Another program, or an earlier version, may have removed it."""
    checkpointer = shardline.Checkpointer(tmp_path, model=torch.nn.Linear(1, 1))
    begin = atomic_write.begin

    def begins_and_goes(above):
        path = begin(above)
        path.rmdir()
        return path

    monkeypatch.setattr(atomic_write, "begin", begins_and_goes)
    with pytest.raises(shardline.CheckpointError, match="removed.*another process.*a directory of its own"):
        checkpointer.save(1)
