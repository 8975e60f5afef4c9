"""What packed sequences have beside their tokens: `along`, `meta`, `prompt_length`, and lengths from a column."""

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from support import examples, reading
from support.packed import SHUFFLES, beside_of, check, documents, model, order_of, pack_of, settings_of, write

import shardline
from shardline import Pack, StructuredDataset

MODES = pytest.mark.parametrize("mode", ["wrap", "fit"])


@MODES
@examples(150)
@given(documents(), st.data(), st.integers(0, 4), st.integers(1, 5), st.integers(0, 2))
def test_other_columns_stand_beside_their_tokens(tmp_path_factory, mode, made, data, shuffle, batch, epoch):
    """P4 of all that is delivered beside the tokens."""
    pack = data.draw(settings_of(mode))
    files, kind, how = made
    path = write(tmp_path_factory.mktemp("beside"), files, kind, how, beside=True)
    beside = beside_of(files)
    more = {"along": ["values"], "meta": ["row"]}
    if data.draw(st.booleans()):
        more["length"] = "length"
    if pack.labels is not None and data.draw(st.booleans()):
        more["prompt_length"] = "prompt"
    else:
        beside = beside._replace(prompts=())
    wanted = model(files, pack, (3, epoch) if shuffle else None, beside)
    assume(wanted.pieces)
    options = {"batch_size": batch, **SHUFFLES[shuffle], **({"shuffle_seed": 3} if shuffle else {})}
    dataset = StructuredDataset(path, pack=pack_of(pack, **more), **options, **reading(batch, shuffle, epoch))
    dataset.set_epoch(epoch)
    order = order_of(dataset, files, wanted.counts, epoch)
    for delivered, numbers in itertools.zip_longest(dataset, order):
        check(delivered, [wanted.blocks[number] for number in numbers], pack)
        assert set(delivered) == set(dataset.schema)


NUMBERS = [
    (pa.bool_(), torch.bool),
    (pa.int8(), torch.int8),
    (pa.uint16(), torch.uint16),
    (pa.int64(), torch.int64),
    (pa.float16(), torch.float16),
    (pa.float32(), torch.float32),
    (pa.float64(), torch.float64),
]


@pytest.mark.parametrize(("kind", "dtype"), NUMBERS, ids=[str(kind) for kind, _ in NUMBERS])
@pytest.mark.parametrize("output_format", ["torch", "numpy"])
def test_numbers_of_each_type(tmp_path, kind, dtype, output_format):
    """`bos` and `eos` have the number beside them; padding has 0."""
    one = {pa.bool_(): bool, pa.float16(): np.float16}.get(kind, int)
    table = {
        "ids": [[5, 6, 7], [], [8]],
        "mask": pa.array([[one(0), one(1), one(1)], None, [one(1)]], pa.list_(kind)),
        "weight": pa.array([one(1), None, one(0)], kind),
    }
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    pack = Pack("ids", seq_len=5, mode="fit", bos=1, eos=2, along=["mask"], meta=["weight"])
    dataset = StructuredDataset(tmp_path, pack=pack, batch_size=2, output_format=output_format)
    (batch,) = dataset
    assert batch["input_ids"].tolist() == [[1, 5, 6, 7, 2], [1, 8, 2, 0, 0]]
    assert batch["mask"].tolist() == [[0, 0, 1, 1, 1], [1, 1, 1, 0, 0]]
    assert batch["cu_seqlens"].tolist() == [0, 5, 8, 10]
    assert batch["weight"].tolist() == [1, 0, 0]
    for name in ("mask", "weight"):
        assert torch.as_tensor(batch[name]).dtype == dtype == dataset.schema[name].dtype
    assert dataset.schema["mask"].shape == (5,)


TABLE = {
    "ids": [[1, 2], [3, 4, 5]],
    "mask": [[0, 1], [1, 1, 1]],
    "kind": [4, 5],
    "prompt": [1, 2],
    "n": [2, 3],
}
ALL = {"along": ["mask"], "meta": ["kind"], "prompt_length": "prompt", "length": "n", "labels": "next"}


@MODES
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mask": [[0, 1], [1, 1]]}, r'"mask" has 2 items in row 1, where column "ids" has 3 tokens'),
        ({"mask": [[0, 1], None]}, r'"mask" has 0 items in row 1'),
        ({"mask": [[0, 1], [1, None, 1]]}, r'"mask" has a null among the items of row 1'),
        ({"kind": [4, None]}, r'"kind" is null in row 1'),
        ({"prompt": [1, None]}, r'"prompt" is null in row 1'),
        ({"prompt": [1, -1]}, r'"prompt" is -1 in row 1'),
        ({"n": [2, 4]}, r'"n" is 4 in row 1, where column "ids" has 3 tokens'),
        ({"n": [2, None]}, r'"n" is 0 in row 1'),
        ({"n": [2, -3]}, r'"n" is -3 in row 1'),
    ],
)
def test_a_column_that_does_not_fit_is_refused_by_row(tmp_path, mode, change, said):
    pq.write_table(pa.table({**TABLE, **change}), tmp_path / "x.parquet")
    pack = Pack("ids", seq_len=4, mode=mode, **ALL)
    with pytest.raises(shardline.ShardlineValueError, match=r"x\.parquet.*" + said):
        list(StructuredDataset(tmp_path, pack=pack, batch_size=1))
    # Rows that do not pass are not looked at.
    found = list(StructuredDataset(tmp_path, pack=pack, batch_size=1, filters=[("kind", "==", 4)]))
    assert [batch["input_ids"].tolist() for batch in found] == [[[1, 2, 0, 0]]]


@MODES
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mask": [["a"], ["b"]]}, '"mask".*along= takes lists of numbers'),
        ({"mask": [1, 2]}, '"mask".*along= takes lists of numbers'),
        ({"kind": ["a", "b"]}, '"kind".*meta= takes a number'),
        ({"prompt": [1.5, 2.0]}, '"prompt".*prompt_length= takes an integer'),
        ({"n": [[1], [2]]}, '"n".*length= takes an integer'),
    ],
)
def test_columns_of_other_types_are_refused(tmp_path, mode, change, said):
    pq.write_table(pa.table({**TABLE, **change}), tmp_path / "x.parquet")
    with pytest.raises(shardline.ShardlineTypeError, match="(?s)" + said):
        StructuredDataset(tmp_path, pack=Pack("ids", seq_len=4, mode=mode, **ALL))
    with pytest.raises(shardline.ColumnNotFoundError, match="masks"):
        StructuredDataset(tmp_path, pack=Pack("ids", seq_len=4, mode=mode, along=["masks"]))


def test_lengths_are_counted_from_their_column(tmp_path):
    """The lists are not read before the first batch: a damaged page is not noticed until then."""
    lists = [list(range(n)) for n in (200, 100, 7)]
    pq.write_table(pa.table({"ids": lists, "n": [200, 100, 7]}), tmp_path / "x.parquet", use_dictionary=False)
    meta = pq.read_metadata(tmp_path / "x.parquet").row_group(0).column(0)
    damaged = bytearray((tmp_path / "x.parquet").read_bytes())
    damaged[meta.data_page_offset : meta.data_page_offset + 40] = b"\xff" * 40
    (tmp_path / "x.parquet").write_bytes(damaged)
    dataset = StructuredDataset(tmp_path, pack=Pack("ids", seq_len=200, mode="fit", length="n"), batch_size=1)
    assert dataset.num_rows == 2
    for pack in ({"length": "n"}, {}):
        with pytest.raises(shardline.ShardlineError, match=r"x\.parquet"):
            list(StructuredDataset(tmp_path, pack=Pack("ids", seq_len=200, mode="fit", **pack), batch_size=1))


def test_what_a_slot_has_is_pinned(tmp_path):
    """`align`: `cu_seqlens` and `position_ids` go on through the padding of a slot, `segment_ids` and labels do not."""
    pq.write_table(pa.table({"ids": [[1, 2, 3], [4, 5, 6, 7, 8], [9]]}), tmp_path / "x.parquet")
    pack = Pack("ids", seq_len=8, mode="wrap", labels="next", extra_token=True, align=4)
    (batch,) = StructuredDataset(tmp_path, pack=pack, batch_size=2)
    found = {name: value if isinstance(value, int) else value.tolist() for name, value in batch.items()}
    none = -100
    assert found == {
        "input_ids": [[1, 2, 3, 0, 4, 5, 6, 7], [8, 0, 0, 0, 9, 0, 0, 0]],
        "labels": [[2, 3, none, none, 5, 6, 7, 8], [none] * 8],
        "position_ids": [[0, 1, 2, 3, 0, 1, 2, 3], [0, 1, 2, 3, 0, 1, 2, 3]],
        "segment_ids": [[1, 1, 1, 0, 2, 2, 2, 2], [1, 0, 0, 0, 2, 0, 0, 0]],
        "cu_seqlens": [0, 4, 8, 12, 16],
        "segment_lengths": [3, 4, 1, 1],
        "max_seqlen": 4,
        "num_tokens": 9,
    }
    state = StructuredDataset(tmp_path, pack=pack, batch_size=2).state_dict()
    other = StructuredDataset(tmp_path, pack=Pack("ids", seq_len=8, mode="wrap", align=2), batch_size=2)
    with pytest.raises(shardline.CheckpointMismatchError, match="align of pack: saved 4, here 2"):
        other.load_state_dict(state)
