"""docs/types.md: every row of its table says what the code does."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import columns as t

import shardline
from shardline import ColumnOptions, DataLoader

PAGE = Path(__file__).parents[1] / "docs" / "types.md"
POLICIES = ["fill", "nan", "mask", "keep"]


def table():
    """The rows of the page's table of types: cells without their marks."""
    lines = PAGE.read_text().splitlines()
    start = lines.index("| in the file | for example | torch | row | `unit` | `fill` | `nan` | `mask` | `keep` |")
    rows = []
    for line in lines[start + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def described(folder, type_):
    """The cells that the code gives: torch, row, unit, and each policy."""
    array = t.random_array(np.random.default_rng(0), type_, 10, 0.4)
    pq.write_table(pa.table({"c": array}), folder / "a.parquet", write_statistics=False)
    cells = []
    for policy in POLICIES:
        options = {"c": ColumnOptions(nulls=policy)}
        try:
            loader = DataLoader(folder, column_options=options)
            (batch,) = loader
            assert policy != "mask" or "c__mask" in batch
            cells.append("yes" if policy != "nan" else f"`{loader.dataset.schema['c'].dtype}`".replace("torch.", ""))
        except shardline.ShardlineTypeError:  # nothing was read: refused at construction
            cells.append("")
        except shardline.ShardlineValueError:
            cells.append("numbers in it" if policy == "nan" else "an error")
    pq.write_table(pa.table({"c": t.random_array(np.random.default_rng(0), type_, 10, 0)}), folder / "a.parquet")
    column = DataLoader(folder, column_defaults=ColumnOptions(nulls="fill")).dataset.schema["c"]
    name = f"`{str(column.dtype).removeprefix('torch.')}`" if column.dtype is not None else ""
    words = {"dense": name, "jagged": f"jagged {name}", "text": "list", "objects": "list", "dict": "dict"}
    shape = ", ".join("…" if size is None else str(size) for size in column.shape)
    return [words[column.kind], f"({shape})" if column.shape else "", f"`{column.unit}`" if column.unit else "", *cells]


ROWS = table()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[1])
def test_the_page_says_what_the_code_does(tmp_path, row):
    type_ = eval(row[1].strip("`"), {"pa": pa})
    assert described(tmp_path, type_) == row[2:]


def test_the_page_has_every_type():
    named = [eval(row[1].strip("`"), {"pa": pa}) for row in ROWS]
    for type_ in [*t.INTEGERS, *t.FLOATS, *t.TEXTS, pa.bool_(), pa.date32(), pa.date64()]:
        assert type_ in named, type_
    kinds = [pa.types.is_decimal, pa.types.is_time, pa.types.is_timestamp, pa.types.is_duration, pa.types.is_dictionary]
    kinds += [
        pa.types.is_struct,
        pa.types.is_map,
        pa.types.is_list,
        pa.types.is_large_list,
        pa.types.is_fixed_size_list,
    ]
    kinds += [pa.types.is_fixed_size_binary, pa.types.is_null]
    for kind in kinds:
        assert any(map(kind, named)), kind


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (pa.list_view(pa.int32()), [[1], None, [2, 3]]),
        (pa.large_list_view(pa.string()), [["a"], []]),
        (pa.list_(pa.list_view(pa.int8())), [[[1]], []]),
    ],
    ids=str,
)
def test_what_the_page_names_as_exceptions_is_arrow_data_only(tmp_path, type_, values):
    array = pa.array(values, type_)
    pq.write_table(pa.table({"c": array}), tmp_path / "a.parquet")
    for output in ("torch", "numpy"):
        with pytest.raises(shardline.ShardlineTypeError, match='"c".*no tensor.*columns=.*output_format="arrow"'):
            DataLoader(tmp_path, output_format=output)
    for output in ("arrow", "dict"):
        (batch,) = DataLoader(tmp_path, output_format=output)
        assert t.plain(batch["c"]) == array.to_pylist()
