"""Packed sequences of bad input: columns, settings and footers that are refused by name."""

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import packs
from support.packed import epoch_of, write, write_many

import shardline
from shardline import Pack, StructuredDataset

MODES = pytest.mark.parametrize("mode", ["wrap", "fit"])


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return write_many(tmp_path_factory.mktemp("many"))


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (pa.array([[1.0, 2.0]]), "Float64.*takes lists of integers"),
        (pa.array([[[1], [2]]], pa.list_(pa.list_(pa.int32()))), "flatten them"),
        (pa.array([1, 2]), "name a column that has a list of token ids"),
        (pa.array([["a"]]), "takes lists of integers"),
        (pa.array([[1]], pa.list_(pa.uint64())), "takes lists of integers"),
    ],
)
@MODES
def test_columns_that_hold_no_documents_are_refused(tmp_path, values, said, mode):
    pq.write_table(pa.table({"ids": values}), tmp_path / "x.parquet")
    with pytest.raises(shardline.ShardlineTypeError, match=r"(?is)column \"ids\".*" + said):
        StructuredDataset(tmp_path, pack=Pack("ids", seq_len=4, mode=mode))


@MODES
def test_what_a_pack_may_be(many, tmp_path, mode):
    path, _ = many
    pq.write_table(pa.table({"ids": pa.array([[1]], pa.list_(pa.uint16()))}), tmp_path / "x.parquet")
    for pack, said in [({"eos": 70_000}, "eos=70000 .*uint16"), ({"bos": -1}, "bos=-1 .*uint16")]:
        with pytest.raises(shardline.ShardlineValueError, match=said):
            StructuredDataset(tmp_path, pack=Pack("ids", seq_len=4, mode=mode, **pack))
    with pytest.raises(shardline.ColumnNotFoundError, match="idz"):
        StructuredDataset(path, pack=Pack("idz", seq_len=4, mode=mode))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"seq_len": 0}, "seq_len"),
        ({"seq_len": 2**20 + 1}, "seq_len"),
        ({"seq_len": 2.5}, "seq_len"),
        ({"mode": "bundles"}, "mode"),
        ({"labels": "both"}, "labels"),
        ({"extra_token": True}, "extra_token"),
        ({"extra_token": True, "labels": "input"}, "extra_token"),
        ({"count": "guess"}, "count"),
        ({"eos": "x"}, "eos"),
        ({"sequence": 3}, "sequence.*seq_len="),
        ({"long": "cut"}, "long"),
        ({"align": 0}, "align"),
        ({"align": 3}, "align=3 .*divide seq_len=4"),
        ({"prompt_length": "n"}, "prompt_length.*labels="),
        ({"prompt_length": 3, "labels": "next"}, "prompt_length"),
        ({"length": "n", "count": "lists"}, "length.*count"),
        ({"along": "mask"}, "along .*list of names"),
        ({"along": [1]}, "along .*holds 1"),
        ({"meta": 1}, "meta .*list of names"),
        ({"meta": ["row"], "along": ["row"]}, "'row'"),
        ({"along": ["position_ids"]}, "'position_ids'"),
    ]
    for change, named in wrong:
        with pytest.raises(shardline.ShardlineError, match=named):
            Pack("ids", **{"seq_len": 4, "mode": mode, **change})
    assert Pack("ids", seq_len=4, mode=mode, labels=True).labels == "next"
    pack = Pack("ids", seq_len=4, mode=mode)
    for name, value in [
        ("columns", ["ids"]),
        ("matrices", {"x": ["row"]}),
        ("row_id", True),
        ("column_options", {"ids": shardline.ColumnOptions(lists="padded")}),
        ("output_format", "arrow"),
        ("output_format", "dict"),
        ("batch_size", 2**30),
    ]:
        with pytest.raises(shardline.ShardlineValueError, match=name):
            StructuredDataset(path, pack=pack, **{name: value})


def lie(file, true, told):
    """A footer says that a row group's list levels have these numbers of values, which are others."""
    data = file.read_bytes()
    found, said = (bytes([0x46, *(2 * count for count in levels)]) for levels in (true, told))
    assert data.count(found) == 1
    file.write_bytes(data.replace(found, said))


@pytest.mark.parametrize("told", [7, 9])
def test_a_lie_about_whole_documents_is_named_too(tmp_path, told):
    write(tmp_path, [[[[1, 2, 3], [], [4, 5, 6, 7, 8]], [[9, 9]]]])
    lie(tmp_path / "000.parquet", [0, 1, 0, 8], [0, 9 - told, 0, told])
    for shuffle in (False, True):
        dataset = StructuredDataset(tmp_path, pack=Pack("ids", seq_len=5, mode="fit"), batch_size=1, shuffle=shuffle)
        with pytest.raises(shardline.FileChangedError, match=r'000\.parquet.*row group 0.*"ids".*count="lists"'):
            list(dataset)
    found = epoch_of(tmp_path, pack=Pack("ids", seq_len=5, mode="fit", count="lists"), batch_size=1)
    assert sorted(found) == [[1, 2, 3, 9, 9], [4, 5, 6, 7, 8]]


@pytest.mark.parametrize("told", [7, 9])
def test_a_footer_that_lies_about_its_tokens_is_named_with_the_cure(tmp_path, told):
    """One row group of two says that it has a token less, or more, than its pages hold."""
    lists = [[[1, 2, 3], [], [4, 5, 6, 7, 8]], [[9, 9]]]
    write(tmp_path, [lists])
    lie(tmp_path / "000.parquet", [0, 1, 0, 8], [0, 9 - told, 0, told])
    for seq_len, pack in [(4, {}), (3, {}), (100, {}), (1, {}), (2, {"eos": 0})]:
        made = Pack("ids", seq_len=seq_len, mode="wrap", **pack)
        with pytest.raises(shardline.FileChangedError, match=r'000\.parquet.*row group 0.*"ids".*count="lists"'):
            list(StructuredDataset(tmp_path, pack=made, batch_size=1))
        found = epoch_of(tmp_path, pack=Pack("ids", seq_len=seq_len, mode="wrap", count="lists", **pack), batch_size=1)
        line = [token for each in sum(lists, []) for token in packs.document(each, packs.Pack(seq_len, **pack))]
        assert [i for ids in found for i in ids][: len(line)] == line


@pytest.mark.parametrize("after", [[], [[[7] * 4]]])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_lie_is_met_where_a_sequence_ends_at_it(tmp_path, after, shuffle):
    """The document that a footer leaves out is the last of a row group that a sequence ends in."""
    write(tmp_path, [[[[1, 2, 3]], [[5], [6]], *after]])
    lie(tmp_path / "000.parquet", [0, 0, 0, 2], [0, 1, 0, 1])
    for seq_len in (1, 2, 4):
        made = Pack("ids", seq_len=seq_len, mode="wrap")
        with pytest.raises(shardline.FileChangedError, match=r"000\.parquet.*row group 1"):
            list(StructuredDataset(tmp_path, pack=made, batch_size=1, shuffle=shuffle))


def test_a_row_group_is_not_taken_for_empty_on_a_footers_word(tmp_path):
    """No sequence would begin in it, nor go on in it, and its tokens would be lost in silence."""
    write(tmp_path, [[[[5], [6]], [[7] * 4, [8] * 4]]])
    lie(tmp_path / "000.parquet", [0, 0, 0, 2], [0, 2, 0, 0])
    assert epoch_of(tmp_path, pack=Pack("ids", seq_len=2, mode="wrap"), batch_size=1) == [
        [5, 6],
        [7, 7],
        [7, 7],
        [8, 8],
        [8, 8],
    ]


def test_a_footer_that_counts_more_than_there_can_be_is_not_believed(tmp_path):
    """More items than values, fewer than lists, negative numbers: the column is read instead."""
    write(tmp_path, [[[[1, 2, 3], [4]], [[9, 9]]]])
    original = (tmp_path / "000.parquet").read_bytes()
    for told in ([0, 0, 0, 5], [0, 3, 0, 1], [0, 0, 0, 63]):
        (tmp_path / "000.parquet").write_bytes(original)
        lie(tmp_path / "000.parquet", [0, 0, 0, 4], told)
        found = epoch_of(tmp_path, pack=Pack("ids", seq_len=3, mode="wrap"), batch_size=1)
        assert found == [[1, 2, 3], [4, 9, 9]]
    (tmp_path / "000.parquet").write_bytes(original.replace(bytes([0x46, 0, 0, 0, 8]), bytes([0x46, 1, 0, 0, 8])))
    assert epoch_of(tmp_path, pack=Pack("ids", seq_len=3, mode="wrap"), batch_size=1) == [[1, 2, 3], [4, 9, 9]]


@MODES
def test_nulls_among_tokens_are_named(tmp_path, mode):
    pq.write_table(pa.table({"ids": [[1], [2, None]]}), tmp_path / "x.parquet")
    with pytest.raises(shardline.ShardlineValueError, match=r"x\.parquet.*\"ids\".*null.*row 1"):
        list(StructuredDataset(tmp_path, pack=Pack("ids", seq_len=2, mode=mode), batch_size=1))


@MODES
def test_no_tokens_at_all_is_said(tmp_path, mode):
    pq.write_table(pa.table({"ids": pa.array([[], None], pa.list_(pa.int32()))}), tmp_path / "x.parquet")
    with pytest.raises(shardline.ShardlineValueError, match="'ids' has no token"):
        StructuredDataset(tmp_path, pack=Pack("ids", seq_len=2, mode=mode))


@MODES
def test_files_cannot_be_left_out_of_packed_sequences(many, mode):
    path, _ = many
    dataset = StructuredDataset(path, pack=Pack("ids", seq_len=50, mode=mode))
    with pytest.raises(shardline.ShardlineValueError, match=r"leave_out.*001\.parquet"):
        dataset.leave_out(["001.parquet"])
    with pytest.raises(shardline.ShardlineValueError, match="leave_out"):
        dataset.load_state_dict(dataset.state_dict(), leave_out=["001.parquet"])
    with pytest.raises(shardline.ShardlineValueError, match="pack="):
        shardline.shuffle_quality(dataset, "row")
    with pytest.raises(shardline.ShardlineValueError, match="pack="):
        dataset.value_counts("row")
