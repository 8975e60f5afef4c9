"""What is asked of columns: padding, ids, matrices, and what cannot be asked."""

import itertools
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from support import columns as t
from support import examples
from support.functions import identity

import shardline
from shardline import ColumnOptions, DataLoader, StructuredDataset


def write(folder, **columns):
    pq.write_table(pa.table(columns), folder / "a.parquet", row_group_size=16)
    return folder


def rows(batches, name):
    return list(itertools.chain.from_iterable(t.plain(batch[name]) for batch in batches))


LISTS = st.lists(st.one_of(st.none(), st.lists(st.integers(-9, 9), max_size=6)), min_size=1, max_size=50)


@examples(60)
@given(
    lists=LISTS,
    length=st.one_of(st.none(), st.integers(1, 7)),
    side=st.sampled_from(["left", "right"]),
    cut=st.sampled_from(["left", "right"]),
    batch=st.integers(1, 20),
    shuffle=st.booleans(),
    large=st.booleans(),
    output=st.sampled_from(["torch", "numpy"]),
)
def test_lists_are_padded(tmp_path_factory, lists, length, side, cut, batch, shuffle, large, output):
    folder = tmp_path_factory.mktemp("padded")
    kind = (pa.large_list if large else pa.list_)(pa.int16())
    write(folder, t=pa.array(lists, kind), i=pa.array(range(len(lists))))
    options = ColumnOptions(
        lists="padded",
        length=length,
        pad_value=-7,
        pad_side=side,
        truncate=cut if length else None,
        nulls="mask",
        dtype="int32",
    )
    loader = DataLoader(folder, batch_size=batch, shuffle=shuffle, output_format=output, column_options={"t": options})
    for found in loader:
        wanted = [lists[i] or [] for i in t.plain(found["i"])]
        longest = length or max(map(len, wanted))
        kept = [row[-longest:] if cut == "left" and len(row) > longest else row[:longest] for row in wanted]
        fill = [[-7] * (longest - len(row)) for row in kept]
        pairs = zip(kept, fill, strict=True)
        assert t.plain(found["t"]) == [f + row if side == "left" else row + f for row, f in pairs]
        assert tuple(found["t"].shape) == (len(kept), longest)
        assert t.plain(found["t__length"]) == [len(row) for row in kept]
        assert t.plain(found["t__mask"]) == [lists[i] is None for i in t.plain(found["i"])]
        assert tuple(found["t__item__mask"].shape) == (len(kept), longest)
        assert str(found["t"].dtype).endswith("int32")


def test_a_list_over_the_length_is_named(tmp_path):
    write(tmp_path, t=pa.array([[1]] * 20 + [[1, 2, 3]], pa.list_(pa.int8())))
    with pytest.raises(shardline.ShardlineValueError, match=r'a\.parquet.*"t".*3 values.*length=2.*row 20.*truncate'):
        list(DataLoader(tmp_path, column_options={"t": ColumnOptions(lists="padded", length=2)}))


def test_padded_rows_are_a_batchs_own(tmp_path):
    write(tmp_path, t=pa.array([[n] * (n % 5) for n in range(64)], pa.list_(pa.int64())))
    options = {"t": ColumnOptions(lists="padded", lengths=False)}
    wanted = [batch["t"].clone() for batch in DataLoader(tmp_path, batch_size=7, column_options=options)]
    batches = list(DataLoader(tmp_path, batch_size=7, column_options=options))
    assert list(batches[0]) == ["t"]
    for batch in batches[::2]:
        batch["t"].fill_(-1)
    assert all(torch.equal(b["t"], w) for b, w in list(zip(batches, wanted, strict=True))[1::2])


WORDS = st.lists(
    st.one_of(st.none(), st.sampled_from(["a", "b", "ü", "", "long" * 9, "x1", "x2"])), min_size=1, max_size=60
)


@examples(40)
@given(words=WORDS, dictionary=st.booleans(), seed=st.integers(0, 2**64 - 1), buckets=st.integers(1, 2**40))
def test_hashes_are_the_published_ones(tmp_path_factory, words, dictionary, seed, buckets):
    folder = tmp_path_factory.mktemp("hash")
    column = pa.array(words, pa.string())
    numbers = pa.array([None if word is None else len(word) - 2 for word in words], pa.int32())
    nested = pa.array([[word, "z"] for word in words], pa.list_(pa.string()))
    write(folder, s=column.dictionary_encode() if dictionary else column, n=numbers, l=nested)
    options = ColumnOptions(encode="hash", buckets=buckets, seed=seed)
    batches = list(DataLoader(folder, batch_size=7, column_options={"s": options, "n": options, "l": options}))

    def of(data):
        return buckets if data is None else xxhash.xxh3_64_intdigest(data, seed) % buckets

    assert rows(batches, "s") == [of(None if word is None else word.encode()) for word in words]
    data = [None if n is None else n.to_bytes(8, "little", signed=True) for n in numbers.to_pylist()]
    assert rows(batches, "n") == list(map(of, data))
    assert rows(batches, "l") == [[of(None if word is None else word.encode()), of(b"z")] for word in words]


@examples(40)
@given(words=WORDS, shuffle=st.booleans(), dictionary=st.booleans(), files=st.integers(1, 4))
def test_codes_are_the_same_in_every_batch_of_the_data_set(tmp_path_factory, words, shuffle, dictionary, files):
    folder = tmp_path_factory.mktemp("codes")
    kind = pa.dictionary(pa.int16(), pa.string()) if dictionary else pa.string()
    for number in range(files):
        part = pa.array(words[number::files], pa.string())
        part = part.dictionary_encode().cast(kind) if dictionary else part
        pq.write_table(pa.table({"c": part}), folder / f"{number}.parquet", row_group_size=5)
    dataset = StructuredDataset(folder, output_format="arrow")
    vocabulary = dataset.vocabulary("c")
    assert sorted(vocabulary) == sorted({word for word in words if word is not None})
    assert dataset.vocabulary("c") == vocabulary == list(dict.fromkeys(vocabulary))
    for given_words in (None, [*vocabulary, "never seen"]):
        options = {"c": ColumnOptions(encode="codes", vocabulary=given_words)}
        loader = DataLoader(folder, batch_size=3, shuffle=shuffle, column_options=options)
        found = rows(loader, "c")
        known = loader.dataset.schema["c"].vocabulary
        assert known == (given_words or vocabulary)
        decoded = [[*known, None][code] for code in found]
        assert sorted(decoded, key=str) == sorted(words, key=str)
        assert loader.dataset.schema["c"].num_ids == len(known) + 1


def test_a_dictionary_column_is_codes_and_its_vocabulary_stands_in_the_schema(tmp_path):
    for number, words in enumerate((["b", "a", "b"], ["c", "a", "c"])):
        table = pa.table(
            {
                "c": pa.array(words).dictionary_encode(),
                "s": pa.array([{"k": w} for w in words]).cast(pa.struct([("k", pa.string())])),
            }
        )
        pq.write_table(table, tmp_path / f"{number}.parquet")
    loader = DataLoader(tmp_path, columns=["c"], batch_size=4)
    assert rows(loader, "c") == [0, 1, 0, 2, 1, 2]
    column = loader.dataset.schema["c"]
    assert (column.dtype, column.vocabulary, column.encode) == (torch.int64, ["b", "a", "c"], "codes")
    again = pickle.loads(pickle.dumps(loader.dataset))
    assert rows(again, "c") == [0, 1, 0, 2, 1, 2]
    nested = DataLoader(tmp_path, columns=["s"], column_options={"s.k": ColumnOptions(encode="codes", dtype="int8")})
    assert [row["k"] for row in rows(nested, "s")] == [0, 1, 0, 2, 1, 2]
    assert nested.dataset.schema["s"].fields[0].vocabulary == ["b", "a", "c"]
    assert nested.dataset.vocabulary("s.k") == ["b", "a", "c"]


def test_values_that_the_vocabulary_does_not_have(tmp_path):
    write(tmp_path, c=pa.array(["a", "b", None, "zebra"]))
    options = ColumnOptions(encode="codes", vocabulary=["<unk>", "a", "b"], unknown=0)
    assert rows(DataLoader(tmp_path, column_options={"c": options}), "c") == [1, 2, 3, 0]
    options = ColumnOptions(encode="codes", vocabulary=["a", "b"], nulls="mask")
    with pytest.raises(shardline.ShardlineValueError, match=r'a\.parquet.*"c".*"zebra".*row 3.*unknown='):
        list(DataLoader(tmp_path, column_options={"c": options}))
    options = ColumnOptions(encode="codes", vocabulary=["a"], dtype="int8", unknown=300)
    with pytest.raises(shardline.ShardlineValueError, match=r'"c".*int8.*row'):
        list(DataLoader(tmp_path, column_options={"c": options}))
    with pytest.raises(ValueError, match='column "c": dtype=int8 does not hold ids up to 200'):
        words = [str(number) for number in range(200)]
        DataLoader(tmp_path, column_options={"c": ColumnOptions(encode="codes", vocabulary=words, dtype="int8")})


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("output", ["torch", "numpy", "arrow"])
def test_groups_are_matrices(tmp_path, shuffle, output):
    rng = np.random.default_rng(0)
    names = [f"f{n}" for n in range(7)]
    table = {name: rng.standard_normal(100).astype("f4") for name in names}
    write(tmp_path, label=np.arange(100), other=np.arange(100), **table)
    matrices = {"x": names, "one": ["other"], "y": "label"}
    loader = DataLoader(
        tmp_path, batch_size=9, shuffle=shuffle, shuffle_buffer_size=40, output_format=output, matrices=matrices
    )
    batches = list(loader)
    if output == "arrow":
        assert batches[0].schema.names == ["x", "one", "y"]
        found = np.concatenate([np.stack(batch["x"].to_numpy(zero_copy_only=False)) for batch in batches])
    else:
        assert list(batches[0]) == ["x", "one", "y"]
        assert tuple(batches[0]["x"].shape) == (9, 7)
        assert tuple(batches[0]["one"].shape) == (9, 1)
        found = np.concatenate([np.asarray(batch["x"]) for batch in batches])
        assert loader.dataset.schema["x"].shape == (7,)
        assert loader.dataset.schema["x"].dtype == torch.float32
    order = rows(batches, "y")
    assert np.array_equal(found, np.stack([table[name] for name in names], axis=1)[order])


def test_groups_take_options_of_their_own_and_beside_columns(tmp_path):
    write(
        tmp_path,
        a=pa.array([1, None, 3], pa.int16()),
        b=pa.array([0.5, 1.5, None], pa.float64()),
        c=pa.array([True, False, True]),
        s=["u", "v", "w"],
    )
    options = {
        "x": ColumnOptions(dtype="float32", nulls="mask"),
        "b": ColumnOptions(dtype="float32", nulls="fill", fill=9),
    }
    (batch,) = DataLoader(tmp_path, columns=["s"], matrices={"x": ["a", "c"], "z": "b"}, column_options=options)
    assert list(batch) == ["s", "x", "x__mask", "z"]
    assert batch["x"].tolist() == [[1, 1], [0, 0], [3, 1]]
    assert batch["x__mask"].tolist() == [[False, False], [True, False], [False, False]]
    assert batch["z"].tolist() == [0.5, 1.5, 9]
    options = {"x": ColumnOptions(dtype="float64", nulls="nan")}
    (batch,) = DataLoader(tmp_path, matrices={"x": ["a", "b"]}, column_options=options)
    assert np.array_equal(batch["x"], [[1, 0.5], [np.nan, 1.5], [3, np.nan]], equal_nan=True)
    for matrices, words in (
        ({"x": ["a", "b"]}, "int16.*float64.*dtype"),
        ({"x": ["a", "s"]}, '"s" is Utf8.*matrix'),
        ({"x": ["a", "a"]}, "twice"),
        ({"x": ["nope"]}, "nope"),
        ({"x": []}, "no columns"),
        ({"x": 3}, "matrices must map"),
        (["a"], "matrices must map"),
    ):
        defaults = ColumnOptions(nulls="fill")
        with pytest.raises(shardline.ShardlineError, match=words):
            DataLoader(tmp_path, matrices=matrices, column_defaults=defaults)
    with pytest.raises(ValueError, match="'a' is asked for twice|\"a\" is asked for twice"):
        DataLoader(tmp_path, columns=["a"], matrices={"x": ["a"]}, column_defaults=ColumnOptions(nulls="fill"))
    with pytest.raises(ValueError, match='delivered as "s"'):
        DataLoader(tmp_path, columns=["s"], matrices={"s": ["c"]})


@pytest.mark.parametrize("method", ["fork", "forkserver"])
def test_workers_carry_every_kind_of_value(tmp_path, method):
    rng = np.random.default_rng(2)
    kinds = [
        pa.int32(),
        pa.string(),
        pa.binary(),
        t.NESTED[0],
        t.NESTED[8],
        t.NESTED[12],
        pa.decimal128(9, 2),
        t.OTHERS[2],
    ]
    write(tmp_path, **{f"c{n}": t.random_array(rng, kind, 60, 0.2) for n, kind in enumerate(kinds)})
    options = {
        "column_defaults": ColumnOptions(nulls="mask"),
        "column_options": {"c3": ColumnOptions(lists="padded"), "c2": ColumnOptions(strings="bytes")},
        "batch_size": 7,
        "shuffle": True,
    }
    plain = [{key: t.plain(value) for key, value in batch.items()} for batch in DataLoader(tmp_path, **options)]
    loader = DataLoader(tmp_path, transform=identity, num_workers=2, multiprocessing_context=method, **options)
    iterator = iter(loader)
    first = [next(iterator) for _ in range(3)]
    state = loader.state_dict()
    del iterator
    again = DataLoader(tmp_path, transform=identity, num_workers=1, multiprocessing_context=method, **options)
    again.load_state_dict(state)
    found = [{key: t.plain(value) for key, value in batch.items()} for batch in [*first, *again]]
    assert all(map(t.same, found, plain))
    assert len(found) == len(plain)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"nulls": "ignore"}, "nulls must be one of 'error', 'fill'"),
        ({"nulls": "nan", "fill": 0}, "fill= is for nulls"),
        ({"fill": [1]}, "fill must be a number"),
        ({"fill": 2**200, "nulls": "fill"}, "fits no column"),
        ({"dtype": "complex64"}, "dtype must be a torch or numpy dtype"),
        ({"dtype": int}, "dtype must be a torch or numpy dtype"),
        ({"lossy": 1}, "lossy must be True or False"),
        ({"lists": "padded", "length": 0}, "length must be between 1"),
        ({"length": 3}, 'length= is for lists="padded"'),
        ({"lists": "padded", "truncate": "left"}, "truncate= needs length="),
        ({"lists": "padded", "pad_side": "top"}, "pad_side must be"),
        ({"encode": "hash"}, "needs buckets="),
        ({"encode": "hash", "buckets": 0}, "buckets must be between 1"),
        ({"buckets": 3}, 'buckets= is for encode="hash"'),
        ({"encode": "codes", "vocabulary": "abc"}, "vocabulary must be a list"),
        ({"encode": "codes", "vocabulary": ["a", 1]}, "of one of str, bytes or int, not of int and str"),
        ({"encode": "codes", "vocabulary": [2**70]}, "more than 64 bits"),
        ({"vocabulary": ["a"]}, 'vocabulary= is for encode="codes"'),
        ({"mask_suffix": ""}, "mask_suffix must be text"),
        ({"strings": "utf8"}, "strings must be one of"),
        ({"decimal": "int"}, "decimal must be one of"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, dict) else "",
)
def test_wrong_options_are_refused_when_they_are_made(options, words):
    with pytest.raises(shardline.ShardlineError, match=words):
        ColumnOptions(**options)


TABLE = {
    "n": pa.array([1, 2], pa.int8()),
    "s": pa.array(["a", "b"]),
    "b": pa.array([True, False]),
    "l": pa.array([[1], [2, 3]], pa.list_(pa.int32())),
    "ls": pa.array([["a"], []], pa.list_(pa.string())),
    "d": pa.array([1, 2], pa.float64()),
    "r": pa.array([b"abc", b"def"], pa.binary(3)),
    "n__mask": pa.array([1, 2], pa.int8()),
}


@pytest.mark.parametrize(
    ("column", "options", "words"),
    [
        ("n", {"nulls": "fill", "fill": 200}, 'fill=200 does not fit column "n".*int8'),
        ("n", {"nulls": "fill", "fill": "x"}, 'fill="x" does not fit column "n"'),
        ("n", {"nulls": "fill", "fill": 0.5}, "fill=0.5 does not fit"),
        ("s", {"nulls": "fill", "fill": 0}, 'fill does not fit column "s".*a str'),
        ("b", {"nulls": "fill", "fill": 2}, "does not fit"),
        ("s", {"fill": "x"}, "fill='x' is for nulls"),
        ("s", {"nulls": "nan"}, '"s".*nan.*numbers'),
        ("b", {"nulls": "nan", "dtype": "int8"}, '"b".*nan.*numbers'),
        ("n", {"nulls": "nan", "dtype": "int32"}, "nan.*needs a float.*int32"),
        ("n", {"nulls": "keep"}, '"n".*keep.*strings'),
        ("ls", {"nulls": "fill", "fill": "a"}, '"ls".*leave fill= out'),
        ("s", {"dtype": "int32"}, '"s" is Utf8.*dtype='),
        ("s", {"decimal": "unscaled"}, '"s" is Utf8.*decimals'),
        ("n", {"strings": "bytes"}, '"n" is Int8.*strings='),
        ("d", {"encode": "hash", "buckets": 9}, '"d" is Float64.*encode='),
        ("n", {"lists": "fixed"}, '"n" is Int8.*lists="fixed"'),
        ("ls", {"lists": "padded"}, '"ls".*lists="padded" is for lists of numbers'),
        ("l", {"lists": "padded", "pad_value": 2**40}, '"l": pad_value does not fit int32'),
        ("r", {"dtype": "int16"}, '"r".*3 bytes.*int16'),
        ("n", {"nulls": "mask"}, 'delivered as "n__mask".*mask_suffix'),
        ("n", {"encode": "codes", "vocabulary": [1, 1]}, '"n".*1 twice'),
        ("s", {"encode": "codes", "vocabulary": []}, '"s".*"a".*vocabulary'),
    ],
    ids=str,
)
def test_options_that_do_not_fit_the_column_are_refused(tmp_path, column, options, words):
    write(tmp_path, **TABLE)
    with pytest.raises(shardline.ShardlineError, match=words):
        list(DataLoader(tmp_path, column_options={column: ColumnOptions(**options)}))


def test_defaults_pass_over_what_does_not_concern_them(tmp_path):
    write(tmp_path, **TABLE)
    defaults = ColumnOptions(dtype="float64", lists="padded", nulls="nan", encode="hash", buckets=10, strings="bytes")
    (batch,) = DataLoader(tmp_path, columns=["n", "l", "s", "ls", "b"], column_defaults=defaults)
    assert (batch["n"].dtype, batch["l"].dtype, batch["l"].shape) == (torch.float64, torch.float64, (2, 2))
    assert batch["s"].dtype == torch.float64


def test_a_mask_has_the_suffix_that_was_asked_for(tmp_path):
    write(tmp_path, **TABLE)
    options = {"n": ColumnOptions(nulls="mask", mask_suffix="_is_null")}
    (batch,) = DataLoader(tmp_path, columns=["n", "n__mask"], column_options=options)
    assert list(batch) == ["n", "n_is_null", "n__mask"]
