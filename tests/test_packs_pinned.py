"""Golden vectors of packed sequences: these, in this order, for ever (version 1 of packs, order version 2)."""

import pyarrow as pa
from support.packed import epoch_of, write

from shardline import Pack, StructuredDataset


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


def test_one_pack_of_whole_documents_is_pinned(tmp_path):
    """Two epochs: other partners, as many sequences."""
    files = [[[list(range(n)) for n in (5, 0, 3, 9)], [[7] * 4, None]], [[list(range(20, 31)), [40], [41, 42]]]]
    path = write(tmp_path, files)
    pack = Pack("ids", seq_len=8, mode="fit", bos=90, eos=91)
    dataset = StructuredDataset(path, pack=pack, batch_size=2, shuffle=True, shuffle_seed=3)
    epochs = [[ids for batch in dataset for ids in batch["input_ids"].tolist()] for _ in range(2)]
    assert epochs == FITTED


FITTED = [
    [
        [90, 20, 21, 22, 23, 24, 25, 26],
        [90, 0, 1, 2, 3, 4, 91, 0],
        [90, 7, 7, 7, 7, 91, 0, 0],
        [90, 40, 91, 90, 0, 1, 2, 91],
        [90, 0, 1, 2, 3, 4, 5, 6],
        [90, 41, 42, 91, 0, 0, 0, 0],
        [27, 28, 29, 30, 91, 7, 8, 91],
    ],
    [
        [90, 41, 42, 91, 0, 0, 0, 0],
        [90, 0, 1, 2, 3, 4, 5, 6],
        [7, 8, 91, 27, 28, 29, 30, 91],
        [90, 0, 1, 2, 3, 4, 91, 0],
        [90, 0, 1, 2, 91, 90, 40, 91],
        [90, 20, 21, 22, 23, 24, 25, 26],
        [90, 7, 7, 7, 7, 91, 0, 0],
    ],
]


def test_another_pack_of_whole_documents_is_pinned(tmp_path):
    """In file order, with all that is delivered: unsigned tokens, slots of two places, labels from behind."""
    path = write(tmp_path, [[[[1, 2, 3], None, [4]], [[5] * 7]], [[[], [6, 7]]]], pa.uint16())
    pack = Pack("ids", seq_len=6, mode="fit", eos=65_535, labels="next", extra_token=True, align=2)
    (batch,) = StructuredDataset(path, pack=pack, batch_size=4)
    found = {name: value if isinstance(value, int) else value.tolist() for name, value in batch.items()}
    assert found == ALL_OF_FIT


ALL_OF_FIT = {
    "input_ids": [[1, 2, 3, 65535, 5, 65535], [4, 65535, 6, 7, 65535, 0], [5, 5, 5, 5, 5, 5]],
    "labels": [[2, 3, 65535, -100, 65535, -100], [65535, -100, 7, 65535, -100, -100], [5, 5, 5, 5, 5, 5]],
    "position_ids": [[0, 1, 2, 3, 0, 1], [0, 1, 0, 1, 2, 3], [0, 1, 2, 3, 4, 5]],
    "segment_ids": [[1, 1, 1, 1, 2, 2], [1, 1, 2, 2, 2, 0], [1, 1, 1, 1, 1, 1]],
    "cu_seqlens": [0, 4, 6, 8, 12, 18],
    "segment_lengths": [4, 2, 2, 3, 6],
    "max_seqlen": 6,
    "num_tokens": 17,
}
