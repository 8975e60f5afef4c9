"""What holds for a loader holds for one of a mixture: workers, states, checkpoints, filters, transforms, packs."""

import gc
import json
import multiprocessing
import pickle
import weakref
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from support import reading
from support.mixed import SEED, Job, rows_of
from torchdata.stateful_dataloader import StatefulDataLoader

import shardline
from shardline import At, Checkpointer, DataLoader, Mixture, Pack, Ramp, Source
from shardline.checkpoint.captured_state import check_places
from shardline.checkpoint.parts import make_parts


@pytest.fixture
def paths(tmp_path):
    found = {}
    for name, rows in (("web", 60), ("code", 30), ("math", 12)):
        found[name] = tmp_path / f"{name}.parquet"
        pq.write_table(pa.table({"i": pa.array(range(rows), pa.int64())}), found[name], row_group_size=9)
    return found


def mixture(paths, weights=None, **options):
    weights = weights or {"web": 3, "code": 1}
    return Mixture({name: Source(paths[name], weight) for name, weight in weights.items()}, **options)


GIVEN = {"batch_size": 4, "shuffle": True, "shuffle_seed": SEED}


def double(batch):
    """A transform."""
    return {**batch, "i": batch["i"] * 2}


def negative(batch):
    """A transform of one source."""
    return {"i": -batch["i"]}


def noisy(batch):
    """A transform that draws."""
    return {**batch, "noise": torch.rand(3)}


def test_workers_and_threads_change_nothing(paths):
    mixed = mixture(paths, batches=12)
    expected = [rows_of(batch) for batch in DataLoader(mixed, transform=double, **GIVEN)]
    assert expected[0] != rows_of(next(iter(DataLoader(mixed, **GIVEN))))
    for numbers in range(3):
        loader = DataLoader(mixed, transform=double, num_workers=2, **GIVEN, **reading(numbers))
        batches = iter(loader)
        found = [rows_of(next(batches)) for _ in range(5)]
        loader.set_weights(web=3, code=1)  # the same: read anew, and nothing else
        found += [rows_of(batch) for batch in batches]
        assert found == expected


@pytest.mark.filterwarnings("ignore:.set_vital:UserWarning")
def test_under_torchs_own_loaders(paths):
    mixed = mixture(paths, batches=13)
    expected = [rows_of(batch) for batch in DataLoader(mixed, **GIVEN)]
    dataset = shardline.MixtureDataset(mixed, **GIVEN)
    plain = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=0)
    assert [rows_of(batch) for batch in plain] == expected
    loader = StatefulDataLoader(shardline.MixtureDataset(mixed, **GIVEN), batch_size=None, num_workers=2)
    batches = iter(loader)
    assert [rows_of(next(batches)) for _ in range(5)] == expected[:5]
    state = loader.state_dict()
    again = StatefulDataLoader(shardline.MixtureDataset(mixed, **GIVEN), batch_size=None, num_workers=2)
    again.load_state_dict(state)
    assert [rows_of(batch) for batch in again] == expected[5:]
    ours = DataLoader(mixed, **GIVEN)
    ours.load_state_dict(shardline.job_state(state))
    assert [rows_of(batch) for batch in ours] == expected[5:]


def test_a_pickled_dataset_goes_on(paths):
    loader = DataLoader(mixture(paths, batches=12), **GIVEN)
    batches = iter(loader)
    expected = [rows_of(batch) for batch in DataLoader(mixture(paths, batches=12), **GIVEN)]
    assert [rows_of(next(batches)) for _ in range(4)] == expected[:4]
    loader.set_weights(web=3, code=1)
    copied = pickle.loads(pickle.dumps(loader.dataset))
    assert [rows_of(batch) for batch in copied] == expected[4:]
    assert copied.state_dict() != loader.state_dict()


def test_epochs_seek_and_states_of_steps(paths):
    loader = DataLoader(mixture(paths, batches=10), **GIVEN)
    first, second = ([rows_of(batch) for batch in loader] for _ in range(2))
    assert first != second
    assert loader.epoch == 2
    loader.set_epoch(0)
    assert [rows_of(batch) for batch in loader] == first
    other = DataLoader(mixture(paths, batches=10), **GIVEN)
    other.load_state_dict(loader.state_at(7, 1))
    assert (other.epoch, other.batch_index, other.remaining, len(other)) == (1, 7, 3, 10)
    assert [rows_of(batch) for batch in other] == second[7:]
    other.seek(4)
    assert [rows_of(batch) for batch in other] != second[4:]
    other.set_epoch(1)
    other.seek(4)
    assert [rows_of(batch) for batch in other] == second[4:]
    assert other.dataset.head(5)["i"].shape == (5,)


def test_rows_at_names_the_rows_that_come(paths):
    loader = DataLoader(mixture(paths, batches=30), num_shards=2, **GIVEN)
    for step, batch in enumerate(loader):
        named = []
        for name, file, group, first, end in loader.dataset.rows_at(step, epoch=0):
            assert file == f"{name}.parquet"
            named += [(loader.mixture.names.index(name), 9 * group + row) for row in range(first, end)]
        assert sorted(named) == sorted(rows_of(batch))


def test_filters_transforms_and_columns_of_a_source(paths):
    sources = {
        "web": Source(paths["web"], 2, filters=[("i", ">=", 50)], transform=negative),
        "code": Source(paths["code"], 1, sample=0.5),
    }
    kept = {row for batch in DataLoader(paths["code"], sample=0.5) for row in batch["i"].tolist()}
    for workers in (0, 1):
        loader = DataLoader(Mixture(sources, batches=10), batch_size=6, num_workers=workers)
        rows = [row for batch in loader for row in rows_of(batch)]
        assert {row for source, row in rows if source == 0} == set(range(-59, -49))
        assert {row for source, row in rows if source == 1} == kept
    state = loader.state_dict()
    other = {**sources, "web": Source(paths["web"], 2, filters=[("i", ">=", 51)])}
    with pytest.raises(shardline.CheckpointMismatchError, match="rows of source 'web'"):
        DataLoader(Mixture(other, batches=10), batch_size=6).load_state_dict(state)

    def wrong(batch):
        return {"i": batch["i"].float()}

    bad = {"web": Source(paths["web"], transform=wrong)}
    with pytest.raises(shardline.ShardlineTypeError, match="transform= of source 'web' made 'i' of another shape"):
        next(iter(DataLoader(Mixture(bad), batch_size=6)))


@pytest.mark.parametrize("output_format", ["torch", "numpy", "arrow", "dict"])
def test_every_form_of_a_batch_has_the_source(paths, output_format):
    expected = [rows_of(batch) for batch in DataLoader(mixture(paths, batches=5), **GIVEN)]
    found = []
    loader = DataLoader(mixture(paths, batches=5), output_format=output_format, **GIVEN)
    for batch in loader:
        assert list(loader.dataset.schema) == (batch.schema.names if output_format == "arrow" else list(batch))
        if output_format == "arrow":
            batch = {name: batch[name].to_numpy() for name in batch.schema.names}
        assert output_format == "dict" or batch["source"].dtype in (torch.int16, np.int16)
        found.append(list(zip(*(list(map(int, batch[name])) for name in ("source", "i")), strict=True)))
    assert found == expected


def test_sources_join_and_leave(paths):
    """Nothing of the other sources changes, and the numbers stay."""
    job = Job(mixture(paths), 1, batch_size=4, shuffle=True)
    seen = [row for batch in job.take(5) for row in batch]
    state = job.state()
    more = Mixture({"math": Source(paths["math"], 0), **mixture(paths).sources})
    job = Job(more, 1, json.loads(json.dumps(state)), batch_size=4, shuffle=True)
    (loader,) = job.loaders
    assert loader.mixture.names == ["web", "code", "math"]
    loader.set_weights(math=4, code=0)
    after = [row for batch in job.take(6) for row in batch]
    assert {source for source, _ in after} == {0, 2}
    seen += after
    state = job.state()
    left = Mixture({"math": Source(paths["math"], 0), "web": Source(paths["web"], 3)})
    rest = [row for batch in job.take(6) for row in batch]
    job = Job(left, 1, state, batch_size=4, shuffle=True)
    assert [row for batch in job.take(6) for row in batch] == rest
    assert job.loaders[0].mixture.names == ["web", "code", "math"]
    without = Mixture({"math": Source(paths["math"], 0), "code": Source(paths["code"], 1)})
    with pytest.raises(shardline.CheckpointMismatchError, match="source 'web'"):
        Job(without, 1, state, batch_size=4, shuffle=True)  # it has a weight to come
    for source, rows in ((0, 60), (2, 12)):
        delivered = [row for of, row in seen if of == source]
        assert len(set(delivered[:rows])) == min(rows, len(delivered)), "once before twice"


def test_weights_of_sequences_are_weights_of_tokens(tmp_path):
    for name, length, start in (("short", 10, 0), ("long", 90, 100_000)):
        lists = [list(range(start + 100 * row, start + 100 * row + length)) for row in range(120)]
        pq.write_table(pa.table({"ids": pa.array(lists, pa.list_(pa.int32()))}), tmp_path / f"{name}.parquet")
    sources = {name: Source(tmp_path / f"{name}.parquet") for name in ("short", "long")}
    pack = Pack("ids", seq_len=16, mode="wrap", labels="next")
    loader = DataLoader(Mixture(sources, tokens=16 * 8 * 20), pack=pack, **{**GIVEN, "batch_size": 8})
    assert len(loader) == 20
    for batch in loader:
        assert batch["source"].bincount().tolist() == [4, 4]
        is_long = batch["input_ids"].amax(1) >= 100_000
        assert torch.equal(is_long, batch["source"] == 1)
        assert batch["cu_seqlens"][-1] == 8 * 16
    counts = loader.mixture.at(20)
    assert [count.tokens for count in counts.values()] == [16 * 80] * 2


@pytest.mark.parametrize("mode", ["wrap", "fit"])
def test_packed_rounds_have_every_token(tmp_path, mode):
    for name in ("a", "b"):
        lists = [[ord(name) * 1000 + row] * (1 + row % 7) for row in range(50)]
        pq.write_table(pa.table({"ids": pa.array(lists, pa.list_(pa.int32()))}), tmp_path / f"{name}.parquet")
    pack = Pack("ids", seq_len=8, mode=mode)
    alone = {
        name: sorted(
            batch["input_ids"][batch["segment_ids"] > 0].tolist()
            for batch in DataLoader(tmp_path / f"{name}.parquet", pack=pack, batch_size=1000)
        )[0]
        for name in ("a", "b")
    }
    sources = {name: Source(tmp_path / f"{name}.parquet", epochs=2) for name in ("a", "b")}
    loader = DataLoader(Mixture(sources), pack=pack, batch_size=3, shuffle=True)
    found = [token for batch in loader for token in batch["input_ids"][batch["segment_ids"] > 0].tolist()]
    assert sorted(found) == sorted(2 * (alone["a"] + alone["b"]))


def test_a_checkpoint_keeps_the_mixture(paths, tmp_path):
    mixed = mixture(paths, schedule=[At(3, web=1), Ramp(5, 15, web=0.25, stairs=4)], batches=30)
    loader = DataLoader(mixed, **GIVEN)
    checkpointer = Checkpointer(tmp_path / "checkpoints", data=loader)
    batches = iter(loader)
    for _ in range(7):
        next(batches)
    loader.set_weights(code=9)
    checkpointer.save(7)
    checkpointer.wait()
    expected = [rows_of(batch) for batch in batches]
    other = DataLoader(mixed, **GIVEN)
    Checkpointer(tmp_path / "checkpoints", data=other).restore()
    assert [rows_of(batch) for batch in other] == expected
    assert "a mixture of 2 sources" in shardline.describe(loader.state_dict())
    assert "a mixture" in str(shardline.read_state(tmp_path / "checkpoints"))


def test_ranks_with_other_weights_save_nothing(paths, tmp_path):
    loaders = [DataLoader(mixture(paths, batches=30), rank=rank, num_ranks=2, **GIVEN) for rank in range(2)]
    for loader in loaders:
        next(iter(loader))

    def check():
        places = ({"data": make_parts({"data": loader})["data"].place} for loader in loaders)
        check_places([SimpleNamespace(plain={"places": place}) for place in places])

    check()
    loaders[1].set_weights(web=1)
    with pytest.raises(shardline.CheckpointError, match="'data' has other weights on rank 1 than on rank 0"):
        check()
    loaders[0].set_weights(web=1)
    check()


def test_the_state_is_small(tmp_path):
    """Under 8 KiB for 100 sources of 10 files."""
    sources = {}
    for number in range(100):
        folder = tmp_path / f"domain-{number:03}"
        folder.mkdir()
        for file in range(10):
            pq.write_table(pa.table({"i": pa.array(range(3), pa.int64())}), folder / f"part-{file:05}.parquet")
        sources[folder.name] = Source(folder, weight=round(0.01 + number / 777, 4))
    loader = DataLoader(Mixture(sources, schedule=[At(500, {"domain-007": 0.5})], batches=1000), **GIVEN)
    next(iter(loader))
    loader.set_weights({"domain-042": 0.3})
    state = loader.state_dict()
    assert len(json.dumps(state)) < 8192
    assert len(pickle.dumps(state)) < 8192


def test_a_loader_that_is_dropped_is_freed_at_once(paths):
    """No circle keeps it: its worker processes and threads end with it."""
    gc.disable()
    try:
        loader = DataLoader(mixture(paths, batches=5), transform=dict, num_workers=1, **GIVEN)
        batches = iter(loader)
        next(batches)
        loader.set_weights(web=1)
        next(batches)
        freed = weakref.ref(loader)
        del loader, batches
        assert freed() is None
        assert multiprocessing.active_children() == []
    finally:
        gc.enable()
