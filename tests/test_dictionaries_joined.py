"""Dictionaries of rows that come from several row groups: one a batch, and no word in it twice."""

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shardline import DataLoader

WORDS = ["a", "b", "c", None]


def write(path, columns, groups=14, rows=5):
    """Row groups that have each a dictionary of their own."""
    table = pa.table(columns)
    with pq.ParquetWriter(path, table.schema) as writer:
        for k in range(groups):
            writer.write_table(table.slice(k * rows, rows))
    return table


def texts(count=70):
    return [WORDS[(k * k + k // 5) % 4] for k in range(count)]


TYPES = {
    "dictionary": lambda: pa.array(texts()).dictionary_encode(),
    "small codes": lambda: pa.array(texts()).dictionary_encode().cast(pa.dictionary(pa.int8(), pa.string())),
    "of numbers": lambda: pa.array([k % 3 for k in range(70)]).dictionary_encode(),
    "of lists": lambda: pa.array([texts()[k : k + k % 3] for k in range(70)], pa.list_(TYPES["dictionary"]().type)),
    "of structs": lambda: pa.StructArray.from_arrays([TYPES["dictionary"](), pa.array(range(70))], ["w", "i"]),
}


def twice(array):
    """Whether a dictionary in it has a word twice."""
    if pa.types.is_dictionary(array.type):
        words = array.dictionary.to_pylist()
        return len(words) != len(set(words))
    parts = array.flatten() if pa.types.is_struct(array.type) else [array.values] if array.type.num_fields else []
    return any(map(twice, parts))


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("kind", TYPES)
def test_a_batch_of_several_row_groups_has_one_dictionary(tmp_path, kind, shuffle):
    table = write(tmp_path / "x.parquet", {"i": range(70), "x": TYPES[kind]()})
    batches = list(DataLoader(tmp_path, batch_size=32, shuffle=shuffle, output_format="arrow"))
    assert [batch.num_rows for batch in batches] == [32, 32, 6]
    assert not any(twice(batch.column("x")) for batch in batches)
    whole = pa.concat_tables([pa.Table.from_batches([batch]) for batch in batches]).unify_dictionaries()
    assert whole.sort_by("i").to_pylist() == table.to_pylist()
    for batch in batches:
        if kind != "of numbers":  # which are delivered as these
            assert batch.schema.field("x").type == table.schema.field("x").type
        assert batch.to_pandas()["i"].tolist() == batch.column("i").to_pylist()


def test_pandas_takes_it(tmp_path):
    frame = pd.DataFrame({"c": pd.Categorical([WORDS[k % 3] for k in range(70)])})
    write(tmp_path / "x.parquet", pa.Table.from_pandas(frame, preserve_index=False))
    (batch,) = DataLoader(tmp_path, batch_size=100, output_format="arrow")
    assert batch.column("c").dictionary.to_pylist() == ["a", "b", "c"]
    pd.testing.assert_series_equal(batch.to_pandas()["c"], frame["c"])
