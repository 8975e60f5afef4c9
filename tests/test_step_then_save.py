"""`step(n)` that saved, and then `save(n)`: written once, unless anything has changed between."""

import pytest
import torch

import shardline


@pytest.fixture
def run(tmp_path):
    model = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)
    extra = {"seen": 1}
    checkpointer = shardline.Checkpointer(tmp_path, model=model, optimizer=optimizer, extra=extra, every_steps=2)
    assert checkpointer.step(2)
    return tmp_path, checkpointer, model, extra


def written(directory):
    return {path.name: path.stat().st_ino for path in directory.iterdir()}


def test_a_save_of_what_was_just_saved_writes_nothing(run):
    directory, checkpointer, _, _ = run
    before = written(directory)
    assert checkpointer.save(2)
    assert written(directory) == before
    assert checkpointer.save(4)
    assert len(written(directory)) == 2


def unseen(model):
    with torch.no_grad():
        model.weight.data.add_(1)  # which no version counter counts


CHANGES = {
    "a weight": lambda model, extra: unseen(model),
    "a value": lambda model, extra: extra.update(seen=2),
    "a generator": lambda model, extra: torch.rand(1),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_has_changed_is_written(run, change):
    directory, checkpointer, model, extra = run
    before = written(directory)
    CHANGES[change](model, extra)
    assert checkpointer.save(2)
    after = written(directory)
    assert after != before
    assert len(after) == 1
    weight = model.weight.clone()
    extra["seen"] = 9
    with torch.no_grad():
        model.weight.zero_()
    checkpointer.restore()
    assert torch.equal(model.weight, weight)
    assert extra == {"seen": 2 if change == "a value" else 1}


def test_metrics_and_values_are_written(run):
    directory, checkpointer, _, _ = run
    assert checkpointer.save(2, metrics={"val_loss": 0.5})
    assert checkpointer.save(2, metrics={"val_loss": 0.5}, values={"mean": 2})
    restored = checkpointer.restore("best")
    assert (restored.metrics, restored.values) == ({"val_loss": 0.5}, {"mean": 2})
    assert len(written(directory)) == 1


def test_one_that_is_damaged_is_written_again(run):
    directory, checkpointer, _, _ = run
    (path,) = directory.iterdir()
    (path / "model.pt").write_bytes(b"")
    checkpointer.save(3)
    checkpointer.save(2)
    assert checkpointer.restore(2).step == 2


def test_the_end_of_an_epoch_that_was_seen_since_is_written(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"x": range(8)}), tmp_path / "x.parquet")
    loader = shardline.DataLoader(tmp_path / "x.parquet", batch_size=4)
    checkpointer = shardline.Checkpointer(tmp_path / "checkpoints", data=loader, every_steps=1)
    for step, _ in enumerate(loader, 1):
        checkpointer.step(step)
    checkpointer.save(2)
    assert checkpointer.restore().epoch == 1
