"""Pages and values that cannot be read: damage, nulls, errors among what was read ahead."""

import os
import subprocess
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import examples, ids

import shardline
from shardline import DataLoader, ShardlineError

SMALL = {"batch_size": 10, "prefetch_bytes": 1, "num_threads": 1}


def page_bytes(path, column):
    """Where the column's data pages lie."""
    spans = []
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            meta = file.metadata.row_group(group).column(column)
            start = meta.dictionary_page_offset or meta.data_page_offset
            spans.append((start, start + meta.total_compressed_size))
    return spans


def rows_of(column):
    if isinstance(column, pa.Array):
        return column.to_pylist()
    return [row.tolist() for row in column.unbind()] if column.is_nested else column.tolist()


@pytest.mark.parametrize("kind", ["dense", "dictionary", "list", "nullable strings"])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_a_flipped_byte_under_page_checksums_is_an_error_that_names_the_file(tmp_path, kind, compression):
    rng = np.random.default_rng(5)
    column = {
        "dense": lambda: pa.array(rng.integers(0, 2**60, 4000)),
        "dictionary": lambda: pa.array(rng.integers(0, 50, 4000)),
        "list": lambda: pa.array([list(range(n % 5)) for n in range(4000)], pa.list_(pa.int32())),
        "nullable strings": lambda: pa.array([None if n % 3 else f"text {n}" for n in range(4000)]),
    }[kind]()
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"c": column}),
        path,
        row_group_size=1000,
        compression=compression,
        use_dictionary=kind == "dictionary",
        write_page_checksum=True,
    )
    good = path.read_bytes()
    spans = page_bytes(path, 0)
    output = "arrow" if kind == "nullable strings" else "torch"
    options = {"batch_size": 100, "output_format": output}
    whole = [rows_of(batch["c"]) for batch in DataLoader(path, **options)]
    for trial in range(12):
        start, end = spans[trial % 4]
        at = end - 1 - int(rng.integers(0, (end - start) // 2))  # in a page's data, behind its header
        path.write_bytes(good[:at] + bytes([good[at] ^ (1 << trial % 8)]) + good[at + 1 :])
        loader = DataLoader(path, **options)
        found = []
        with pytest.raises(ShardlineError, match=r"a\.parquet"):
            for batch in loader:
                found.append(rows_of(batch["c"]))
        assert found == whole[: len(found)]
        assert len(found) == 10 * (trial % 4), "row groups before the damage are delivered"
        assert loader.batch_index == len(found)


@pytest.fixture(scope="module")
def small_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("fuzz") / "a.parquet"
    table = pa.table(
        {
            "i": np.arange(60),
            "d": pa.array([n % 3 for n in range(60)], pa.int32()),
            "t": pa.array([[n] * (n % 4) for n in range(60)], pa.list_(pa.int16())),
            "b": pa.array([n % 2 == 0 for n in range(60)]),
        }
    )
    pq.write_table(table, path, row_group_size=25, use_dictionary=["d"], data_page_size=64)
    return path.read_bytes()


@examples(150)
@given(data=st.data())
def test_damaged_files_neither_crash_nor_hang(tmp_path_factory, small_file, data):
    """Any outcome but a crash, a hang, or an error that is not ours: the file has no checksums."""
    damage = data.draw(st.sampled_from(["flip", "cut", "both", "pages"]))
    body = bytearray(small_file)
    if damage == "pages":  # the footer stays whole
        length = int.from_bytes(body[-8:-4], "little") + 8
        places = st.integers(4, len(body) - length - 1)
    else:
        places = st.integers(0, len(body) - 1)
    if damage != "cut":
        for at, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), min_size=1, max_size=8)):
            body[at] = byte
    if damage in ("cut", "both"):
        start, stop = sorted(data.draw(st.tuples(places, places)))
        del body[start:stop]
    path = tmp_path_factory.mktemp("damaged") / "a.parquet"
    path.write_bytes(body)
    for output in ("torch", "arrow"):
        try:
            loader = DataLoader(path, batch_size=7, output_format=output, num_threads=2)
            for _ in loader:
                assert loader.batch_index <= len(loader)
        except ShardlineError as error:
            message = str(error)
        else:
            continue
        assert "a.parquet" in message
        assert "internal error" not in message


PROGRAM = """
import sys, shardline
try:
    list(shardline.DataLoader(sys.argv[1]))
except shardline.ShardlineError as error:
    sys.exit(f"ended by: {error}")
"""


def test_a_decoder_that_panics_over_damage_prints_nothing(tmp_path):
    """The dictionary's page says that it is one of an index: the decoder that meets its codes has no dictionary."""
    pq.write_table(pa.table({"m": [[{"x": 1}], [{"x": 2}, {"x": 1}]]}), tmp_path / "a.parquet", compression="none")
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    assert data[4:6] == b"\x15\x04"
    data[5] = 2
    (tmp_path / "a.parquet").write_bytes(data)
    env = {name: value for name, value in os.environ.items() if name != "RUST_BACKTRACE"}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(tmp_path)]
    done = subprocess.run(command, env=env, check=False, timeout=100, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("ended by: ")
    assert 'a.parquet: column "m", row group 0: ' in done.stderr
    assert "panicked" not in done.stderr


# Nulls


def test_a_null_in_the_middle_is_met_again_after_a_resume(tmp_path):
    values = [*range(53), None, *range(46)]
    table = pa.table({"i": pa.array(range(100)), "y": pa.array(values, pa.int64())})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=10, write_statistics=False)
    loader, messages = DataLoader(tmp_path, **SMALL), []
    for _ in range(3):
        begin, found = loader.batch_index, 0
        with pytest.raises(shardline.ShardlineValueError, match=r"a\.parquet.*\"y\" has nulls.*columns=") as caught:
            for _ in loader:
                found += 1
        messages.append(str(caught.value))
        assert begin + found == loader.batch_index <= 5  # what is decoded together with the null is not delivered
        state = loader.state_dict()
        loader = DataLoader(tmp_path, **SMALL)
        loader.load_state_dict(state)
    assert len(set(messages)) == 1
    loader.load_state_dict(state)
    without = DataLoader(tmp_path, columns=["i"], **SMALL)
    without.load_state_dict(state)
    assert ids(without) == [list(range(a, a + 10)) for a in range(10 * state["legs"][0][3], 100, 10)]


@pytest.mark.timeout(60)
def test_an_error_read_ahead_among_other_columns_is_raised_and_never_waited_for(tmp_path):
    """Other threads are still at work on the chunk when it fails, long before the caller comes to it."""
    count, rng = 300_000, np.random.default_rng(2)
    columns = {f"c{n}": rng.integers(0, 2**40, count) for n in range(10)}
    bad = pa.array(np.arange(count), mask=np.arange(count) == 150_000)
    pq.write_table(
        pa.table({**columns, "bad": bad}), tmp_path / "a.parquet", row_group_size=50_000, write_statistics=False
    )
    for _ in range(12):
        loader = DataLoader(tmp_path, batch_size=1000, num_threads=6, prefetch_bytes="1GiB")
        iterator = iter(loader)
        next(iterator)
        time.sleep(0.2)
        with pytest.raises(shardline.ShardlineValueError, match='"bad" has nulls'):
            for _ in iterator:
                pass
        assert loader.batch_index <= 150


def test_rows_decoded_ahead_under_row_shuffle_bring_no_error_forward(tmp_path):
    """Damage in rows that no window has asked for yet is met when one does, whatever is decoded with those before."""
    rng = np.random.default_rng(8)
    path = tmp_path / "a.parquet"
    table = pa.table({"id": pa.array(rng.integers(0, 2**60, 40_000)), "x": pa.array(rng.random(40_000))})
    options = {"use_dictionary": False, "compression": "none", "data_page_size": 2048, "write_page_checksum": True}
    pq.write_table(table, path, row_group_size=10_000, **options)
    whole = [batch["id"].tolist() for batch in shuffled(tmp_path)]
    data = path.read_bytes()
    damaged = bytearray(data)
    for column in (0, 1):
        for start, end in page_bytes(path, column):
            damaged[start + (end - start) * 2 // 3] ^= 1
    path.write_bytes(bytes(damaged))
    counts = set()
    for prefetch in (1, "1MiB", "256MiB"):
        found = []
        with pytest.raises(ShardlineError, match=r"a\.parquet"):
            for batch in shuffled(tmp_path, prefetch_bytes=prefetch):
                found.append(batch["id"].tolist())
        counts.add(len(found))
        assert found == whole[: len(found)]
    # The damaged page of each row group has its rows 6,144 to 7,167; a window is eight batches.
    dataset = shuffled(tmp_path).dataset
    holds = [any(row < 7168 and end > 6144 for _, _, row, end in dataset.rows_at(step)) for step in range(len(whole))]
    expected = holds.index(True) // 8 * 8
    assert 0 < expected < len(whole) / 2
    assert counts == {expected}


def shuffled(path, **options):
    more = {"num_threads": 2, **options}
    return DataLoader(path, batch_size=100, shuffle=True, shuffle_buffer_size=800, shuffle_strands=1, **more)
