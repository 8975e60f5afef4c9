"""Packed sequences (`pack=`) against the models in `support.packs` and `support.fits`: laws P1 to P5."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import examples, packs, reading, spec
from support.packed import (
    SHUFFLES,
    check,
    documents,
    epoch_of,
    groups_of,
    model,
    order_of,
    pack_of,
    places_of,
    settings_of,
    write,
    write_many,
)

import shardline
from shardline import Pack, StructuredDataset

MODES = pytest.mark.parametrize("mode", ["wrap", "fit"])
SEED = 11


def seeded(shuffle):
    return {**SHUFFLES[shuffle], **({"shuffle_seed": SEED} if SHUFFLES[shuffle] else {})}


@MODES
@examples(150)
@given(documents(), st.data(), st.integers(0, 4), st.integers(1, 5), st.integers(1, 4), st.integers(0, 2))
def test_sequences_are_those_of_the_model(tmp_path_factory, mode, made, data, shuffle, batch, shards, epoch):
    """P1, P2, P3, P4: each token once, documents whole, with the borders and the origins that the files have."""
    pack = data.draw(settings_of(mode))
    files, kind, how = made
    path = write(tmp_path_factory.mktemp("packs"), files, kind, how)
    options = {"pack": pack_of(pack), "batch_size": batch, **seeded(shuffle)}
    wanted = model(files, pack, (SEED, epoch) if shuffle else None)
    total = len(wanted.pieces)
    if not total:
        assert pack.long == "drop"
        with pytest.raises(shardline.ShardlineValueError, match="no token"):
            StructuredDataset(path, **options)
        return
    shards = min(shards, total)
    dataset = StructuredDataset(path, num_shards=shards, **options, **reading(batch, shards, epoch))
    assert dataset.num_rows == total
    lengths = {
        (group, row): len(packs.document(tokens, pack))
        for group, lists in enumerate(groups_of(files))
        for row, tokens in enumerate(lists)
    }
    if pack.long == "split":
        tokens = [(piece[:2], place) for pieces in wanted.pieces for piece in pieces for place in range(*piece[2:])]
        assert sorted(tokens) == [(place, i) for place, length in sorted(lengths.items()) for i in range(length)]
    if mode == "fit":
        cut = {piece[:2] for pieces in wanted.pieces for piece in pieces if piece.start > 0}
        assert all(lengths[place] > pack.seq_len for place in cut), "no document of up to seq_len tokens is cut"
    else:
        places = sum(packs.slot(length, pack) for length in lengths.values())
        assert total == -(-places // pack.seq_len)
    dataset.set_epoch(epoch)
    order = order_of(dataset, files, wanted.counts, epoch)
    assert sorted(itertools.chain(*order)) == list(range(total))
    places = [(f"{n:03}.parquet", g) for n, g in places_of(files)]
    steps = 0
    for step, (delivered, numbers) in enumerate(zip(dataset, order, strict=True)):
        check(delivered, [wanted.blocks[number] for number in numbers], pack)
        expected = [(*places[group], *rest) for number in numbers for group, *rest in wanted.pieces[number]]
        assert dataset.rows_at(step, epoch=epoch) == expected
        steps += 1
    assert steps == len(dataset)


@MODES
@examples(60)
@given(documents(), st.data(), st.integers(0, 4), st.integers(1, 3))
def test_a_stop_and_other_ranks_lose_no_sequence(tmp_path_factory, mode, made, data, shuffle, batch):
    """P5: the batches are a function of settings and place only, and a resume on other ranks delivers the rest once."""
    pack = data.draw(settings_of(mode))
    files, kind, how = made
    path = write(tmp_path_factory.mktemp("packs"), files, kind, how)
    total = len(model(files, pack).pieces)
    assume(total)
    options = {"pack": pack_of(pack), "batch_size": batch, **SHUFFLES[shuffle]}
    dataset = StructuredDataset(path, **options)
    epochs = [[batch["input_ids"].tolist() for batch in dataset] for _ in range(2)]
    whole = epochs[0]
    stop = data.draw(st.integers(0, len(whole)))
    first = StructuredDataset(path, **options | ({"shuffle_seed": dataset.seed} if shuffle else {}), **reading(stop))
    batches = iter(first)
    assert [next(batches)["input_ids"].tolist() for _ in range(stop)] == whole[:stop]
    state = json.loads(json.dumps(first.state_dict()))
    again = StructuredDataset(path, **options)
    again.load_state_dict(state)
    assert [batch["input_ids"].tolist() for batch in again] == whole[stop:]
    assert [batch["input_ids"].tolist() for batch in again] == epochs[1]
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


@MODES
@examples(60)
@given(documents(), st.data(), st.integers(2, 5), st.integers(0, 4))
def test_tokens_of_rows_that_pass_are_counted(tmp_path_factory, mode, made, data, modulus, shuffle):
    pack = data.draw(settings_of(mode))
    files, kind, how = made
    path = write(tmp_path_factory.mktemp("packs"), files, kind, how)
    row = itertools.count()
    passing = [[[r for r, _ in enumerate(lists) if next(row) % modulus] for lists in of_file] for of_file in files]
    kept = [
        [[lists[r] for r in rows] for lists, rows in zip(of_file, of_groups, strict=True)]
        for of_file, of_groups in zip(files, passing, strict=True)
    ]
    wanted = model(kept, pack, (SEED, 0) if shuffle else None)
    rows = [r for r in range(sum(map(len, groups_of(files)))) if r % modulus]
    options = {"pack": pack_of(pack), "batch_size": 2, "filters": pc.field("row").isin(rows or [-1])}
    if not wanted.pieces:
        with pytest.raises(shardline.ShardlineValueError, match="no token"):
            StructuredDataset(path, **options)
        return
    dataset = StructuredDataset(path, **options, **seeded(shuffle))
    found = sorted(ids for batch in dataset for ids in batch["input_ids"].tolist())
    assert found == sorted(block.input_ids for block in wanted.blocks)
    # Rows are numbered among all of their row group.
    numbers = [rows for of_groups in passing for rows in of_groups]
    pieces = sorted((p.group, numbers[p.group][p.row], p.start, p.end) for each in wanted.pieces for p in each)
    places = {(f"{n:03}.parquet", g): i for i, (n, g) in enumerate(places_of(files))}
    listed = [piece for step in range(len(dataset)) for piece in dataset.rows_at(step, epoch=0)]
    assert sorted((places[name, group], *rest) for name, group, *rest in listed) == pieces


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return write_many(tmp_path_factory.mktemp("many"))


@MODES
def test_documents_that_are_very_long_and_sequences_of_any_length(tmp_path, mode):
    """A document of 10⁷ tokens among those of one; sequences of one token, and of 2²⁰."""
    long = np.random.default_rng(1).integers(1, 2**31 - 1, 10**7, dtype=np.int32)
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
        dataset = StructuredDataset(tmp_path, pack=Pack("ids", seq_len=seq_len, mode=mode), **options)
        full, parts = -(-len(line) // seq_len), 3 if mode == "fit" else 1
        assert full <= dataset.num_rows < full + parts  # as many bundles, the last sequence of each with padding
        blocks = np.concatenate([batch["input_ids"].numpy() for batch in dataset])
        if mode == "fit":
            # One document is split, and its last piece has all others beside it.
            tokens = blocks[blocks > 0]
            assert np.array_equal(np.sort(tokens), np.sort(line))
            whole = {row.tobytes() for row in blocks}
            cut = long[: len(long) // seq_len * seq_len].reshape(-1, seq_len).astype(np.int64)
            assert all(piece.tobytes() in whole for piece in cut)
        elif "shuffle" in options:
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


@MODES
def test_the_order_of_sequences_is_that_of_rows(many, mode):
    """What docs/order.md says of rows holds for sequences: M = N, and their decoded bytes are those of their tokens."""
    path, files = many
    pack = packs.Pack(32, mode)
    wanted = model(files, pack, (5, 1))
    metas = [pq.read_metadata(path / f"{n:03}.parquet") for n in range(3)]
    places = [(n, g) for n, meta in enumerate(metas) for g in range(meta.num_row_groups)]
    groups: list[list[spec.Group]] = [[] for _ in metas]
    for (n, g), count in zip(places, wanted.counts, strict=True):
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
    starts = np.cumsum([0, *wanted.counts])
    dataset.set_epoch(1)
    for batch, positions in zip(dataset, spec.batches(len(line), 2, 4, False), strict=True):
        numbers = [int(starts[line[p][0]] + line[p][1]) for p in positions]
        check(batch, [wanted.blocks[number] for number in numbers], pack)
