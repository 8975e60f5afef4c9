"""Any byte of the newest checkpoint changed, or its files cut short: noticed, and the one before is restored."""

import itertools
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import examples
from support.small import names

from shardline import Checkpointer, CheckpointError, DataLoader


class Two:
    """Two checkpoints, of which the newest is damaged and mended again and again."""

    def __init__(self, folder, data):
        self.folder, self.turns = folder, itertools.count()
        self.every = 1 if isinstance(folder, Path) else 6  # a store takes its time
        model = torch.nn.Linear(3, 2)
        optimizer = torch.optim.AdamW(model.parameters())
        self.loader = DataLoader(data, batch_size=10)
        self.ck = Checkpointer(folder, model=model, optimizer=optimizer, data=self.loader, extra={"note": "x"})
        for step in (1, 2):
            self.ck.save(step, metrics={"val_loss": 0.5}, values={"a": [1, "b"]})
        self.files = {path.name: path.read_bytes() for path in (folder / "step-2").iterdir()}

    def check(self, name, damaged):
        if next(self.turns) % self.every:
            return
        path = self.folder / "step-2" / name
        path.write_bytes(damaged)
        try:
            restored = self.ck.restore()
        finally:
            path.write_bytes(self.files[name])
        assert restored.step == 1, (name, len(damaged))
        assert len(restored.skipped) == 1
        assert name in restored.skipped[0] or "manifest" in restored.skipped[0]


@pytest.fixture
def two(hundred, place):
    pair = Two(place / "ck", hundred)
    assert pair.ck.restore().step == 2
    return pair


def test_every_byte_of_the_manifest(two):
    whole = two.files["manifest.json"]
    for place in range(0, len(whole), 7):
        two.check("manifest.json", whole[:place] + bytes([whole[place] ^ 0x20]) + whole[place + 1 :])
    for end in range(0, len(whole), 97):
        two.check("manifest.json", whole[:end])


NAMES = ["data.json", "extra.json", "manifest.json", "model.pt", "optimizer.pt", "rng_0.pt"]


@examples(100)
@given(st.sampled_from(NAMES), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
def test_any_byte_flipped(two, name, place, mask):
    whole = two.files[name]
    at = int(place * len(whole))
    two.check(name, whole[:at] + bytes([whole[at] ^ mask]) + whole[at + 1 :])


@examples(50)
@given(st.sampled_from(NAMES), st.floats(0, 1, exclude_max=True))
def test_any_file_cut_short(two, name, place):
    two.check(name, two.files[name][: int(place * len(two.files[name]))])


def test_files_missing_or_longer(two):
    for name, whole in two.files.items():
        two.check(name, whole + b"\0")
        (two.folder / "step-2" / name).unlink()
        assert two.ck.restore().step == 1
        (two.folder / "step-2" / name).write_bytes(whole)


def test_none_is_whole(two):
    for step in (1, 2):
        (two.folder / f"step-{step}" / "model.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="(?s)none of the checkpoints .* is whole:.*step-2.*step-1.*start afresh"):
        two.ck.restore()
    with pytest.raises(CheckpointError, match="none of the checkpoints"):
        two.ck.restore(2)


def test_what_is_not_whole_does_not_count_as_kept(hundred, place):
    Two(place / "ck", hundred)
    ck = Checkpointer(place / "ck", extra={}, keep_last=1, keep_best=0)
    (place / "ck" / "step-2" / "extra.json").write_bytes(b"")
    assert ck.restore(only="extra").step == 1
    ck.save(5)
    assert names(place / "ck") == ["step-5"]


def test_the_wanted_files_only(two):
    """What is not restored need not be whole."""
    (two.folder / "step-2" / "optimizer.pt").write_bytes(b"")
    assert two.ck.restore(only="model").step == 2
