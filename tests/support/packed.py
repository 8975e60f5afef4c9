"""Files of documents, and what packed sequences of them must be."""

import itertools
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from hypothesis import strategies as st

from shardline import Pack, StructuredDataset
from support import fits, packs

TYPES = [pa.int32(), pa.int64(), pa.uint16(), pa.uint8(), pa.int8()]
SHUFFLES: list[dict[str, Any]] = [
    {},
    {"shuffle": True},
    {"shuffle": True, "shuffle_buffer_size": 0},
    {"shuffle": True, "shuffle_buffer_size": 3, "shuffle_strands": 3},
    {"shuffle": True, "shuffle_buffer_bytes": 300, "split_bytes": 1},
]


@st.composite
def documents(draw):
    """Files of row groups of lists, and how to write them."""
    sizes = st.one_of(st.integers(0, 4), st.integers(0, 30))
    one = st.one_of(st.none(), sizes)
    groups = draw(st.lists(st.lists(st.lists(one, max_size=7), min_size=1, max_size=4), min_size=1, max_size=3))
    if not any(size for of_file in groups for of_group in of_file for size in of_group):
        groups = [*groups, [[3, 2]]]
    number = itertools.count(1)
    files = [
        [[None if n is None else [next(number) % 100 for _ in range(n)] for n in of_group] for of_group in of_file]
        for of_file in groups
    ]
    return files, draw(st.sampled_from(TYPES)), draw(st.integers(0, 3))


def settings_of(mode):
    """The settings of a pack."""
    draw_ids = st.one_of(st.none(), st.integers(100, 110))
    aligned = st.integers(1, 8).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, 6).map(lambda k: n * k)))
    lengths = st.one_of(st.integers(1, 9), st.sampled_from([16, 64, 1000])).map(lambda length: (1, length))
    return st.builds(
        lambda sizes, **more: packs.Pack(sizes[1], align=sizes[0], **more),
        st.one_of(lengths, aligned),
        mode=st.just(mode),
        bos=draw_ids,
        eos=draw_ids,
        labels=st.sampled_from([None, "next", "input"]),
        extra_token=st.booleans(),
        long=st.sampled_from(["split", "truncate", "drop"] if mode == "fit" else ["split"]),
    ).map(lambda pack: pack._replace(extra_token=pack.extra_token and pack.labels == "next"))


class Model(NamedTuple):
    """What an epoch must be made of."""

    counts: list[int]
    """The sequences of each row group."""
    pieces: list[list[packs.Piece]]
    """Of each sequence."""
    blocks: list[packs.Block]


def model(files, pack, draw=None, beside=None):
    """`draw`: the seed and the epoch, where documents are shuffled. `beside`: what other columns have."""
    groups = groups_of(files)
    if pack.mode == "fit":
        counts, pieces = fits.sequences(files, pack, draw)
    else:
        counts, pieces = packs.sequences(groups, pack)
    return Model(counts, pieces, [packs.block(groups, each, pack, beside) for each in pieces])


def beside_of(files):
    """Other columns of the same rows, as `write` writes them."""
    row = itertools.count()
    rows = [[next(row) for _ in lists] for lists in groups_of(files)]
    values = [
        [[(3 * token + number) % 120 for token in tokens or []] for tokens, number in zip(lists, numbers, strict=True)]
        for lists, numbers in zip(groups_of(files), rows, strict=True)
    ]
    return packs.Beside(rows, values, [[7 * number % 6 for number in numbers] for numbers in rows])


def write(folder, files, kind=None, how=0, *, beside=False):
    """Writes the files; a column beside the lists numbers the rows of all of them. `how`: one of several writers.
    `beside`: with the columns of `beside_of`, and the lists' lengths."""
    kind = pa.int32() if kind is None else kind
    of_lists = (pa.large_list if how == 1 else pa.list_)(kind)
    fields = [("row", pa.int64()), ("ids", of_lists)]
    if beside:
        fields += [("values", pa.list_(pa.int8())), ("prompt", pa.int32()), ("length", pa.int32())]
    schema = pa.schema(fields)
    options = {"use_dictionary": how != 2, "data_page_version": "2.0" if how == 3 else "1.0", "data_page_size": 64}
    others = zip(*beside_of(files), strict=True)
    for number, groups in enumerate(files):
        with pq.ParquetWriter(folder / f"{number:03}.parquet", schema, **options) as writer:
            for lists in groups:
                rows, values, prompts = next(others)
                columns = {"row": rows, "ids": lists}
                if beside:
                    columns |= {"values": values, "prompt": prompts, "length": [len(each or []) for each in lists]}
                arrays = [pa.array(columns[field.name], field.type) for field in schema]
                writer.write_table(pa.table(arrays, schema=schema), row_group_size=max(1, len(lists)))
    return folder


def numbered(folder, sizes):
    """Writes documents of these lengths, None for a null, whose tokens are numbered through; how many there are."""
    number, total = itertools.count(), sum(n or 0 for of_file in sizes for of_group in of_file for n in of_group)
    files = [
        [[None if n is None else [next(number) for _ in range(n)] for n in of_group] for of_group in of_file]
        for of_file in sizes
    ]
    return write(folder, files), total


def pack_of(pack, **more):
    """The same settings, as shardline takes them."""
    given = {name: value for name, value in pack._asdict().items() if value != pack._field_defaults.get(name)}
    return Pack("ids", **{"mode": "wrap", **given, **more})


def groups_of(files):
    """The row groups of all files."""
    return [lists for of_file in files for lists in of_file]


def check(batch, blocks, pack):
    """A batch is these sequences of the model."""
    for name in ("input_ids", "position_ids", "segment_ids"):
        assert batch[name].tolist() == [getattr(block, name) for block in blocks], name
    assert ("labels" in batch) == (pack.labels is not None)
    if pack.labels is not None:
        assert batch["labels"].tolist() == [block.labels for block in blocks]
        assert batch["labels"].dtype == torch.int64
    borders = packs.cu_seqlens(blocks)
    assert batch["cu_seqlens"].tolist() == borders
    assert batch["cu_seqlens"].dtype == torch.int32
    assert borders[-1] == len(blocks) * pack.seq_len
    assert batch["max_seqlen"] == max(b - a for a, b in itertools.pairwise(borders))
    assert batch["num_tokens"] == sum(block.num_tokens for block in blocks)
    assert batch["input_ids"].dtype == torch.int64
    assert batch["position_ids"].dtype == torch.int32
    assert ("segment_lengths" in batch) == (pack.align > 1)
    if pack.align > 1:
        assert batch["segment_lengths"].tolist() == [length for block in blocks for length in block.lengths]
    if "values" in batch:
        assert batch["values"].tolist() == [block.along for block in blocks]
        assert batch["row"].tolist() == [number for block in blocks for number in block.meta]


def order_of(dataset, files, counts, epoch):
    """The sequences of every batch of the job, numbered in file order."""
    starts = np.cumsum([0, *counts])
    number = {place: n for n, place in enumerate(places_of(files))}
    found = []
    for step in range(len(dataset)):
        at, intervals = dataset._context.progress.batch_at(dataset.num_rows, step, 0, epoch)
        rows = dataset._context.source_of(at).order.core.rows(at, intervals)
        found.append([int(starts[number[file, group]] + s) for file, group, a, b in rows for s in range(a, b)])
    return found


def places_of(files):
    """Of every row group that there is, its file and its number there."""
    return [(n, g) for n, of_file in enumerate(files) for g in range(len(of_file))]


def epoch_of(path, **options):
    """All sequences of an epoch, in order."""
    return [ids for batch in StructuredDataset(path, **options) for ids in batch["input_ids"].tolist()]


def write_many(folder):
    """Three files of documents of very unequal lengths."""
    rng = np.random.default_rng(0)
    lengths = [[rng.integers(0, 200, 40).tolist() for _ in range(3)] for _ in range(3)]
    files = [[[rng.integers(0, 99, n).tolist() for n in of_group] for of_group in of_file] for of_file in lengths]
    return write(folder, files), files
