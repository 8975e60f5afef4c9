"""Errors about sizes, at 0, at 1 and at the maximum: what they advise works."""

import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids

from shardline import DataLoader, ShardlineValueError


@pytest.fixture
def of(tmp_path):
    """`of(n)`: a folder with one file of n rows."""

    def write(count):
        folder = tmp_path / str(count)
        folder.mkdir()
        pq.write_table(pa.table({"i": pa.array(range(count), pa.int64())}), folder / "x.parquet")
        return folder

    return write


def refusal(path, **options):
    with pytest.raises(ShardlineValueError) as caught:
        DataLoader(path, **options)
    text = str(caught.value).replace(str(path), "PATH")
    assert not re.search(r"\b(at most|or less|of) 0\b|-\d|\b1 (rows|shards|ranks|files)\b|=0\b", text), text
    return text


@pytest.mark.parametrize(
    "options", [{}, {"rank": 0, "num_ranks": 4}, {"num_shards": 8}, {"drop_last": True}, {"batch_size": 1}]
)
def test_files_without_a_row(of, options):
    text = refusal(of(0), **options)
    assert "no row" in text
    assert "PATH" in text


def test_a_filter_that_passes_nothing(of):
    assert "no row passes" in refusal(of(3), filters=[("i", ">", 5)])


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize(("ranks", "shards"), [(8, None), (8, 16), (2, 8), (1, 8), (1, 2**31)])
def test_fewer_rows_than_shards(of, rows, ranks, shards):
    path = of(rows)
    text = refusal(path, rank=0, num_ranks=ranks, num_shards=shards)
    fewer = re.search(r"at most (\d+) ranks?\b", text)
    assert (fewer is not None) == (ranks > rows)
    most = int(fewer[1]) if fewer else ranks
    cut = re.search(r"num_shards of at most (\d+)", text)
    number = int(cut[1]) if cut else None
    found = [ids(DataLoader(path, rank=k, num_ranks=most, num_shards=number)) for k in range(most)]
    assert sorted(sum(sum(found, []), [])) == list(range(rows))


@pytest.mark.parametrize(
    ("rows", "ranks", "shards", "size"), [(5, 1, None, 8), (5, 2, None, 8), (9, 2, 4, 3), (1, 1, 1, 2)]
)
def test_no_full_batch(of, rows, ranks, shards, size):
    path = of(rows)
    text = refusal(path, rank=0, num_ranks=ranks, num_shards=shards, batch_size=size, drop_last=True)
    assert "drop_last=False" in text
    assert ("fewer shards" in text) == ((shards or ranks) > ranks)
    advised = int(re.search(r"batch_size=(\d+) or less", text)[1])
    assert len(DataLoader(path, rank=0, num_ranks=ranks, num_shards=shards, batch_size=advised, drop_last=True)) > 0


@pytest.mark.parametrize(("number", "ranks"), [(1, 2), (3, 2), (2**31 - 1, 3), (2**31, 3), (7, 2**31)])
def test_shards_that_are_no_multiple_of_the_ranks(of, number, ranks):
    text = refusal(of(3), rank=0, num_ranks=ranks, num_shards=number)
    advised = [int(each) for each in re.search(r"ranks: (.*) would do", text)[1].split(" or ")]
    assert advised
    for each in advised:
        assert 1 <= each <= 2**31
        assert each % ranks == 0


@pytest.mark.parametrize("name", ["batch_size", "num_shards", "split_rows"])
@pytest.mark.parametrize("value", [0, -1, 2**31 + 1])
def test_out_of_range(of, name, value):
    with pytest.raises(ShardlineValueError, match=f"{name} must be between 1 and 2,147,483,648, not {value:,}"):
        DataLoader(of(3), **{name: value})


def test_steps_of_an_epoch(of):
    loader = DataLoader(of(3), batch_size=3)
    with pytest.raises(ShardlineValueError, match="has the steps 0 to 0"):
        loader.dataset.rows_at(1)
    with pytest.raises(ShardlineValueError, match="has the steps 0 to 1"):
        loader.state_at(2)
    with pytest.raises(ShardlineValueError, match="from step 0 to 1 at most"):
        loader.seek(2)
