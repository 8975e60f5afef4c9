"""A matrix is its columns beside one another: whatever they are, and however they are read."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import examples

from shardline import ColumnOptions, DataLoader

DTYPES = ["int8", "uint16", "int32", "float32", "int64", "float64", "bool"]


@st.composite
def tables(draw):
    """Columns of one type, their nulls in some of them only, in files of several row groups and encodings."""
    rows, columns = draw(st.integers(5, 400)), draw(st.integers(1, 40))
    dtype, nulls = draw(st.sampled_from(DTYPES)), draw(st.sampled_from([0, 0.1]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def column(number):
        values = rng.integers(0, 2 if dtype == "bool" else 100, rows).astype(dtype)
        return pa.array(values, mask=rng.random(rows) < nulls * (number % 2))

    table = pa.table({"i": np.arange(rows), **{f"c{number}": column(number) for number in range(columns)}})
    files = [table.slice(at, 150) for at in range(0, rows, 150)]
    return files, draw(
        st.fixed_dictionaries(
            {
                "row_group_size": st.sampled_from([7, 64, 1000]),
                "use_dictionary": st.booleans(),
                "compression": st.sampled_from(["none", "snappy", "zstd"]),
                "data_page_size": st.sampled_from([64, 2**20]),
            }
        )
    )


lines = st.fixed_dictionaries(
    {
        "batch_size": st.sampled_from([1, 30, 500]),
        "shuffle": st.booleans(),
        "shuffle_buffer_size": st.sampled_from([0, 50, None]),
        "filters": st.sampled_from([None, [("i", "not in", [0, 1, 30, 200])], [("i", ">=", 0)]]),
        "num_threads": st.integers(1, 3),
    }
)


@examples(40)
@given(tables(), lines, st.sampled_from(["mask", "fill"]))
def test_it_is_its_columns_stacked(tmp_path_factory, written, line, nulls):
    files, options = written
    path = tmp_path_factory.mktemp("matrix")
    for number, table in enumerate(files):
        pq.write_table(table, path / f"{number}.parquet", **options)
    names = files[0].column_names[1:]
    options = ColumnOptions(nulls=nulls)
    separate = DataLoader(path, columns=names, column_defaults=options, **line)
    matrix = DataLoader(path, matrices={"x": names}, column_options={"x": options}, **line)
    for columns, batch in zip(separate, matrix, strict=True):
        for suffix in ["", "__mask"] if nulls == "mask" else [""]:
            stacked = torch.stack([columns[name + suffix] for name in names], dim=1)
            found = batch[f"x{suffix}"]
            assert (found.dtype, found.is_contiguous()) == (stacked.dtype, True)
            assert torch.equal(found, stacked)
