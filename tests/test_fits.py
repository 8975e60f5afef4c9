"""Whole documents in sequences (`mode="fit"`): how full they are, who shares one, and what becomes of long documents.

The laws that both modes have are in test_packs.py.
"""

import bisect
import itertools
import resource
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples, packs
from support.packed import check, model, order_of, pack_of, write

import shardline
from shardline import Pack, Plan, StructuredDataset


def lognormal(folder, median, rows=40_000):
    lengths = np.maximum(1, np.random.default_rng(3).lognormal(np.log(median), 1.0, rows)).astype(int)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    values = np.arange(offsets[-1], dtype=np.int32)
    lists = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
    for number in range(4):
        part = pa.table({"ids": lists.slice(number * rows // 4, rows // 4)})
        pq.write_table(part, folder / f"{number}.parquet", row_group_size=1000)
    return folder, int(offsets[-1])


def partners(batches):
    """Which documents share a sequence, by their first tokens there; not those of a sequence of one."""
    found = set()
    for batch in batches:
        begins = (batch["position_ids"] == 0) & (batch["segment_ids"] > 0)
        for ids, first in zip(batch["input_ids"].numpy(), begins.numpy(), strict=True):
            if first.sum() > 1:
                found.add(tuple(sorted(ids[first].tolist())))
    return found


@pytest.mark.parametrize(("median", "seq_len"), [(500, 2048), (500, 8192), (1500, 8192)])
def test_sequences_are_full_and_partners_change(tmp_path, median, seq_len):
    """Of lognormal lengths, 99.5 % of all places are tokens; each epoch has as many sequences, and other ones."""
    path, total = lognormal(tmp_path, median)
    pack = Pack("ids", seq_len=seq_len, mode="fit")
    dataset = StructuredDataset(path, pack=pack, batch_size=64, shuffle=True, shuffle_seed=7)
    assert total / (dataset.num_rows * seq_len) >= 0.995
    seen = []
    for _ in range(2):
        batches = list(dataset)
        tokens = np.concatenate([batch["input_ids"][batch["segment_ids"] > 0].numpy() for batch in batches])
        assert np.array_equal(np.sort(tokens), np.arange(total)), "every token once"
        assert sum(len(batch["input_ids"]) for batch in batches) == dataset.num_rows
        seen.append(partners(batches))
    assert len(seen[0] & seen[1]) < 0.2 * len(seen[0])


@examples(20)
@given(st.integers(20, 400), st.integers(60, 2000), st.integers(0, 2**32), st.integers(0, 3))
def test_many_documents_are_placed_as_in_the_model(tmp_path_factory, rows, seq_len, seed, epoch):
    """The draw: lengths of the same first digits in any order, as many sequences as the longest first fill."""
    lengths = np.maximum(1, np.random.default_rng(seed).lognormal(np.log(seq_len / 4), 1.0, rows)).astype(int)
    ends = np.cumsum(lengths).tolist()
    groups = [[list(range(end - length, end)) for end, length in zip(ends, lengths.tolist(), strict=True)]]
    path, pack = write(tmp_path_factory.mktemp("fits"), [groups]), packs.Pack(seq_len, "fit")
    wanted = model([groups], pack, (seed, epoch))
    dataset = StructuredDataset(
        path, pack=pack_of(pack), batch_size=8, shuffle=True, shuffle_seed=seed, shuffle_buffer_size=0
    )
    assert dataset.num_rows == sum(wanted.counts)
    dataset.set_epoch(epoch)
    order = order_of(dataset, [groups], wanted.counts, epoch)
    for delivered, numbers in zip(dataset, order, strict=True):
        check(delivered, [wanted.blocks[number] for number in numbers], pack)


def test_a_row_group_of_very_many_tokens_is_cut(tmp_path):
    """Bundles of at most 2²³ tokens: a reader holds one."""
    lengths = np.full(20_000, 1000)
    lists = pa.ListArray.from_arrays(
        pa.array(np.arange(20_001, dtype=np.int32) * 1000), pa.array(np.arange(lengths.sum(), dtype=np.int32))
    )
    pq.write_table(pa.table({"ids": lists}), tmp_path / "x.parquet", row_group_size=20_000)
    dataset = StructuredDataset(tmp_path, pack=Pack("ids", seq_len=3500, mode="fit"), batch_size=64, shuffle=True)
    # Parts of 6,666, 6,667 and 6,667 rows, three a sequence.
    assert dataset.num_rows == 2222 + 2223 + 2223
    tokens = [batch["input_ids"][batch["segment_ids"] > 0].numpy() for batch in dataset]
    assert np.array_equal(np.sort(np.concatenate(tokens)), np.arange(lengths.sum()))


def offline(lengths, seq_len):
    """How many sequences documents fill that are packed all together, best-fit-decreasing."""
    rooms: list[int] = []
    count = 0
    for length in sorted(lengths, reverse=True):
        at = bisect.bisect_left(rooms, length)
        count += at == len(rooms)
        bisect.insort(rooms, (rooms.pop(at) if at < len(rooms) else seq_len) - length)
    return count


LAYOUTS = {
    "small files": (400, 1, 10),
    "many row groups": (2, 400, 5),
    "row groups of a little more than half a bundle": (2, 8, 140),
    "row groups of a little more than a bundle": (2, 4, 270),
    "few sequences": (3, 2, 3),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("median", "spread"), [(0.25, 1.0), (0.1, 0.5), (0.4, 0.3)])
def test_bundles_fill_nearly_as_many_sequences_as_all_documents_together(tmp_path, layout, median, spread):
    """However files and row groups are cut: 0.995 of what one packing of all documents fills, but for one sequence."""
    num_files, num_groups, sequences = LAYOUTS[layout]
    seq_len, rng = 512, np.random.default_rng(5)
    per_group = max(1, round(sequences / (median * np.exp(spread**2 / 2))))
    sizes = rng.lognormal(np.log(median * seq_len), spread, (num_files, num_groups, per_group))
    sizes = np.clip(sizes, 1, seq_len).astype(int)
    for number, of_file in enumerate(sizes):
        lengths = of_file.ravel()
        lists = pa.ListArray.from_arrays(
            np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), np.zeros(lengths.sum(), np.int8)
        )
        pq.write_table(pa.table({"ids": lists}), tmp_path / f"{number:03}.parquet", row_group_size=per_group)
    dataset = StructuredDataset(tmp_path, pack=Pack("ids", seq_len=seq_len, mode="fit"))
    best = offline(sizes.ravel().tolist(), seq_len)
    assert best <= dataset.num_rows <= best / 0.995 + 1


def test_many_shards_hold_few_bundles(tmp_path):
    """One budget over all that are open: 64 shards of 8 strands would hold 512 bundles, of 256 MiB, side by side."""
    lengths = np.full(1024, 64)
    lists = pa.ListArray.from_arrays(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32), np.full(lengths.sum(), 7, np.int64)
    )
    with pq.ParquetWriter(tmp_path / "x.parquet", pa.schema([("ids", lists.type)])) as writer:
        for _ in range(512):
            writer.write_table(pa.table({"ids": lists}))
    dataset = StructuredDataset(
        tmp_path,
        pack=Pack("ids", seq_len=256, mode="fit"),
        num_shards=64,
        batch_size=2,
        shuffle=True,
        shuffle_strands=8,
        shuffle_buffer_bytes="256KiB",
        split_bytes=1,
        prefetch_bytes="8MiB",
        num_threads=2,
    )
    assert dataset.num_rows == 512 * 256

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    before, most = resident(), 0
    for batch in itertools.islice(dataset, 3 * 64):
        assert batch["num_tokens"] == 512
        most = max(most, resident() - before)
    assert most < 128 << 20


def test_long_documents_are_refused_by_row(tmp_path):
    path = write(tmp_path, [[[[1], [2, 3]], [[4], None, [5] * 9]]])
    with pytest.raises(shardline.ShardlineValueError, match=r'000\.parquet.*"ids" has 10 tokens in row 4.*long='):
        StructuredDataset(path, pack=Pack("ids", seq_len=8, mode="fit", eos=0, long="error"))
    StructuredDataset(path, pack=Pack("ids", seq_len=10, mode="fit", eos=0, long="error"))
    with pytest.raises(shardline.ShardlineValueError, match="long='drop'"):
        Pack("ids", seq_len=8, mode="wrap", long="drop")


def test_plans_and_states_are_for_their_mode(tmp_path):
    path = write(tmp_path, [[[[1], [2, 3]], [[4], None, [5] * 9]], [[[6] * 3]]])
    made = {"seq_len": 4, "mode": "fit", "long": "truncate"}
    dataset = StructuredDataset(path, pack=Pack("ids", **made), batch_size=1)
    dataset.plan.save(tmp_path / "plan")
    plan = Plan.load(tmp_path / "plan")
    assert (plan, plan.tokens) == (dataset.plan, dataset.plan.tokens)
    with pytest.raises(shardline.ShardlineValueError, match="long='truncate'"):
        StructuredDataset(plan=plan, pack=Pack("ids", seq_len=4, mode="fit"))
    state = dataset.state_dict()
    assert state["rows"]["pack"]["long"] == "truncate"
    for change, said in [
        ({"long": "drop"}, "long of pack: saved truncate, here drop"),
        ({"mode": "wrap", "long": "split"}, "mode of pack: saved fit, here wrap"),
    ]:
        other = StructuredDataset(path, pack=Pack("ids", **{**made, **change}), batch_size=1)
        with pytest.raises(shardline.CheckpointMismatchError, match=said):
            other.load_state_dict(state)
    write(tmp_path, [[[[1], [2, 3]], [[4], None, [5] * 9]], [[[6] * 3]], [[[7]]]])
    (tmp_path / "plan").unlink()
    later = StructuredDataset(path, pack=Pack("ids", **made), batch_size=1)
    later.load_state_dict(state)
    assert [b["input_ids"].tolist() for b in later] == [b["input_ids"].tolist() for b in dataset]
