"""Filters of which a part has no kernel in the core: pyarrow evaluates them, and every law holds."""

import datetime
import json
import multiprocessing
import pickle

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import examples, ids, programs
from support.filtered import broken, epoch, wide

import shardline
from shardline import DataLoader, StructuredDataset

START = datetime.datetime(2023, 12, 30)
FUNCTIONS = [
    pc.starts_with(pc.field("s"), "text 1"),
    pc.match_substring_regex(pc.field("s"), "[02468]$"),
    pc.utf8_length(pc.field("s")) == 6,
    pc.field("i") + 1 > pc.field("j") * 2,
    pc.field("i") > pc.field("f"),
    pc.field("j").cast(pa.float32()) < 20.5,
    pc.year(pc.field("t")) == 2024,
    pc.list_value_length(pc.field("l")) >= 2,
    pc.field("r", "x") > 2,
    pc.field("r", "b"),
    pc.if_else(pc.field("r", "b"), pc.field("i") > 30, pc.field("j") > 30),
    pc.is_in(pc.field("j"), pa.array([3, 30, None], pa.int32()), skip_nulls=True),
    pc.xor(pc.field("i") < 40, pc.field("j") < 20),
]
PLAIN = [pc.field("i") < 50, pc.field("j").is_null(), pc.field("f") >= 0.5, pc.field("s") != "text 1"]
mixed = st.recursive(
    st.sampled_from(FUNCTIONS + PLAIN),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: two[0] & two[1]),
        st.tuples(inner, inner).map(lambda two: two[0] | two[1]),
        inner.map(lambda one: ~one),
    ),
    max_leaves=4,
)


def table(rows, nulls, seed):
    rng = np.random.default_rng(seed)

    def holes(values, dtype):
        return pa.array([None if rng.random() < nulls else value for value in values], dtype)

    return pa.table(
        {
            "i": np.arange(rows),
            "j": holes(rng.integers(0, 60, rows).tolist(), pa.int32()),
            "f": holes((rng.random(rows) * 60).tolist(), pa.float64()),
            "s": holes([f"text {n}" for n in range(rows)], pa.string()),
            "t": holes([START + datetime.timedelta(hours=n) for n in range(rows)], pa.timestamp("us")),
            "l": holes([[0] * (n % 4) for n in range(rows)], pa.list_(pa.int8())),
            "r": holes(
                [{"x": n % 6, "b": n % 3 == 0} for n in range(rows)], pa.struct({"x": pa.int8(), "b": pa.bool_()})
            ),
        }
    )


@examples(60)
@given(st.integers(1, 90), st.sampled_from([0, 0.2]), st.integers(0, 99), st.sampled_from([4, 1000]), mixed)
def test_the_rows_are_those_that_pyarrow_leaves(tmp_path_factory, rows, nulls, seed, group, expression):
    made = table(rows, nulls, seed)
    path = tmp_path_factory.mktemp("functions") / "a.parquet"
    pq.write_table(made, path, row_group_size=group)
    wanted = ds.dataset(made).to_table(filter=expression, columns=["i"])["i"].to_pylist()
    if not wanted:
        with pytest.raises(shardline.ShardlineValueError, match="no row passes"):
            StructuredDataset(path, filters=expression)
        return
    dataset = StructuredDataset(path, batch_size=7, columns=["i"], filters=expression)
    assert epoch(dataset) == wanted
    step = len(dataset) // 2
    dataset.load_state_dict(json.loads(json.dumps(dataset.state_at(step))))
    assert epoch(dataset) == wanted[7 * step :]
    places = [r for n in range(len(dataset)) for *_, a, b in dataset.rows_at(n, resolve=True) for r in range(a, b)]
    assert len(places) == len(wanted)


def test_statistics_and_folders_still_rule_out_what_they_can(tmp_path):
    for name in ("k=1", "k=2"):
        (tmp_path / name).mkdir()
    wide(tmp_path / "k=1" / "a.parquet")
    (tmp_path / "k=2" / "b.parquet").write_bytes(b"not opened")
    options = {"columns": ["i"], "partitioning": "hive"}
    text = pc.starts_with(pc.field("s"), "text 1")
    filters = (pc.field("k") == 1) & (pc.field("i") < 5_000) & text
    wanted = [n for n in range(5_000) if str(n).startswith("1")]
    assert epoch(StructuredDataset(tmp_path, filters=filters, **options)) == wanted
    of_folder = filters & (pc.field("k") * 2 == 2)
    assert epoch(StructuredDataset(tmp_path, filters=of_folder, **options)) == wanted
    broken(tmp_path / "k=1" / "a.parquet", "s")
    all_pass = (pc.field("k") == 1) & ((pc.field("i") >= 0) | text)
    assert StructuredDataset(tmp_path, filters=all_pass, **options).num_rows == 20_000
    with pytest.raises(shardline.ShardlineValueError, match="no row passes"):
        StructuredDataset(tmp_path, filters=(pc.field("k") == 1) & (pc.field("i") < 0) & text, **options)
    with pytest.raises(shardline.ShardlineValueError, match=r"a.parquet.*column \"s\""):
        StructuredDataset(tmp_path, filters=filters, **options)


def test_dictionary_columns_are_seen_as_their_values(tmp_path):
    words = pa.array(["abc", "b", None, "ab"] * 10).dictionary_encode()
    pq.write_table(pa.table({"i": np.arange(40), "w": words}), tmp_path / "a.parquet")
    dataset = StructuredDataset(tmp_path, columns=["i"], filters=pc.starts_with(pc.field("w"), "ab"))
    assert epoch(dataset) == [n for n in range(40) if n % 4 in (0, 3)]


def test_the_state_names_what_was_asked(tmp_path):
    wide(tmp_path / "a.parquet", 1000, 300)
    options = {"batch_size": 10, "columns": ["i"]}
    dataset = StructuredDataset(tmp_path, filters=pc.starts_with(pc.field("s"), "text 1"), **options)
    state = json.loads(json.dumps(dataset.state_at(3)))
    again = StructuredDataset(tmp_path, filters=pc.starts_with(pc.field("s"), pattern="text 1"), **options)
    again.load_state_dict(state)
    assert ids(again) == ids(dataset)[3:]
    for other in (
        pc.starts_with(pc.field("s"), "text 2"),
        pc.starts_with(pc.field("s"), "text 1", ignore_case=True),
        pc.ends_with(pc.field("s"), "text 1") | (pc.field("i") < 100),
    ):
        with pytest.raises(
            shardline.CheckpointMismatchError, match="filters: saved starts_with\\(column 's', pattern=text 1"
        ):
            StructuredDataset(tmp_path, filters=other, **options).load_state_dict(state)


def test_what_pyarrow_cannot_do_names_the_rows(tmp_path):
    wide(tmp_path / "a.parquet", 100, 30)
    for filters, words in (
        (pc.field("i") + (2**63 - 60) > 0, "rows 60 to 89: filters=.*overflow"),
        (pc.divide(pc.scalar(100), pc.field("i") - 95) > 0, "rows 90 to 99: filters=.*divide by zero"),
        (pc.field("s").cast(pa.int32()) > 0, "rows 0 to 29: filters=.*Failed to parse string: 'text"),
    ):
        with pytest.raises(shardline.ShardlineValueError, match=f"a.parquet: among {words}"):
            StructuredDataset(tmp_path, filters=filters, columns=["i"])


def _of_rows(batch):
    return batch["i"].tolist()


def _taken(dataset, rows):
    assert epoch(dataset) == rows


def test_processes_of_every_kind_ask(tmp_path):
    made = wide(tmp_path / "a.parquet", 2000, 300)
    filters = pc.ends_with(pc.field("s"), "7") & (pc.field("u") < 0.5)
    wanted = made.filter(filters)["i"].to_pylist()
    options = {"batch_size": 16, "columns": ["i"], "filters": filters}
    loader = DataLoader(tmp_path, num_workers=2, collate_fn=_of_rows, **options)
    assert sum(loader, []) == wanted
    dataset = StructuredDataset(tmp_path, **options)
    assert epoch(dataset) == wanted
    plain = torch.utils.data.DataLoader(dataset, batch_size=None, num_workers=2, multiprocessing_context="fork")
    assert sorted(epoch(plain)) == wanted
    assert epoch(pickle.loads(pickle.dumps(dataset))) == wanted
    child = multiprocessing.get_context("fork").Process(target=_taken, args=(dataset, wanted))
    child.start()
    child.join(60)
    assert child.exitcode == 0


ABANDONED = """
import sys, threading, pyarrow.compute as pc
from shardline import StructuredDataset
options = {"batch_size": 10, "columns": ["i"], "filters": pc.utf8_length(pc.field("s")) > 0}
dataset = StructuredDataset(sys.argv[1], **options)
for number in range(30):
    iterator = iter(dataset)
    next(iterator)
    if number % 2:
        iterator.close()
    del iterator  # while its threads ask pyarrow
kept = iter(dataset)
next(kept)
background = StructuredDataset(plan=dataset.plan, **options)
held = []  # what a thread of the caller's frees while Python ends is the caller's own
threading.Thread(target=lambda: [held.append(batch) for _ in range(99) for batch in background], daemon=True).start()
print("done")
"""


def test_iterators_that_are_left_hang_neither_the_process_nor_its_end(tmp_path):
    wide(tmp_path / "a.parquet", 20_000, 500)
    run = programs.run("-c", ABANDONED, tmp_path, warn=["ignore"])
    assert (run.returncode, run.stdout) == (0, "done\n"), run.stderr
