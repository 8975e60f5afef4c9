"""Filters: exactly the rows that pyarrow's dataset leaves."""

import datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples
from support.filtered import epoch, wide

import shardline
from shardline import StructuredDataset

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


@pytest.mark.parametrize(
    ("filters", "kind", "words"),
    [
        ([("nope", "=", 1)], KeyError, 'filters=: there is no column "nope".*"i", "u"'),
        ([("i", "=", "x")], TypeError, "'i', which is int64, with 'x' \\(string\\)"),
        ([("s", ">", 3)], TypeError, "'s', which is"),
        ([("l", ">", 3)], TypeError, "'l', which is fixed_size_list"),
        ([("i", "=", True)], TypeError, "'i', which is int64, with True"),
        ([("i", "like", 3)], ValueError, "operator is not known"),
        ([("i", "=")], ValueError, "is no condition"),
        ("i < 3", TypeError, "not understood"),
        (7, TypeError, "not understood"),
        ({"i": 3}, TypeError, "not understood"),
        (pc.field("i"), TypeError, "'i', which is int64, with True"),
        (pc.field("s").is_nan(), TypeError, "'s' .* NaN; only floats"),
        (pc.field("i") == pc.field("s"), TypeError, "filters=.*no kernel matching input types"),
        (pc.field("s") + 1 > 3, TypeError, "filters=.*no kernel matching input types"),
        (pc.field("i") + 1, TypeError, "filters=add_checked\\(i, 1\\): it is int64, neither true nor false"),
        (pc.field("nope") + 1 > 3, KeyError, 'filters=: there is no column "nope"'),
        (pc.field("r", "x") > 1, TypeError, "filters=.*r"),
        (pc.field(0) > 1, TypeError, "name columns by their names"),
    ],
    ids=str,
)
def test_wrong_filters(tmp_path, filters, kind, words):
    wide(tmp_path / "a.parquet", 50, 50)
    with pytest.raises(kind, match=words) as caught:
        StructuredDataset(tmp_path, filters=filters)
    assert isinstance(caught.value, shardline.ShardlineError)


def test_a_column_that_is_not_there_is_told_from_those_that_are(tmp_path):
    user = pa.array([{"age": 1, "home": {"zip": 2}, "pets": [{"x": 1}]}])
    pq.write_table(pa.table({"user": user, **{f"column_{n}": [n] for n in range(2000)}}), tmp_path / "a.parquet")
    for name, words in {
        "colum_1500": 'did you mean "column_1500"',
        "nothing": r'the files have "user", .*, …',
        "user.age": r"field of a struct.*pc\.field\('user', 'age'\)",
        "user.home.zip": r"pc\.field\('user', 'home', 'zip'\)",
        "user.years": '"user" is Struct',
        "user.pets.x": "'user.pets.x', which lies in a list",
    }.items():
        with pytest.raises(shardline.ColumnNotFoundError, match=f"filters=.*{words}"):
            StructuredDataset(tmp_path, filters=[(name, "=", 1)])


def test_decimals_over_128_bits_are_compared_by_pyarrow(tmp_path):
    values = [Decimal(1), Decimal("3.25"), None]
    wide = pa.array(values, pa.decimal256(60, 5))
    table = pa.table({"i": [0, 1, 2], "d": wide, "e": wide, "n": pa.array(values, pa.decimal128(9, 2))})
    pq.write_table(table, tmp_path / "a.parquet")
    for expression in (
        pc.field("d") < Decimal(2),
        pc.field("d") != Decimal("3.25"),
        ~(pc.field("d") > 2.5) | pc.field("n").is_null(),
        pc.field("d").isin([Decimal("3.25"), None]),
        pc.field("d") >= pc.field("e"),
    ):
        wanted = pyarrows(table, expression)
        assert wanted is not None
        assert passing(tmp_path, expression) == wanted, expression


def test_decimals_of_128_bits_up_to_their_last(tmp_path):
    most = Decimal("9" * 38)
    least = most.copy_negate()  # `-` would round
    table = pa.table({"i": [0, 1, 2], "d": pa.array([most, least, Decimal(7)], pa.decimal128(38, 0)), "n": [1, 2, 3]})
    pq.write_table(table, tmp_path / "a.parquet")
    over = Decimal("9" * 45)
    for expression in (
        pc.field("d") < most,
        pc.field("d") == most,
        pc.field("d") >= least,
        pc.field("d").isin([most, Decimal(7)]),
        pc.field("d") < over,
        pc.field("d") > over.copy_negate(),
        pc.field("n") < over,
        pc.field("n").isin([over, Decimal(2)]),
    ):
        wanted = pyarrows(table, expression)
        assert wanted is not None
        assert passing(tmp_path, expression) == wanted, expression
    assert passing(tmp_path, pc.field("d").isin([over, Decimal(7)])) == [2]  # pyarrow cannot


def test_both_zeros_are_in_a_list_that_has_one(tmp_path):
    pq.write_table(pa.table({"i": [0, 1, 2], "x": [0.0, -0.0, 1.0]}), tmp_path / "a.parquet")
    for filters in (("x", "in", [0.0]), ("x", "in", [-0.0]), ("x", "=", 0.0)):
        assert passing(tmp_path, filters) == [0, 1]
    by_pyarrow = pc.field("x").isin([0.0]) & (pc.field("i") + 1 > 0)
    assert passing(tmp_path, by_pyarrow) == [0]
