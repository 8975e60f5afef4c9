"""Filters: exactly the rows that pyarrow's dataset leaves, under every law, counted once."""

import datetime
import itertools
import json
import logging
import pickle
import warnings
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from support import examples, ids, spec, write_rows
from support.job import job

import shardline
from shardline import DataLoader, Plan, StructuredDataset

UTC = datetime.UTC
NOON = datetime.datetime(2024, 1, 1, 12)

# Values few enough that conditions meet them; of each type what a column may hold, and what it is compared with.
TYPES = {
    pa.int8(): ([-128, -1, 0, 5, 127], [0, 5, 2.5, 300, -1000, 127, Decimal("4.5")]),
    pa.uint32(): ([0, 7, 2**32 - 1], [7, -1, 2**40]),
    pa.int64(): ([-(2**60), 0, 3, 2**60], [3, 0.5, 2**60, -(2**60)]),
    pa.float32(): ([float("nan"), -0.0, 0.0, 0.1, 1.5, float("inf")], [0.0, 0.1, 1.5, 1, float("nan")]),
    pa.float64(): ([float("nan"), -0.0, 0.1, 2.0, float("-inf")], [0.0, 0.1, 2, 2.0, float("inf")]),
    pa.bool_(): ([True, False], [True, False]),
    pa.string(): (["", "a", "b", "äö", "z" * 90], ["", "a", "aa", "z" * 90]),
    pa.large_binary(): ([b"", b"\xff", b"a" * 80], [b"\xff", b"a"]),
    pa.date32(): ([datetime.date(1969, 1, 1), datetime.date(2024, 1, 1)], [datetime.date(2024, 1, 1), NOON]),
    pa.timestamp("ms"): ([NOON, NOON + datetime.timedelta(milliseconds=1)], [NOON, datetime.date(2024, 1, 1)]),
    pa.timestamp("us", "UTC"): ([NOON.replace(tzinfo=UTC)], [NOON.replace(tzinfo=UTC)]),
    pa.time32("ms"): ([datetime.time(0, 0, 1), datetime.time(1)], [datetime.time(1)]),
    pa.duration("us"): ([datetime.timedelta(1), datetime.timedelta(-1)], [datetime.timedelta(1)]),
    pa.decimal128(9, 2): (
        [Decimal("-1.50"), Decimal("0.05"), Decimal("7.00")],
        [Decimal("0.05"), 0.05, Decimal("0.055")],
    ),
    pa.decimal128(30, 4): ([Decimal("12345678901234567890.5"), Decimal(1)], [Decimal("12345678901234567890.5")]),
    pa.dictionary(pa.int8(), pa.string()): (["a", "b", "c"], ["a", "c", "d"]),
}
NAMES = [f"c{n}" for n in range(len(TYPES))]
COMPARE = ["__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__"]


@st.composite
def conditions(draw):
    number = draw(st.integers(0, len(TYPES) - 1))
    dtype = list(TYPES)[number]
    column, literals = pc.field(NAMES[number]), TYPES[dtype][1]
    kind = draw(st.sampled_from(["compare"] * 6 + ["in", "null", "valid", "nan", "other"]))
    if kind == "null":
        return column.is_null(nan_is_null=draw(st.booleans()) and pa.types.is_floating(dtype))
    if kind == "valid":
        return column.is_valid()
    if kind == "nan" and pa.types.is_floating(dtype):
        return column.is_nan()
    if kind == "other":  # the same column's neighbour in time: compared with another column of its type
        return getattr(column, draw(st.sampled_from(COMPARE)))(pc.field(f"d{number}"))
    if kind == "in":
        held = [value for value in TYPES[dtype][0] if value != 0.0 or not pa.types.is_floating(dtype)]  # of two signs
        return column.isin(draw(st.lists(st.sampled_from([*held, None]), max_size=3)))
    literal = draw(st.sampled_from(literals))
    return getattr(column, draw(st.sampled_from(COMPARE)))(literal)


def both(children):
    return st.one_of(
        st.tuples(children, children).map(lambda two: two[0] & two[1]),
        st.tuples(children, children).map(lambda two: two[0] | two[1]),
        children.map(lambda one: ~one),
    )


expressions = st.recursive(conditions(), both, max_leaves=5)


@st.composite
def tables(draw):
    rows = draw(st.integers(1, 60))
    nulls = draw(st.sampled_from([0, 0.2, 1]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    columns = {"i": pa.array(np.arange(rows))}
    for prefix in "cd":
        for number, (dtype, (held, _)) in enumerate(TYPES.items()):
            few = held[: rng.integers(1, len(held) + 1)]
            values = [None if rng.random() < nulls else few[rng.integers(len(few))] for _ in range(rows)]
            if rng.random() < 0.3:  # sorted, so that statistics tell something
                values.sort(key=lambda v: (v is not None, str(v)))
            plain = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
            columns[f"{prefix}{number}"] = pa.array(values, plain).cast(dtype)
    options = draw(
        st.fixed_dictionaries(
            {
                "row_group_size": st.sampled_from([5, 16, 1000]),
                "use_dictionary": st.booleans(),
                "data_page_version": st.sampled_from(["1.0", "2.0"]),
                "write_statistics": st.booleans(),
                "write_page_index": st.booleans(),
                "compression": st.sampled_from(["none", "snappy"]),
                "data_page_size": st.sampled_from([1, 2**20]),
            }
        )
    )
    return pa.table(columns), options


def pyarrows(table, expression):
    """The rows that pyarrow's dataset leaves; None where it cannot compare what shardline can.

    In memory: over files its statistics leave out NaNs, so that of [0, NaN] nothing is left by `x != 0`.
    """
    try:
        return ds.dataset(table).to_table(filter=expression, columns=["i"])["i"].to_pylist()
    except pa.ArrowException:
        return None


def epoch(dataset):
    return [row for batch in ids(dataset) for row in batch]


def passing(path, expression, **options):
    try:
        dataset = StructuredDataset(path, batch_size=7, columns=["i"], filters=expression, **options)
    except shardline.ShardlineValueError as error:
        if "no row passes" in str(error):
            return []
        raise
    return epoch(dataset)


@examples(40)
@given(tables(), st.lists(expressions, min_size=6, max_size=6))
def test_the_rows_are_those_that_pyarrow_leaves(tmp_path_factory, written, filters):
    table, options = written
    path = tmp_path_factory.mktemp("filters") / "a.parquet"
    pq.write_table(table, path, **options)
    for expression in filters:
        wanted = pyarrows(table, expression)
        if wanted is not None:
            assert passing(path, expression) == wanted, expression


dnf = st.lists(
    st.lists(
        st.one_of(
            st.tuples(
                st.sampled_from(["c0", "c2"]),
                st.sampled_from(["=", "==", "!=", "<", "<=", ">", ">="]),
                st.integers(-2, 6),
            ),
            st.tuples(
                st.just("c6"), st.sampled_from(["in", "not in"]), st.lists(st.sampled_from(["", "a", "q"]), min_size=1)
            ),
        ),
        min_size=1,
        max_size=3,
    ),
    min_size=1,
    max_size=3,
)


@examples(40)
@given(tables(), dnf)
def test_lists_of_tuples_mean_what_pyarrow_takes_them_for(tmp_path_factory, written, filters):
    table, options = written
    path = tmp_path_factory.mktemp("dnf") / "a.parquet"
    pq.write_table(table, path, **options)
    assert passing(path, filters) == pq.read_table(path, filters=filters)["i"].to_pylist()
    assert passing(path, filters[0]) == pq.read_table(path, filters=filters[0])["i"].to_pylist()


def test_one_tuple_alone_is_a_filter(hundred):
    assert passing(hundred, ("i", "<", 3)) == [0, 1, 2]


# The laws, with filters and samples on

lines = st.fixed_dictionaries(
    {
        "shuffle": st.booleans(),
        "shuffle_buffer_size": st.sampled_from([None, 0, 5, 30]),
        "shuffle_strands": st.integers(1, 4),
        "split_rows": st.sampled_from([None, 1, 9]),
        "filters": st.sampled_from(
            [[("m", "<", 6)], [("m", "=", 3)], [("i", ">", 20)], [("m", "in", [0, 9]), ("i", "<", 70)], None]
        ),
        "split": st.sampled_from([None, (0, 0.5), (0.3, 1.0)]),
    }
).filter(lambda line: line["filters"] is not None or line["split"] is not None)
groups = st.lists(st.lists(st.integers(0, 30), max_size=4).map(tuple), min_size=1, max_size=3).map(tuple)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of files with row numbers `i`, and `m`: the last digit of their squares' sum, without statistics."""
    made = {}

    def folder(sizes):
        if sizes not in made:
            made[sizes] = tmp_path_factory.mktemp("laws")
            start = 0
            for number, of_file in enumerate(sizes):
                schema = pa.schema([("i", pa.int64()), ("m", pa.int32())])
                with pq.ParquetWriter(made[sizes] / f"{number}.parquet", schema) as writer:
                    for size in of_file:
                        i = np.arange(start, start + size)
                        m = pa.array((i * i // 7) % 10, pa.int32())
                        writer.write_table(pa.table({"i": i, "m": m}), row_group_size=max(1, size))
                        start += size
        return made[sizes]

    return folder


def open_job(path, plan, line, ranks, multiple, batch_size, drop_last=False):
    where = {"path": path} if plan is None else {"plan": plan}
    options = {"num_ranks": ranks, "num_shards": ranks * multiple, "batch_size": batch_size, "drop_last": drop_last}
    options |= {"columns": ["i"], "num_threads": 1}
    try:
        return [StructuredDataset(**where, rank=rank, **options, **line) for rank in range(ranks)]
    except shardline.ShardlineValueError as error:
        assume(not any(words in str(error) for words in ("no row passes", "fewer than", "no full batch")))
        raise


def run(datasets, steps):
    """So many steps of all ranks (None: to the epoch's end); the job's batches in order."""
    found = []
    iterators = [iter(dataset) for dataset in datasets]
    while steps is None or len(found) < steps * len(datasets):
        batches = [next(iterator, None) for iterator in iterators]
        assert len({batch is None for batch in batches}) == 1, "law 5"
        if batches[0] is None:
            break
        found += [batch["i"].tolist() for batch in batches]
    return found


@examples(150)
@given(groups, lines, st.integers(1, 3), st.integers(1, 2), st.integers(1, 6), st.lists(st.integers(0, 5), max_size=3))
def test_laws_1_to_5(folders, sizes, line, ranks, multiple, batch_size, stops):
    path = folders(sizes)
    whole = open_job(path, None, line, ranks, multiple, batch_size)
    plan = whole[0].plan
    wanted = run(whole, None)
    rows = [row for batch in wanted for row in batch]
    # Coverage: what passes, once; and what passes is what the filter and the sample say.
    selected = {**line, "shuffle": False}
    (unshuffled,) = open_job(path, plan, selected, 1, 1, 3)
    passed = epoch(unshuffled)
    assert sorted(rows) == passed
    if line["split"] is None:
        assert passed == pq.read_table(path, filters=line["filters"]).sort_by("i")["i"].to_pylist()
    # Purity: neither ranks nor threads nor a plan that was made before matter.
    assert run(open_job(path, None, line, 1, ranks * multiple, batch_size), None) == wanted
    # Resume, again and again, through JSON.
    found, state = [], None
    for steps in [*stops, None]:
        datasets = open_job(path, plan, line, ranks, multiple, batch_size)
        if state is not None:
            for dataset in datasets:
                dataset.load_state_dict(json.loads(json.dumps(state)))
        steps = None if steps is None else min(steps, datasets[0].remaining - 1)
        if steps != 0:
            found += run(datasets, steps)
        state = datasets[0].state_dict()
    assert found == wanted


@examples(100)
@given(
    groups, lines, st.lists(st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(0, 4)), min_size=2, max_size=3)
)
def test_law_4_ranks_and_batches_may_change(folders, sizes, line, history):
    path, plan, state, found = folders(sizes), None, None, []
    for number, (ranks, batch_size, steps) in enumerate(history):
        datasets = open_job(path, plan, line, ranks, 1, batch_size)
        plan = datasets[0].plan
        if state is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", RuntimeWarning)  # fewer rows than ranks
                for dataset in datasets:
                    dataset.load_state_dict(state)
        last = number == len(history) - 1
        if last or steps:
            found += run(datasets, None if last else steps)
        state = datasets[0].state_dict()
        if datasets[0].remaining == 0 or datasets[0].epoch > 0:
            break
    line_rows = epoch(open_job(path, plan, line, 1, 1, 1)[0])
    left = [line_rows[p] for start, stop in datasets[0].left_out() for p in range(start, stop)]
    assert sorted([row for batch in found for row in batch] + left) == sorted(line_rows)


@examples(60)
@given(groups, lines, st.integers(1, 4), st.integers(1, 7), st.integers(0, 2))
def test_the_order_is_as_specified(folders, sizes, line, shards, batch, at):
    path = folders(sizes)
    (dataset,) = open_job(path, None, line, 1, shards, batch)
    files, listed, counts = [], [], {}
    for name, _, _ in dataset.plan.files():
        meta = pq.read_metadata(path / name)
        files.append([(g.num_rows, g.total_byte_size) for g in map(meta.row_group, range(meta.num_row_groups))])
        listed += [(name, group) for group in range(meta.num_row_groups)]
    starts = dict(zip(listed, itertools.accumulate([rows for of in files for rows, _ in of], initial=0), strict=False))
    (unshuffled,) = open_job(path, dataset.plan, {**line, "shuffle": False}, 1, 1, 1)
    numbers = {place: [] for place in listed}
    for step in range(len(unshuffled)):
        ((name, group, row, _),) = unshuffled.rows_at(step, resolve=True)
        numbers[name, group].append(row)
    counts = [len(numbers[place]) for place in listed]
    settings = spec.Settings(
        line["shuffle"], 42, line["shuffle_buffer_size"], line["shuffle_strands"], 2**27, line["split_rows"]
    )
    rows = [(*listed[g], r) for g, r in spec.line(files, settings, at, counts)]
    expected = [[rows[p] for p in positions] for positions in spec.batches(len(rows), shards, batch, False)]
    found = [
        [(n, g, r) for n, g, a, b in dataset.rows_at(step, epoch=at) for r in range(a, b)]
        for step in range(len(expected))
    ]
    assert found == expected
    dataset.set_epoch(at)
    assert ids(dataset) == [[starts[n, g] + numbers[n, g][r] for n, g, r in rows] for rows in expected]


# What is read, and what is counted


def wide(path, rows=20_000, group=5_000, **options):
    rng = np.random.default_rng(3)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(rng.normal(size=4 * rows), pa.float32()), 4)
    ragged = pa.array([list(range(n % 5)) for n in range(rows)], pa.list_(pa.int32()))
    maybe = pa.array(rng.integers(0, 9, rows), mask=rng.random(rows) < 0.3)
    table = pa.table({"i": np.arange(rows), "u": rng.random(rows), "l": lists, "r": ragged, "n": maybe})
    table = table.append_column("s", pa.array([f"text {n}" for n in range(rows)]))
    pq.write_table(table, path, row_group_size=group, **options)
    return table


@pytest.mark.parametrize("page", [100, 2**20])
@pytest.mark.parametrize("share", [0.5, 0.01, 0.0001, 1.0])
def test_all_selectivities_and_kinds_of_columns(tmp_path, share, page):
    table = wide(tmp_path / "a.parquet", data_page_size=page, data_page_version="2.0" if page == 100 else "1.0")
    expression = pc.field("u") < share
    wanted = table.filter(expression)
    dataset = StructuredDataset(tmp_path, batch_size=64, filters=expression, output_format="arrow", num_threads=3)
    assert pa.Table.from_batches(list(dataset)).cast(wanted.schema).equals(wanted.combine_chunks())
    shuffled = StructuredDataset(tmp_path, batch_size=64, filters=expression, output_format="arrow", shuffle=True)
    assert pa.Table.from_batches(list(shuffled)).cast(wanted.schema).sort_by("i").equals(wanted.combine_chunks())


def test_a_filter_that_leaves_nothing_is_an_error(tmp_path):
    wide(tmp_path / "a.parquet", 100, 50)
    for filters in ([("u", ">", 5)], [("i", "=", None)], pc.field("u").is_null(), pc.scalar(False)):
        with pytest.raises(shardline.ShardlineValueError, match="no row passes filters=.*none of the 100 in 1 files"):
            StructuredDataset(tmp_path, filters=filters, columns=["i"])


def test_nulls_in_rows_that_do_not_pass_are_no_obstacle(tmp_path):
    table = wide(tmp_path / "a.parquet", 1000, 300)
    options = {"batch_size": 50, "columns": ["i", "n"]}
    with pytest.raises(shardline.ShardlineValueError, match='"n" has nulls'):
        StructuredDataset(tmp_path, **options)
    dataset = StructuredDataset(tmp_path, filters=pc.field("n").is_valid(), **options)
    assert torch.cat([b["n"] for b in dataset]).tolist() == table["n"].drop_null().to_pylist()
    with pytest.raises(shardline.ShardlineValueError, match='"n" has nulls'):
        list(StructuredDataset(tmp_path, filters=[("i", "<", 900)], **options))


def test_an_error_names_the_row_of_the_file(tmp_path):
    wide(tmp_path / "a.parquet", 100, 30)
    options = {"column_options": {"r": shardline.ColumnOptions(lists="fixed")}, "columns": ["r"]}
    with pytest.raises(shardline.ShardlineValueError, match="3 values at row 93"):
        list(
            StructuredDataset(
                tmp_path, filters=pc.field("i").isin([90, 92, 93]) & (pc.field("i") != 92), batch_size=9, **options
            )
        )


def broken(path, *columns):
    """Writes over the pages of these columns, so that nobody can read them."""
    meta, data = pq.read_metadata(path), bytearray(path.read_bytes())
    for group in range(meta.num_row_groups):
        for place in range(meta.num_columns):
            column = meta.row_group(group).column(place)
            if column.path_in_schema.split(".")[0] in columns:
                start = column.dictionary_page_offset or column.data_page_offset
                data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(data)


def test_only_the_filters_columns_are_read_to_count_and_none_where_statistics_tell(tmp_path):
    wide(tmp_path / "a.parquet", 20_000, 5_000)
    broken(tmp_path / "a.parquet", "l", "r", "n", "s")
    dataset = StructuredDataset(tmp_path, filters=[("u", "<", 0.5)], batch_size=100, columns=["i"])
    assert 9_000 < dataset.num_rows < 11_000
    broken(tmp_path / "a.parquet", "i")  # of i, row groups pass as a whole or not at all
    for filters, rows in (
        ([("i", ">=", 5000)], 15_000),
        ([("i", "<", 10_000)], 10_000),
        (pc.field("i").is_valid(), 20_000),
    ):
        assert StructuredDataset(tmp_path, filters=filters, batch_size=100, columns=["u"]).num_rows == rows
        assert sum(len(b["u"]) for b in StructuredDataset(tmp_path, filters=filters, columns=["u"])) == rows
    with pytest.raises(shardline.ShardlineValueError, match="a.parquet.*column"):
        StructuredDataset(tmp_path, filters=[("i", ">", 5001)], columns=["u"])


def test_a_plan_keeps_the_counts(tmp_path, monkeypatch):
    wide(tmp_path / "a.parquet")
    options = {"batch_size": 100, "columns": ["i"], "filters": [("u", "<", 0.25)]}
    dataset = StructuredDataset(tmp_path / "a.parquet", **options)
    whole = ids(dataset)
    dataset.plan.save(tmp_path / "plan")
    monkeypatch.setattr("shardline.selection.Rows.count", lambda self, plan, count: plan)  # nobody counts again
    plan = Plan.load(tmp_path / "plan")
    assert plan == dataset.plan
    assert ids(StructuredDataset(plan=plan, **options)) == whole
    assert ids(pickle.loads(pickle.dumps(StructuredDataset(plan=plan, **options)))) == whole
    with pytest.raises(shardline.ShardlineValueError, match=r"plan was made for other rows \(filter \('u' < 0.25\)\)"):
        StructuredDataset(plan=plan, batch_size=100)


def test_a_row_group_that_passes_another_number_raises(tmp_path):
    path = tmp_path / "a.parquet"
    options = {"compression": "none", "use_dictionary": False, "write_statistics": False, "row_group_size": 500}
    pq.write_table(pa.table({"i": np.arange(1000), "k": np.zeros(1000)}), path, **options)
    dataset = StructuredDataset(tmp_path, batch_size=100, filters=[("k", "<", 1)])
    assert dataset.num_rows == 1000
    data = path.read_bytes()
    pq.write_table(pa.table({"i": np.arange(1000), "k": np.arange(1000) / 999}), path, **options)
    changed = path.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    assert changed[-footer:] == data[-footer:]
    with pytest.raises(shardline.FileChangedError, match="row group 1: 499 rows pass the filter now, and 500 did"):
        ids(dataset)
    state = dataset.state_at(2)
    with pytest.raises(shardline.CheckpointMismatchError, match="rows that pass: saved"):
        StructuredDataset(tmp_path, batch_size=100, filters=[("k", "<", 1)]).load_state_dict(state)


def test_the_state_names_another_filter(tmp_path):
    wide(tmp_path / "a.parquet", 1000, 300)
    dataset = StructuredDataset(tmp_path, batch_size=10, columns=["i"], filters=[("u", "<", 0.5)])
    state = json.loads(json.dumps(dataset.state_at(3)))
    assert "rows that pass the filter ('u' < 0.5)" in shardline.describe(state)
    torch.save(state, tmp_path / "state.pt")
    again = StructuredDataset(tmp_path / "a.parquet", batch_size=10, columns=["i"], filters=pc.field("u") < 0.5)
    again.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))  # the same, said in another form
    assert ids(again) == ids(dataset)[3:]
    for filters in (None, [("u", "<", 0.6)]):
        other = StructuredDataset(tmp_path, batch_size=10, columns=["i"], filters=filters)
        with pytest.raises(shardline.CheckpointMismatchError, match=r"filters: saved \('u' < 0.5\)"):
            other.load_state_dict(state)
        assert len(ids(other)) == len(other), "nothing was changed"
    with pytest.raises(shardline.CheckpointMismatchError, match="filter.counts is missing"):
        again.load_state_dict({**state, "filter": {"rows": "x", "folders": {}}})


def test_filters_apply_after_the_sample(hundred):
    sampled = epoch(StructuredDataset(hundred, batch_size=5, sample=0.4))
    both = StructuredDataset(hundred, batch_size=5, sample=0.4, filters=[("i", "<", 50)])
    assert epoch(both) == [row for row in sampled if row < 50]


def count(batch):
    return len(batch["i"])


def test_workers_and_plain_loaders_take_filters(tmp_path):
    table = wide(tmp_path / "a.parquet", 1000, 300)
    wanted = table.filter(pc.field("u") < 0.5)["i"].to_pylist()
    loader = DataLoader(tmp_path, 16, filters=pc.field("u") < 0.5, columns=["i"], num_workers=2, collate_fn=count)
    assert len(loader) == -(-len(wanted) // 16)
    assert list(loader) == [len(wanted[at : at + 16]) for at in range(0, len(wanted), 16)]
    plain = torch.utils.data.DataLoader(
        StructuredDataset(tmp_path, batch_size=16, filters=pc.field("u") < 0.5, columns=["i"]),
        batch_size=None,
        num_workers=2,
    )
    assert sorted(epoch(plain)) == wanted


def test_counting_shows_a_bar_and_answers_signals(tmp_path, capfd, caplog):
    wide(tmp_path / "a.parquet", 1000, 100)
    DataLoader(tmp_path, 16, filters=[("u", "<", 0.5)], columns=["i"], show_progress=True)
    assert "counting rows that pass: 100%" in capfd.readouterr().err
    with caplog.at_level(logging.INFO, "shardline"):
        DataLoader(tmp_path, 16, filters=[("u", "<", 0.5)], columns=["i"])
    assert capfd.readouterr().err == ""


def _counted(rank, path):
    from shardline import counting

    counted, count = [], counting._count

    def spy(plan, selector, groups, *more):
        counted.extend(groups)
        return count(plan, selector, groups, *more)

    counting._count = spy
    dataset = StructuredDataset(path, batch_size=7, filters=[("i", "<", 70)], shuffle=True)
    return counted, ids(dataset), dataset.state_dict()["filter"]


def test_ranks_divide_the_counting(tmp_path):
    path = write_rows(tmp_path, [[10] * 6, [10, 5, 25]])
    found = job(3, _counted, path)
    assert [groups for groups, _, _ in found] == [[0, 1, 2], [3, 4, 5], [6, 7, 8]]
    assert len({json.dumps(entry) for *_, entry in found}) == 1
    assert sorted(row for _, batches, _ in found for batch in batches for row in batch) == list(range(70))


def _otherwise(rank, path):
    try:
        StructuredDataset(path, batch_size=7, filters=[("i", "<", 70 + rank)], plan_timeout=1.5)
    except shardline.RankTimeoutError as error:
        return str(error)
    return ""


def test_another_filter_makes_another_loader(tmp_path):
    path = write_rows(tmp_path, [[10] * 10])
    messages = job(2, _otherwise, path)
    assert "did not count its part" in messages[0]
    assert "with another path or other options" in messages[1]


def _uncountable(rank, path):
    try:
        StructuredDataset(path, batch_size=7, filters=[("u", "<", 0.5)], columns=["i"])
    except shardline.ShardlineValueError as error:
        return str(error)
    return ""


def test_what_one_rank_cannot_count_is_every_ranks_error(tmp_path):
    for name in "abc":
        wide(tmp_path / f"{name}.parquet", 100, 50)
    broken(tmp_path / "b.parquet", "u")
    for message in job(3, _uncountable, tmp_path):
        assert "b.parquet" in message


@pytest.mark.parametrize(
    ("filters", "kind", "words"),
    [
        ([("nope", "=", 1)], KeyError, "filters= names column 'nope', which is none of 'i', 'u'"),
        ([("i", "=", "x")], TypeError, "'i', which is int64, with 'x' \\(string\\)"),
        ([("s", ">", 3)], TypeError, "'s', which is"),
        ([("l", ">", 3)], TypeError, "'l', which is fixed_size_list"),
        ([("i", "=", True)], TypeError, "'i', which is int64, with True"),
        ([("i", "like", 3)], ValueError, "not understood"),
        ([("i", "=")], ValueError, "not understood"),
        ("i < 3", ValueError, "not understood"),
        (7, ValueError, "not understood"),
        (pc.field("i"), TypeError, "'i', which is int64, with True"),
        (pc.field("s").is_nan(), TypeError, "'s' .* NaN; only floats"),
        (pc.field("i") == pc.field("u"), TypeError, "only columns of one type"),
        (pc.field("i") + 1 > 3, TypeError, "not understood"),
        (pc.starts_with(pc.field("s"), "x"), TypeError, "filters= uses 'starts_with'"),
        (pc.field("r", "x") > 1, TypeError, "inside a column"),
    ],
    ids=str,
)
def test_wrong_filters(tmp_path, filters, kind, words):
    wide(tmp_path / "a.parquet", 50, 50)
    with pytest.raises(kind, match=words) as caught:
        StructuredDataset(tmp_path, filters=filters)
    assert isinstance(caught.value, shardline.ShardlineError)
