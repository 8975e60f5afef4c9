"""Which files are read, under which names, in which order; and the plan that remembers it."""

import pickle
import resource

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import ids

import shardline
from shardline import DataLoader, Plan, StructuredDataset


def write(path, values=range(3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table({"i": pa.array(values, pa.int64())}), path)
    return path


def names(path):
    return [name for name, _, _ in StructuredDataset(path, batch_size=1).plan.files()]


def test_directories_are_read_deep_in_the_order_of_their_paths(tmp_path):
    for name in ("a.parquet", "a/b.parquet", "a-b/x.parquet", "a/c/d.parquet", "Z.parquet", "é.parquet"):
        write(tmp_path / name)
    for name in ("_temporary/x.parquet", ".hidden.parquet", "_SUCCESS.parquet", "a/.x/y.parquet"):
        write(tmp_path / name)
    (tmp_path / "_SUCCESS").touch()
    # '-' (0x2d) < '.' (0x2e) < '/' (0x2f), upper case before lower, and UTF-8 after both
    assert names(tmp_path) == ["Z.parquet", "a-b/x.parquet", "a.parquet", "a/b.parquet", "a/c/d.parquet", "é.parquet"]


def test_roots(tmp_path):
    for name in ("d/a/x.parquet", "d/a/y.parquet", "d/b/x.parquet"):
        write(tmp_path / name)
    assert names(tmp_path / "d/a/x.parquet") == ["x.parquet"]
    assert names(tmp_path / "d") == ["a/x.parquet", "a/y.parquet", "b/x.parquet"]
    assert names(str(tmp_path / "d/*/x.parquet")) == ["a/x.parquet", "b/x.parquet"]
    assert names(str(tmp_path / "d/a/*.parquet")) == ["x.parquet", "y.parquet"]
    assert names([tmp_path / "d/b/x.parquet", tmp_path / "d/a/y.parquet"]) == ["a/y.parquet", "b/x.parquet"]


def test_one_root_gives_the_same_rows_however_it_is_named(tmp_path, monkeypatch):
    for i in range(4):
        write(tmp_path / "d" / f"{i}.parquet", range(3 * i, 3 * i + 3))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    forms = [tmp_path / "d", "~/d", f"file://{tmp_path}/d", str(tmp_path / "d/*.parquet"), "d", "d/", "./d"]
    forms.append([tmp_path / "d" / f"{i}.parquet" for i in (3, 1, 0, 2)])
    state = DataLoader(tmp_path / "d", batch_size=5).state_at(1)
    for form in forms:
        loader = DataLoader(form, batch_size=5)
        loader.load_state_dict(state)
        assert ids(loader) == [[5, 6, 7, 8, 9], [10, 11]]


@pytest.mark.parametrize("name", ["with space", "per%20cent", "ha#sh", "ünï", "qu'ote\"", "a+b&c=d", "back\\slash"])
def test_odd_names(tmp_path, name):
    write(tmp_path / name / f"{name}.parquet")
    assert names(tmp_path / name) == [f"{name}.parquet"]
    assert ids(DataLoader(tmp_path / name, batch_size=3)) == [[0, 1, 2]]


def test_empty_files_and_groups_are_fine(tmp_path):
    schema = pa.schema([("i", pa.int64())])
    write(tmp_path / "b.parquet")
    with pq.ParquetWriter(tmp_path / "a.parquet", schema):
        pass  # no row group
    pq.write_table(pa.table({"i": pa.array([], pa.int64())}), tmp_path / "c.parquet")
    write(tmp_path / "d.parquet", [3, 4])
    for shuffle in (False, True):
        found = ids(DataLoader(tmp_path, batch_size=2, shuffle=shuffle))
        assert sorted(sum(found, [])) == [0, 1, 2, 3, 4]


def test_a_file_that_is_named_is_read_whatever_it_is_called(tmp_path):
    for name in ("_hidden.parquet", "no-extension", ".x/y.parquet"):
        write(tmp_path / name)
        assert ids(DataLoader(tmp_path / name, batch_size=3)) == [[0, 1, 2]]
    with pytest.raises(FileNotFoundError, match=r"none ends in \.parquet"):
        DataLoader(tmp_path)
    write(tmp_path / "a.PARQUET")
    write(tmp_path / "b.pq", [3])
    assert names(tmp_path) == ["a.PARQUET", "b.pq"]


def test_columns_that_only_later_files_have_are_not_delivered(tmp_path):
    pq.write_table(pa.table({"i": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [3.0], "i": [2]}), tmp_path / "b.parquet")
    (batch,) = DataLoader(tmp_path, batch_size=3)
    assert (list(batch), batch["i"].tolist()) == (["i"], [1, 2])
    with pytest.raises(shardline.ColumnNotFoundError, match='"x"'):
        DataLoader(tmp_path, columns=["x"])


def test_columns_in_another_order_are_fine(tmp_path):
    pq.write_table(pa.table({"i": [1, 2], "x": [1.0, 2.0]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": [3.0], "i": [3]}), tmp_path / "b.parquet")
    (batch,) = DataLoader(tmp_path, batch_size=3)
    assert list(batch) == ["i", "x"]
    assert (batch["i"].tolist(), batch["x"].tolist()) == ([1, 2, 3], [1.0, 2.0, 3.0])


LISTS = {
    "list": pa.list_(pa.int32()),
    "element not null": pa.list_(pa.field("element", pa.int32(), nullable=False)),
    "other element": pa.list_(pa.field("thing", pa.int32())),
    "element with metadata": pa.list_(pa.field("element", pa.int32(), metadata={"a": "b"})),
}


@pytest.mark.parametrize("output", ["torch", "numpy", "arrow", "dict"])
@pytest.mark.parametrize("shuffle", [False, True])
def test_lists_of_other_writers_are_one_column(tmp_path, output, shuffle):
    """They differ in what changes no value: what their elements are called, and whether they may be null."""
    values = [[n] * (n % 3) for n in range(24)]
    for number, (name, kind) in enumerate(LISTS.items()):
        nullable = name != "element not null"
        rows = values[6 * number : 6 * number + 6]
        table = pa.table([pa.array(rows, kind)], schema=pa.schema([pa.field("t", kind, nullable=nullable)]))
        pq.write_table(table, tmp_path / f"{number}.parquet", use_compliant_nested_type=False)
    loader = DataLoader(tmp_path, batch_size=5, shuffle=shuffle, output_format=output)
    found = []
    for batch in loader:
        column = batch["t"]
        if output == "torch":
            found += [row.tolist() for row in column.unbind()]
        elif output == "numpy":
            found += [part.tolist() for part in np.split(column[0], column[1][1:-1])]
        else:
            found += column if output == "dict" else column.to_pylist()
        if output == "arrow":
            assert batch.schema == loader.dataset.schema.arrow
    assert sorted(found) == sorted(values)
    assert (found == values) == (not shuffle)


def test_structs_and_maps_that_differ_in_nullability_are_one_column(tmp_path):
    inner = [pa.struct([pa.field("a", pa.int32(), nullable=nullable)]) for nullable in (True, False)]
    maps = [pa.map_(pa.string(), pa.field("value", pa.int32(), nullable=nullable)) for nullable in (True, False)]
    for number in range(2):
        schema = pa.schema([("s", inner[number]), ("m", maps[number])])
        rows = [{"s": {"a": n}, "m": [(str(n), n)]} for n in range(6)]
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), tmp_path / f"{number}.parquet")
    for shuffle in (False, True):
        loader = DataLoader(tmp_path, batch_size=5, shuffle=shuffle, output_format="arrow")
        table = pa.Table.from_batches(list(loader))
        assert sorted(row["a"] for row in table["s"].to_pylist()) == sorted([*range(6)] * 2)
        assert sorted(row[0][1] for row in table["m"].to_pylist()) == sorted([*range(6)] * 2)


def test_plan_is_saved_loaded_pickled_and_passed(tmp_path, monkeypatch):
    for i in range(3):
        write(tmp_path / "d" / f"{i}.parquet", range(3 * i, 3 * i + 3))
    dataset = StructuredDataset(tmp_path / "d", batch_size=2)
    plan = dataset.plan
    assert (plan.num_files, plan.num_rows, plan.num_row_groups) == (3, 9, 3)
    plan.save(tmp_path / "plan")
    for copy in (Plan.load(tmp_path / "plan"), pickle.loads(pickle.dumps(plan))):
        assert (copy.digest, copy.files(), copy.num_bytes) == (plan.digest, plan.files(), plan.num_bytes)
        assert ids(StructuredDataset(plan=copy, batch_size=2)) == ids(StructuredDataset(tmp_path / "d", batch_size=2))
    assert [p.name for p in tmp_path.iterdir()].count("plan") == 1
    assert not [p for p in tmp_path.iterdir() if "tmp" in p.name]


def test_a_plan_is_replaced_whole_or_not_at_all(tmp_path):
    plan = StructuredDataset(write(tmp_path / "a.parquet"), batch_size=1).plan
    plan.save(tmp_path / "plan")
    before = (tmp_path / "plan").read_bytes()

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, limits[1]))  # as if the disk were full
    try:
        with pytest.raises(OSError, match="plan") as caught:
            plan.save(tmp_path / "plan")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert isinstance(caught.value, shardline.ShardlineError)
    assert (tmp_path / "plan").read_bytes() == before
    with pytest.raises(OSError, match="nowhere"):
        plan.save(tmp_path / "nowhere" / "plan")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.parquet", "plan"]


def test_digest_knows_content_but_not_the_place(tmp_path):
    one, two, other = (tmp_path / name / "x.parquet" for name in ("one", "two", "other"))
    write(one), write(two), write(other, [7, 8])
    plans = [StructuredDataset(path.parent, batch_size=1).plan for path in (one, two, other)]
    assert plans[0].digest == plans[1].digest != plans[2].digest
    assert plans[0].root != plans[1].root


def test_many_small_files(tmp_path):
    for i in range(50):
        write(tmp_path / f"{i:03}.parquet", range(4 * i, 4 * i + 4))
    found = ids(DataLoader(tmp_path, batch_size=7, shuffle=True))
    assert sorted(sum(found, [])) == list(range(200))
    assert np.concatenate(found).tolist() != list(range(200))


def test_paths_may_be_objects_and_lists(tmp_path):
    path = write(tmp_path / "a.parquet")
    for form in (path, str(path), [path], (str(path),)):
        assert ids(DataLoader(form, batch_size=3)) == [[0, 1, 2]]
    with pytest.raises(shardline.ShardlineError, match="a.parquet"):
        DataLoader([path, path])


@pytest.mark.parametrize("columns", [None, ["a"], ["text", "z"], ["z"]])
def test_small_row_groups_are_read_as_they_stand(tmp_path, columns):
    """Files that are read by one call, of one schema or of another, with columns that are far apart among them."""
    for i in range(60):
        n = 1 + i * 7 % 40
        table = pa.table(
            {
                "a": pa.array(range(i, i + n), pa.int32()),
                "wide": pa.array(["w" * 5000] * n if i % 3 else ["w"] * n),
                "text": pa.array([f"{i} {j}" for j in range(n)]),
                "z": pa.array([[float(j)] * (j % 4) for j in range(n)], pa.list_(pa.float32())),
            }
        )
        if i % 4 == 1:
            table = table.select(["z", "text", "a", "wide"])
        pq.write_table(table, tmp_path / f"{i:03}.parquet", row_group_size=11, use_dictionary=i % 2 == 0)
    wanted = pq.read_table(sorted(tmp_path.glob("*.parquet"))[0]).schema.names if columns is None else columns
    expected = []
    for path in sorted(tmp_path.glob("*.parquet")):
        expected += pq.read_table(path, columns=wanted).select(wanted).to_pylist()
    loader = DataLoader(tmp_path, batch_size=13, columns=columns, output_format="arrow")
    for _ in range(2):
        assert [row for batch in loader for row in batch.to_pylist()] == expected
