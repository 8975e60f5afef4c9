"""Packed sequences: counts, plans, states, workers."""

import itertools
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from support import context, packs
from support.functions import identity
from support.packed import check, epoch_of, groups_of, model, pack_of, write, write_many
from torchdata.stateful_dataloader import StatefulDataLoader

import shardline
from shardline import DataLoader, Pack, Plan, StructuredDataset
from shardline.inspection.state_facts import facts_of, figures_of
from shardline.state.format import read

MODES = pytest.mark.parametrize("mode", ["wrap", "fit"])


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return write_many(tmp_path_factory.mktemp("many"))


def test_counts_are_the_same_by_footers_and_by_reading(many):
    path, files = many
    for pack in ({}, {"bos": 1}, {"bos": 1, "eos": 2}):
        by = [
            StructuredDataset(path, pack=Pack("ids", seq_len=64, mode="wrap", count=count, **pack)).plan.tokens
            for count in ("footers", "lists")
        ]
        assert by[0][1:] == by[1][1:]
        assert by[0][2] == len(packs.token_line(groups_of(files), packs.Pack(64, **pack)))


def test_nothing_is_read_where_footers_tell(many, tmp_path):
    """A damaged page is not noticed until its tokens are read."""
    path, _ = many
    name = "000.parquet"
    meta = pq.read_metadata(path / name).row_group(0).column(1)
    damaged = bytearray((path / name).read_bytes())
    start = meta.dictionary_page_offset or meta.data_page_offset
    damaged[start : start + 40] = b"\xff" * 40
    (tmp_path / name).write_bytes(damaged)
    pack = {"seq_len": 64, "mode": "wrap"}
    dataset = StructuredDataset(tmp_path, pack=Pack("ids", **pack), batch_size=1)
    with pytest.raises(shardline.ShardlineError, match=name):
        next(iter(dataset))
    with pytest.raises(shardline.ShardlineError, match=name):
        StructuredDataset(tmp_path, pack=Pack("ids", count="lists", **pack))


@MODES
@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("output_format", ["torch", "numpy"])
def test_a_loader_delivers_the_same_with_workers_and_as_arrays(many, workers, output_format, mode):
    path, files = many
    pack = packs.Pack(50, mode, eos=99, labels="next", extra_token=True)
    wanted = iter(model(files, pack).blocks)
    transform = identity if workers else None
    loader = DataLoader(
        path,
        pack=pack_of(pack),
        batch_size=4,
        output_format=output_format,
        num_workers=workers,
        transform=transform,
    )
    for batch in loader:
        blocks = list(itertools.islice(wanted, len(batch["input_ids"])))
        if output_format == "numpy":
            assert all(isinstance(batch[name], np.ndarray) for name in ("input_ids", "labels", "cu_seqlens"))
            batch = {name: torch.as_tensor(v) if isinstance(v, np.ndarray) else v for name, v in batch.items()}
        check(batch, blocks, pack)
    assert next(wanted, None) is None


@MODES
def test_torch_workers_share_the_sequences(many, mode):
    path, _ = many
    options = {"pack": Pack("ids", seq_len=50, mode=mode), "batch_size": 4, "shuffle": True}
    expected = epoch_of(path, **options)
    loader = torch.utils.data.DataLoader(
        StructuredDataset(path, **options),
        batch_size=None,
        num_workers=2,
        multiprocessing_context=context("forkserver"),
    )
    assert [ids for batch in loader for ids in batch["input_ids"].tolist()] == expected


def test_a_plan_keeps_its_counts_and_is_for_its_pack_only(many, tmp_path):
    path, _ = many
    pack = Pack("ids", seq_len=50, mode="wrap", eos=3)
    dataset = StructuredDataset(path, pack=pack)
    dataset.plan.save(tmp_path / "plan")
    plan = Plan.load(tmp_path / "plan")
    assert plan == dataset.plan
    assert plan.tokens == dataset.plan.tokens
    assert epoch_of(None, plan=plan, pack=pack) == epoch_of(path, pack=pack)
    for other in (None, Pack("ids", seq_len=51, mode="wrap", eos=3), Pack("ids", seq_len=50, mode="wrap")):
        with pytest.raises(shardline.ShardlineValueError, match="packed sequences .*seq_len=50"):
            StructuredDataset(plan=plan, pack=other)
    with pytest.raises(shardline.ShardlineValueError, match="packed sequences"):
        StructuredDataset(plan=plan, pack=pack, filters=[("row", ">", 5)])


def test_a_state_of_another_pack_is_refused_by_name(many):
    path, _ = many
    made = {"seq_len": 50, "mode": "wrap", "eos": 3}
    dataset = StructuredDataset(path, pack=Pack("ids", **made), batch_size=2)
    batches = iter(dataset)
    next(batches)
    state = dataset.state_dict()
    pack = state["rows"]["pack"]
    known = {"version": 1, "mode": "wrap", "column": "ids", "seq_len": 50, "bos": None, "eos": 3}
    assert pack == {**known, "sequences": dataset.num_rows, "counts": dataset.plan.tokens[1]}
    for change, named in [
        ({"seq_len": 49}, "seq_len of pack: saved 50, here 49"),
        ({"eos": 4}, "eos of pack: saved 3, here 4"),
        ({"bos": 1}, "bos of pack: saved None, here 1"),
    ]:
        other = StructuredDataset(path, pack=Pack("ids", **{**made, **change}), batch_size=2)
        with pytest.raises(shardline.CheckpointMismatchError, match=named):
            other.load_state_dict(state)
    with pytest.raises(shardline.CheckpointMismatchError, match="pack: saved sequences of 'ids', here none"):
        StructuredDataset(path, batch_size=2).load_state_dict(state)
    plain = StructuredDataset(path, batch_size=2)
    with pytest.raises(shardline.CheckpointMismatchError, match="pack: saved none, here sequences"):
        dataset.load_state_dict(plain.state_dict())
    assert "pack" not in plain.state_dict()["rows"], "older versions read states without one"
    broken = {**state, "rows": {**state["rows"], "pack": {**pack, "seq_len": "50", "bos": "x"}}}
    with pytest.raises(shardline.CheckpointMismatchError, match=r"rows\.pack\.seq_len(.|\n)*rows\.pack\.bos"):
        dataset.load_state_dict(broken)
    # What is delivered of a sequence is no part of it.
    same = StructuredDataset(path, pack=Pack("ids", labels="input", count="lists", **made), batch_size=2)
    same.load_state_dict(state)
    assert next(iter(same))["input_ids"].tolist() == next(batches)["input_ids"].tolist()


@MODES
@pytest.mark.parametrize("name", ["0.parquet", "9.parquet"])
def test_files_that_came_since_do_not_change_the_run(many, tmp_path, mode, name):
    """They came before the others, or after them; bundles that go on into them are counted again without them."""
    path, files = many
    write(tmp_path, files[:2])
    options = {"pack": Pack("ids", seq_len=50, mode=mode), "batch_size": 3, "shuffle": True}
    dataset = StructuredDataset(tmp_path, **options)
    whole = [batch["input_ids"].tolist() for batch in dataset]
    state = dataset.state_at(4, epoch=0)
    shutil.copy(path / "002.parquet", tmp_path / name)
    again = StructuredDataset(tmp_path, **options)
    assert again.num_rows > dataset.num_rows
    again.load_state_dict(state)
    assert [batch["input_ids"].tolist() for batch in again] == whole[4:]
    assert again.plan.tokens == dataset.plan.tokens


@pytest.mark.filterwarnings("ignore:'set_vital' is deprecated:UserWarning")  # torchdata calls it
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
@pytest.mark.parametrize(("workers", "mode"), [((0, 2), "wrap"), ((2, 0), "fit"), ((2, 3), "wrap")])
def test_a_stateful_loader_goes_on_with_other_workers(many, workers, mode):
    path, _ = many
    options = {"pack": Pack("ids", seq_len=50, mode=mode, labels="input"), "batch_size": 4, "shuffle": True}
    expected = [batch["labels"].tolist() for batch in StructuredDataset(path, shuffle_seed=4, **options)]

    def loader(number):
        return StatefulDataLoader(
            StructuredDataset(path, shuffle_seed=4, **options),
            batch_size=None,
            num_workers=number,
            multiprocessing_context=context("forkserver") if number else None,
        )

    first = loader(workers[0])
    assert [batch["labels"].tolist() for batch in itertools.islice(first, 7)] == expected[:7]
    second = loader(workers[1])
    state = shardline.job_state(first.state_dict())
    second.dataset.load_state_dict(state)
    assert [batch["labels"].tolist() for batch in second] == expected[7:]


@MODES
def test_a_checkpointer_keeps_the_place(many, tmp_path, mode):
    path, _ = many
    options = {"pack": Pack("ids", seq_len=50, mode=mode), "batch_size": 4, "shuffle": True, "shuffle_seed": 4}
    expected = epoch_of(path, **options)
    found = []
    for stop in (5, 11, None):
        loader = DataLoader(path, **options)
        checkpointer = shardline.Checkpointer(tmp_path, data=loader)
        step = checkpointer.restore().step
        for batch in loader:
            found += batch["input_ids"].tolist()
            step += 1
            if step == stop:
                checkpointer.save(step)
                break
    assert found == expected


def test_a_state_says_what_it_packs(many):
    path, files = many
    dataset = StructuredDataset(path, pack=Pack("ids", seq_len=50, mode="wrap", eos=3), batch_size=2, shuffle=True)
    next(iter(dataset))
    state = dataset.state_dict()
    total = len(packs.token_line(groups_of(files), packs.Pack(50, eos=3)))
    said = str(shardline.describe(state))
    assert "sequences of 50 tokens of column 'ids'" in said
    found = dict(facts_of(read(state)))
    assert found["pack"] == "sequences of 50 tokens of column 'ids'"
    assert f"pack={Pack('ids', seq_len=50, mode='wrap', eos=3)!r}" in found["needs"]
    figures = figures_of(read(state))
    assert (figures["rows"], figures["rows_to_come"]) == (-(-total // 50), -(-total // 50) - 2)
    found = shardline.explain(dataset)
    assert (found.num_rows, found.steps) == (-(-total // 50), len(dataset))
    assert found.batch_bytes == 2 * 50 * 16
    assert shardline.explain(dataset, rate="measure").first_batch_seconds > 0
