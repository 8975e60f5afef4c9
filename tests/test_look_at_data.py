"""`dataset.head`, `stats`, `value_counts` and the schema as a table."""

from collections import Counter

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples, ids
from support.command import as_json, fails, printed

import shardline
from shardline import ColumnOptions, DataLoader, StructuredDataset

KINDS = {
    "int": (pa.int64(), st.integers(-(2**60), 2**60)),
    "float": (pa.float64(), st.floats(allow_nan=True, allow_infinity=True)),
    "text": (pa.string(), st.text(st.characters(codec="utf-8"), max_size=80)),
    "date": (pa.date32(), st.dates()),
    "bool": (pa.bool_(), st.booleans()),
}
TABLES = st.sampled_from(sorted(KINDS)).flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(st.none() | KINDS[kind][1], min_size=1, max_size=40))
)


@examples(60)
@given(table=TABLES, group=st.integers(1, 9))
def test_stats_are_those_of_the_values(tmp_path_factory, table, group):
    kind, values = table
    folder = tmp_path_factory.mktemp("d")
    array = pa.array(values, KINDS[kind][0])
    half = len(values) // 2
    for number, part in enumerate((array[:half], array[half:])):
        pq.write_table(pa.table({"x": part}), folder / f"{number}.parquet", row_group_size=group)
    found = StructuredDataset(folder, output_format="arrow").stats()["x"]
    assert (found.rows, found.nulls) == (len(values), array.null_count)
    known = array.drop_null()
    if kind == "float":
        known = known.filter(pc.invert(pc.is_nan(known)))
    if not found.exact:
        assert (kind == "text" and any(len((each or "").encode()) >= 64 for each in values)) or kind == "float"
        return
    wanted = pc.min_max(known).as_py() if len(known) else {"min": None, "max": None}
    assert (found.min, found.max) == (wanted["min"], wanted["max"])


def test_stats_say_where_they_are_not_exact(tmp_path):
    pq.write_table(pa.table({"a": [1, 2], "b": [["x"], None]}), tmp_path / "0.parquet")
    pq.write_table(
        pa.table({"a": [5, 0], "b": [["z"], []]}), tmp_path / "1.parquet", write_statistics=["b.list.element"]
    )
    stats = StructuredDataset(tmp_path, output_format="arrow").stats()
    assert (stats["a"].exact, stats["a"].nulls, stats["a"].max) == (False, None, None)
    assert stats["a"].note == "unknown of 1 row group"
    assert (stats["b[]"].exact, stats["b[]"].min) == (False, "x")
    assert "unknown of 1 row group" in str(stats)
    with pytest.raises(shardline.ColumnNotFoundError, match="the files have 'a', 'b\\[\\]'"):
        stats["b"]


def test_stats_are_of_all_rows_and_say_so(hundred):
    stats = DataLoader(hundred, filters=[("i", "<", 10)]).dataset.stats()
    assert stats["i"].max == 99
    assert "not only those that pass" in str(stats)
    assert as_json("stats", hundred, "-f", "i < 10")["columns"]["i"]["max"] == 99


def test_a_file_that_is_gone_is_an_error(hundred):
    dataset = StructuredDataset(hundred)
    next(hundred.iterdir()).unlink()
    with pytest.raises(shardline.ShardlineOSError, match=r"part-000\d.parquet"):
        dataset.stats()


@examples(40)
@given(values=st.lists(st.none() | st.sampled_from("abcdef"), min_size=1, max_size=60), dictionary=st.booleans())
def test_value_counts_are_those_of_the_values(tmp_path_factory, values, dictionary):
    folder = tmp_path_factory.mktemp("d")
    array = pa.array(values, pa.string())
    pq.write_table(
        pa.table({"x": array.dictionary_encode() if dictionary else array}), folder / "0.parquet", row_group_size=7
    )
    found = StructuredDataset(folder, output_format="arrow", shuffle=True).value_counts("x")
    assert found == Counter(values)
    assert list(found.values()) == sorted(found.values(), reverse=True)


def test_value_counts_count_the_rows_that_pass(hundred):
    dataset = StructuredDataset(hundred, filters=[("i", "<", 30)], rank=1, num_ranks=2)
    assert dataset.value_counts("i") == dict.fromkeys(range(30), 1)
    assert sum(each["rows"] for each in as_json("stats", hundred, "--counts", "i", "-f", "i < 30")) == 30
    assert "and 80 more values" in printed("stats", hundred, "--counts", "i")
    assert 'no column "j"' in fails("stats", hundred, "--counts", "j")


@pytest.mark.parametrize(
    "options", [{}, {"shuffle": True}, {"shuffle": True, "shuffle_buffer_size": 20, "drop_last": True}]
)
def test_head_is_what_comes_first_and_moves_nothing(hundred, options):
    loader = DataLoader(hundred, batch_size=10, **options)
    whole = [i for batch in ids(loader) for i in batch]
    loader.set_epoch(0)
    batches = iter(loader)
    first = next(batches)["i"].tolist()
    state = loader.state_dict()
    assert loader.dataset.head(10)["i"].tolist() == first == whole[:10]
    assert loader.dataset.head(25)["i"].tolist() == whole[:25]
    assert loader.dataset.head(1000)["i"].tolist() == whole
    assert loader.state_dict() == state
    assert next(batches)["i"].tolist() == whole[10:20]


def test_head_is_of_the_epoch_in_hand(make):
    loader = make()
    for _ in range(2):
        whole = [i for batch in ids(loader) for i in batch]
    assert loader.dataset.epoch == 2
    head = loader.dataset.head(100)["i"].tolist()
    assert head == [i for batch in ids(loader) for i in batch] != whole


def test_the_first_batch_as_a_table(hundred):
    found = as_json("head", hundred, "--shuffle", "--seed", 3, "-b", 8, "-c", "x,i")
    first = next(iter(StructuredDataset(hundred, shuffle=True, shuffle_seed=3, batch_size=8)))
    assert list(found) == ["x", "i"]
    assert found["i"] == {
        "shape": "(8)",
        "type": "int64",
        "values": ", ".join(map(str, first["i"].tolist()[:4])) + ", …",
    }
    for output in ("numpy", "dict", "arrow"):
        assert as_json("head", hundred, "-o", f"output_format={output}")["i"]["values"].startswith("0, 1, 2, 3")


def test_nulls_and_control_characters_of_a_first_batch(tmp_path):
    pq.write_table(pa.table({"s": ["a\nb\x1b[31m", None], "n": [1, None]}), tmp_path / "a.parquet")
    assert "--nulls mask" in fails("head", tmp_path)
    text = printed("head", tmp_path, "--nulls", "mask")
    assert r"a\nb\x1b[31m" in text
    assert "n__mask" in text


def test_options_of_columns(tmp_path):
    pq.write_table(pa.table({"s": ["a", "b"], "n": [1, None]}), tmp_path / "a.parquet")
    found = as_json("head", tmp_path, "-o", 'column_options={"n": {"nulls": "nan"}, "s": {"encode": "codes"}}')
    assert (found["n"]["type"], found["s"]["values"]) == ("float64", "0, 1")
    assert "no option 'null'" in fails("head", tmp_path, "-o", 'column_defaults={"null": 1}', code=2)


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("i>=3", ("i", ">=", 3)),
        ("a b != 'x y'", ("a b", "!=", "x y")),
        ("i in (1, 2)", ("i", "in", (1, 2))),
        ("i not in [1]", ("i", "not in", [1])),
        ("name = text", ("name", "=", "text")),
        ("index < -1.5", ("index", "<", -1.5)),
    ],
)
def test_conditions(text, condition):
    from shardline.cli.options import loader_arguments

    assert loader_arguments(["p"], filters=[text])["filters"] == [condition]


def test_the_schema_is_a_table(tmp_path):
    table = pa.table(
        {
            "v": pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2)),
            "user": pa.array([{"age": 3, "tags": ["a"]}]),
            "t": pa.array([0], pa.timestamp("us")),
            "city": ["x"],
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    options = {"city": ColumnOptions(encode="hash", buckets=1000)}
    schema = StructuredDataset(tmp_path, column_options=options).schema
    assert repr(schema).splitlines()[0] == "Schema, 4 keys"
    rows = [line.split() for line in schema.text().splitlines()]
    assert ["t", "timestamp[us]", "int64[us]", "error"] in rows
    assert ["city", "string", "int64", "id", "hash,", "1,000", "buckets"] in rows
    assert any(row[0] == "age" and row[2] == "int64" for row in rows)
    assert all(len(line) <= 60 for line in schema.text(60).splitlines())
