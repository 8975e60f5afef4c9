"""Packed sequences (`pack=`) against the model in `support.packs`: laws P1 to P5."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples, packs, reading, spec
from support.packed import (
    SHUFFLES,
    check,
    documents,
    epoch_of,
    groups_of,
    order_of,
    pack_of,
    places_of,
    settings_of,
    write,
    write_many,
)

import shardline
from shardline import Pack, StructuredDataset


@examples(150)
@given(documents(), settings_of(), st.integers(0, 4), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2))
def test_sequences_are_those_of_the_token_line(tmp_path_factory, made, pack, shuffle, batch, shards, epoch):
    """P1, P2, P3, P4: each sequence once, whole, with the borders and the origins that the files have."""
    files, kind, how = made
    path = write(tmp_path_factory.mktemp("packs"), files, kind, how)
    groups = groups_of(files)
    line = packs.token_line(groups, pack)
    counts = packs.sequences(groups, pack)
    shards = min(shards, sum(counts))
    dataset = StructuredDataset(
        path,
        pack=pack_of(pack),
        batch_size=batch,
        num_shards=shards,
        **SHUFFLES[shuffle],
        **reading(batch, shards, epoch),
    )
    assert dataset.num_rows == sum(counts) == -(-len(line) // pack.seq_len)
    dataset.set_epoch(epoch)
    order = order_of(dataset, files, counts, epoch)
    assert sorted(itertools.chain(*order)) == list(range(sum(counts)))
    places = [(f"{n:03}.parquet", g) for n, g in places_of(files)]
    steps = 0
    for step, (delivered, numbers) in enumerate(zip(dataset, order, strict=True)):
        blocks = [packs.block(line, number, pack) for number in numbers]
        check(delivered, blocks, pack)
        expected = [(*places[group], *rest) for block in blocks for group, *rest in packs.pieces(block.tokens)]
        assert dataset.rows_at(step, epoch=epoch) == expected
        steps += 1
    assert steps == len(dataset)


@examples(60)
@given(documents(), settings_of(), st.integers(0, 4), st.integers(1, 3), st.data())
def test_a_stop_and_other_ranks_lose_no_sequence(tmp_path_factory, made, pack, shuffle, batch, data):
    """P5: the batches are a function of settings and place only, and a resume on other ranks delivers the rest once."""
    files, kind, how = made
    path = write(tmp_path_factory.mktemp("packs"), files, kind, how)
    total = sum(packs.sequences(groups_of(files), pack))
    if total < 2:
        pack = pack._replace(seq_len=1)
        total = sum(packs.sequences(groups_of(files), pack))
    options = {"pack": pack_of(pack), "batch_size": batch, **SHUFFLES[shuffle]}
    dataset = StructuredDataset(path, **options)
    whole = [batch["input_ids"].tolist() for batch in dataset]
    stop = data.draw(st.integers(0, len(whole)))
    first = StructuredDataset(path, **options, **reading(stop))
    batches = iter(first)
    assert [next(batches)["input_ids"].tolist() for _ in range(stop)] == whole[:stop]
    state = json.loads(json.dumps(first.state_dict()))
    again = StructuredDataset(path, **options)
    again.load_state_dict(state)
    assert [batch["input_ids"].tolist() for batch in again] == whole[stop:]
    ranks = data.draw(st.integers(1, 3))
    rest = sorted(itertools.chain(*whole[stop:]))
    if ranks > len(rest):
        return
    found = []
    steps = set()
    for rank in range(ranks):
        other = StructuredDataset(path, rank=rank, num_ranks=ranks, **options)
        other.load_state_dict(state)
        part = [batch["input_ids"].tolist() for batch in other]
        steps.add(len(part))
        found += itertools.chain(*part)
    assert len(steps) == 1
    assert sorted(found) == rest


@examples(60)
@given(documents(), settings_of(), st.integers(2, 5), st.integers(0, 4))
def test_tokens_of_rows_that_pass_are_counted(tmp_path_factory, made, pack, modulus, shuffle):
    files, kind, how = made
    path = write(tmp_path_factory.mktemp("packs"), files, kind, how)
    row, kept = itertools.count(), []
    for lists in groups_of(files):
        kept.append([tokens for tokens in lists if next(row) % modulus])
    line = packs.token_line(kept, pack)
    rows = [r for r in range(sum(map(len, groups_of(files)))) if r % modulus]
    options = {"pack": pack_of(pack), "batch_size": 2, "filters": pc.field("row").isin(rows or [-1])}
    if not line:
        with pytest.raises(shardline.ShardlineValueError, match="no token"):
            StructuredDataset(path, **options)
        return
    dataset = StructuredDataset(path, **options, **SHUFFLES[shuffle])
    found = sorted(ids for batch in dataset for ids in batch["input_ids"].tolist())
    blocks = [packs.block(line, n, pack) for n in range(-(-len(line) // pack.seq_len))]
    assert found == sorted(block.input_ids for block in blocks)
    # Rows are numbered among all of their row group.
    numbers = [[r for r, _ in enumerate(lists)] for lists in groups_of(files)]
    row = itertools.count()
    numbers = [[r for r in of_group if next(row) % modulus] for of_group in numbers]
    pieces = sorted(
        (group, numbers[group][r], a, b) for block in blocks for group, r, a, b in packs.pieces(block.tokens)
    )
    places = {(f"{n:03}.parquet", g): i for i, (n, g) in enumerate(places_of(files))}
    listed = [piece for step in range(len(dataset)) for piece in dataset.rows_at(step)]
    assert sorted((places[name, group], *rest) for name, group, *rest in listed) == pieces


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return write_many(tmp_path_factory.mktemp("many"))


def test_documents_that_are_very_long_and_sequences_of_any_length(tmp_path):
    """A document of 10⁷ tokens among those of one; sequences of one token, and of 2²⁰."""
    long = np.random.default_rng(1).integers(0, 2**31 - 1, 10**7, dtype=np.int32)
    before = pa.ListArray.from_arrays(
        pa.array([0, 1, 2, 2 + len(long)], pa.int32()), pa.array(np.concatenate([[1, 2], long]).astype(np.int32))
    )
    for name, lists in (("0", before), ("1", [[3], None, [4]]), ("2", [[5]])):
        pq.write_table(pa.table({"ids": pa.array(lists, pa.list_(pa.int32()))}), tmp_path / f"{name}.parquet")
    line = np.concatenate([[1, 2], long, [3, 4, 5]])
    for seq_len, options in (
        (2**20, {"batch_size": 2}),
        (2**20, {"batch_size": 1, "shuffle": True, "num_shards": 3}),
        (1000, {"batch_size": 70, "shuffle": True}),
        (1, {"batch_size": 2**20}),
    ):
        dataset = StructuredDataset(tmp_path, pack=Pack("ids", seq_len=seq_len, mode="wrap"), **options)
        blocks = np.concatenate([batch["input_ids"].numpy() for batch in dataset])
        if "shuffle" in options:
            # The last sequence, alone, has padding; a sequence is known by its first tokens.
            blocks = blocks[np.lexsort((blocks[:, 1], blocks[:, 0]))]
            padded = np.concatenate([line, np.zeros(-len(line) % seq_len, line.dtype)]).reshape(-1, seq_len)
            assert np.array_equal(blocks, padded[np.lexsort((padded[:, 1], padded[:, 0]))])
        else:
            assert np.array_equal(blocks.ravel()[: len(line)], line)
            assert not blocks.ravel()[len(line) :].any()


def test_files_of_other_types_are_one_line(tmp_path):
    """With widen_types they have the type that holds them all."""
    for number, kind in enumerate([pa.list_(pa.int64()), pa.list_(pa.int32()), pa.large_list(pa.uint16())]):
        table = pa.table({"ids": pa.array([[number, 7], [], [8]], kind)})
        pq.write_table(table, tmp_path / f"{number}.parquet")
    pack = Pack("ids", seq_len=4, mode="wrap", eos=9)
    with pytest.raises(shardline.ShardlineValueError, match='column "ids".*widen_types'):
        StructuredDataset(tmp_path, pack=pack)
    assert epoch_of(tmp_path, pack=pack, batch_size=2, widen_types=True) == [
        [0, 7, 9, 8],
        [9, 1, 7, 9],
        [8, 9, 2, 7],
        [9, 8, 9, 0],
    ]


def test_lists_of_one_size_are_documents(tmp_path):
    rows = pa.array([[1, 2], None, [3, 4]], pa.list_(pa.int32(), 2))
    pq.write_table(pa.table({"ids": rows}), tmp_path / "x.parquet")
    for count in ("footers", "lists"):
        pack = Pack("ids", seq_len=3, mode="wrap", bos=8, count=count)
        assert epoch_of(tmp_path, pack=pack, batch_size=2) == [[8, 1, 2], [8, 3, 4]]


def test_the_order_of_sequences_is_that_of_rows(many):
    """What docs/order.md says of rows holds for sequences: M = N, and their decoded bytes are those of their tokens."""
    path, files = many
    pack = packs.Pack(32)
    counts = packs.sequences(groups_of(files), pack)
    metas = [pq.read_metadata(path / f"{n:03}.parquet") for n in range(3)]
    places = [(n, g) for n, meta in enumerate(metas) for g in range(meta.num_row_groups)]
    groups: list[list[spec.Group]] = [[] for _ in metas]
    for (n, g), count in zip(places, counts, strict=True):
        groups[n].append(spec.Group(count, metas[n].row_group(g).total_byte_size, count * 32 * 4, count))
    settings = spec.Settings(shuffle=True, seed=5, buffer_bytes=4000, strands=3, split_bytes=9000)
    dataset = StructuredDataset(
        path,
        pack=pack_of(pack),
        batch_size=4,
        shuffle=True,
        shuffle_seed=5,
        shuffle_buffer_bytes=4000,
        shuffle_strands=3,
        split_bytes=9000,
        num_shards=2,
    )
    line = spec.line(groups, settings, 1, spec.resolve(groups, settings, 2))
    starts = np.cumsum([0, *counts])
    tokens = packs.token_line(groups_of(files), pack)
    dataset.set_epoch(1)
    for batch, positions in zip(dataset, spec.batches(len(line), 2, 4, False), strict=True):
        numbers = [int(starts[line[p][0]] + line[p][1]) for p in positions]
        check(batch, [packs.block(tokens, number, pack) for number in numbers], pack)


def test_one_pack_is_pinned(tmp_path):
    """A golden vector: these sequences, in this order, for ever (version 1 of packs, order version 2)."""
    files = [[[list(range(n)) for n in (5, 0, 3, 9)], [[7] * 4, None]], [[list(range(20, 31))]]]
    path = write(tmp_path, files)
    options = {"pack": Pack("ids", seq_len=6, mode="wrap", bos=90, eos=91), "batch_size": 2, "shuffle": True}
    assert epoch_of(path, shuffle_seed=3, **options) == GOLDEN
    assert epoch_of(path, shuffle_seed=3, shuffle_buffer_size=2, **options) == [
        GOLDEN[i] for i in (1, 3, 2, 6, 0, 4, 5)
    ]


GOLDEN = [
    [5, 6, 7, 8, 91, 90],
    [90, 0, 1, 2, 3, 4],
    [90, 0, 1, 2, 3, 4],
    [91, 90, 0, 1, 2, 91],
    [20, 21, 22, 23, 24, 25],
    [26, 27, 28, 29, 30, 91],
    [7, 7, 7, 7, 91, 90],
]


def test_another_pack_is_pinned(tmp_path):
    """In file order, with all that is delivered: unsigned tokens, a null and an empty list, labels from behind."""
    path = write(tmp_path, [[[[1, 2, 3], None, [4]], [[5] * 7]], [[[], [6, 7]]]], pa.uint16())
    pack = Pack("ids", seq_len=5, mode="wrap", eos=65_535, labels="next", extra_token=True)
    (batch,) = StructuredDataset(path, pack=pack, batch_size=4)
    assert {name: value if isinstance(value, int) else value.tolist() for name, value in batch.items()} == ALL_OF_IT


ALL_OF_IT = {
    "input_ids": [[1, 2, 3, 65535, 4], [65535, 5, 5, 5, 5], [5, 5, 5, 65535, 6], [7, 65535, 0, 0, 0]],
    "labels": [[2, 3, 65535, -100, 65535], [-100, 5, 5, 5, 5], [5, 5, 65535, -100, 7], [65535, -100, -100, -100, -100]],
    "position_ids": [[0, 1, 2, 3, 0], [0, 0, 1, 2, 3], [0, 1, 2, 3, 0], [0, 1, 0, 0, 0]],
    "segment_ids": [[1, 1, 1, 1, 2], [1, 2, 2, 2, 2], [1, 1, 1, 1, 2], [1, 1, 0, 0, 0]],
    "cu_seqlens": [0, 4, 5, 6, 10, 14, 15, 17, 20],
    "max_seqlen": 4,
    "num_tokens": 17,
}
