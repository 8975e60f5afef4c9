"""The state: plain, small, quick, adopted or refused as the design says, and legible."""

import io
import json
import logging
import shutil
import time
import uuid

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import ids, take

import shardline
from shardline import CheckpointMismatchError, DataLoader, StructuredDataset, describe
from shardline import plan as plans


@pytest.fixture
def make(hundred):
    return lambda path=hundred, **options: DataLoader(path, **{"batch_size": 10, "shuffle": True, **options})


def all_plain(value):
    """Whether a value is made of dicts, lists, ints, strings, bools and None only."""
    if type(value) is dict:
        return all(type(key) is str and all_plain(item) for key, item in value.items())
    if type(value) is list:
        return all(all_plain(item) for item in value)
    return value is None or type(value) in (int, str, bool)


def floats(value):
    """The value as a JSON writer without integers would give it back."""
    if type(value) is dict:
        return {key: floats(item) for key, item in value.items()}
    if type(value) is list:
        return [floats(item) for item in value]
    return float(value) if type(value) is int else value


def test_state_is_plain_and_survives_json_floats_and_torch(make):
    loader = make(shuffle_seed=2**64 - 1)
    take(iter(loader), 3)
    state = loader.state_dict()
    assert all_plain(state)
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    through_torch = torch.load(file, weights_only=True)
    assert through_torch == state == json.loads(json.dumps(state))
    wanted = ids(iter(make_resumed(make, state, shuffle_seed=2**64 - 1)))
    for copy in (through_torch, json.loads(json.dumps(state)), {**floats(state), "seed": state["seed"]}):
        assert ids(make_resumed(make, copy, shuffle_seed=2**64 - 1)) == wanted


def make_resumed(make, state, **options):
    loader = make(**options)
    loader.load_state_dict(state)
    return loader


def test_state_of_a_hundred_files_is_small(tmp_path):
    for number in range(100):  # of other rows and statistics each, so that no two hashes agree
        pq.write_table(pa.table({"i": np.arange(10 + number) * 7}), tmp_path / f"{uuid.uuid4()}.parquet")
    loader = DataLoader(tmp_path, batch_size=10, shuffle=True)
    state = loader.state_dict()
    file = io.BytesIO()
    torch.save(state, file)
    assert len(json.dumps(state)) < 8192
    assert len(file.getvalue()) < 8192
    assert loader.state_dict()["files"] is state["files"]  # packed once, referred to by every state


def test_state_dict_is_quick(make):
    loader = make()
    next(iter(loader))
    loader.state_dict()
    fastest = float("inf")
    for _ in range(20):
        start = time.perf_counter()
        for _ in range(100):
            loader.state_dict()
        fastest = min(fastest, (time.perf_counter() - start) / 100)
    assert fastest < 50e-6


@given(
    st.lists(
        st.tuples(st.text(min_size=1), st.integers(0, 2**40), st.integers(0, 2**64 - 1).map("{:016x}".format)),
        max_size=20,
    )
)
def test_file_tables_pack_and_unpack(table):
    assert plans.unpack(plans.pack(table)) == table


@pytest.mark.parametrize("packed", ["", "not base64!", "AAAA", plans.pack([("a", 1, "0" * 16)])[:-8]])
def test_damaged_tables_are_refused(packed):
    with pytest.raises(ValueError, match="damaged"):
        plans.unpack(packed)


def test_many_files_leave_the_digest_only(make, hundred, monkeypatch, tmp_path):
    monkeypatch.setattr(plans, "MAX_PACKED_FILES", 2)
    loader = make()
    first = take(iter(loader), 4)
    state = loader.state_dict()
    assert state["files"]["packed"] is None
    loader.dataset.plan.save(tmp_path / "plan")
    rest = ids(make_resumed(make, state))
    assert sorted(sum(first + rest, [])) == list(range(100))
    write(hundred / "zz.parquet", 5)
    with pytest.raises(CheckpointMismatchError, match=r"give plan="):
        make().load_state_dict(state)
    planned = make(None, plan=shardline.Plan.load(tmp_path / "plan"))
    planned.load_state_dict(state)
    assert ids(planned) == rest


def write(path, rows):
    pq.write_table(
        pa.table(
            {"i": np.arange(rows), "x": np.zeros(rows, "f4")},
            schema=pa.schema([("i", pa.int64()), ("x", pa.float32())]),
        ),
        path,
    )


# What differs


def refused(loader, state):
    with pytest.raises(CheckpointMismatchError) as caught:
        loader.load_state_dict(state)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, shardline.ShardlineError)
    return str(caught.value)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"shuffle_seed": 7}, ["seed", "saved 42", "here 7", "shuffle_seed=42"]),
        ({"shuffle": False}, ["shuffle", "saved True", "here False"]),
        ({"shuffle_buffer_size": 20}, ["shuffle_buffer_size", "here 20"]),
        ({"shuffle_strands": 2}, ["shuffle_strands", "here 2"]),
        ({"split_bytes": "1MiB"}, ["split_bytes", "saved 134217728", "here 1048576"]),
        ({"split_rows": 10}, ["split_rows", "saved None", "here 10"]),
    ],
)
def test_what_alters_the_order_is_a_mismatch(make, changed, words):
    message = refused(make(**changed), make().state_dict())
    for word in words:
        assert word in message


def test_every_difference_is_listed(make, hundred):
    state = make().state_dict()
    (hundred / "part-0000.parquet").unlink()
    write(hundred / "part-0001.parquet", 7)
    write(hundred / "new.parquet", 3)
    other = {"order_version": 99, "filter": {"rows": "('x' > 1)", "folders": {}, "counts": "0"}}
    message = refused(make(shuffle_seed=7, split_rows=10), {**state, **other})
    for word in (
        "order version: saved 99",
        "seed: saved 42, here 7",
        "split_rows",
        "filters: saved ('x' > 1), here None",
    ):
        assert word in message
    assert "removed since: 1 (part-0000.parquet)" in message
    assert "changed since: 1 (part-0001.parquet)" in message
    assert "added since: 1 (new.parquet)" in message
    assert "7 differences" in message


def test_split_settings_do_not_matter_where_nothing_is_shuffled(make):
    loader = make(shuffle=False, split_rows=10, shuffle_strands=2)
    loader.load_state_dict(make(shuffle=False).state_at(3))
    assert ids(loader)[0] == list(range(30, 40))


def test_columns_threads_prefetch_and_format_do_not_matter(make):
    whole = ids(make())
    loader = make(columns=["i"], num_threads=1, prefetch_bytes=1, output_format="numpy")
    loader.load_state_dict(make().state_at(3))
    assert ids(loader) == whole[3:]


def test_added_files_are_left_out_and_logged(make, hundred, caplog):
    whole = ids(make())
    following = make()
    following.set_epoch(1)
    second = ids(following)
    state = make().state_at(3)
    write(hundred / "added.parquet", 50)
    write(hundred / "zz.parquet", 50)
    loader = make()
    assert loader.dataset.num_rows == 200
    with caplog.at_level(logging.INFO, "shardline"):
        loader.load_state_dict(state)
    assert "added.parquet" in caplog.text
    assert (loader.dataset.num_rows, len(loader)) == (100, 10)
    assert ids(loader) == whole[3:]
    assert ids(loader) == second
    # Files come and go by state: one of the larger listing takes all of them again.
    loader.load_state_dict(make().state_dict())
    assert loader.dataset.num_rows == 200


def test_moved_root_is_fine(make, hundred, tmp_path):
    whole = ids(make())
    state = make().state_at(3)
    shutil.move(hundred, tmp_path / "else where")
    loader = make(tmp_path / "else where")
    loader.load_state_dict(state)
    assert ids(loader) == whole[3:]


def test_other_data_is_a_mismatch_that_names_a_few_files(make, rows):
    message = refused(make(), make(rows([[3]] * 30, start=1000)).state_dict())
    assert "removed since: 27" in message
    assert "and 22 more" in message
    assert "changed since: 3" in message


def test_drawn_seed_is_logged_kept_and_adopted(make, caplog):
    with caplog.at_level(logging.INFO, "shardline"):
        loader = make(shuffle_seed=None)
    seed = loader.state_dict()["seed"]
    assert str(seed) in caplog.text
    assert make(shuffle_seed=None).state_dict()["seed"] != seed
    whole = ids(loader)
    resumed = make(shuffle_seed=None)
    resumed.load_state_dict(make(shuffle_seed=seed).state_at(2))
    assert resumed.state_dict()["seed"] == seed
    assert ids(resumed) == whole[2:]


# What makes a new leg, and what does not


def test_same_settings_go_on_in_the_leg(make, caplog):
    loader = make(num_shards=4)
    state = loader.state_at(3)
    with caplog.at_level(logging.INFO, "shardline"):
        loader.load_state_dict(state)
    assert "goes on in its leg" in loader.dataset.resumed
    assert loader.dataset.resumed in caplog.text
    assert loader.state_dict() == state


@pytest.mark.parametrize("changed", [{"batch_size": 7}, {"num_shards": 3}, {"drop_last": True}])
def test_other_batches_are_a_new_leg_over_what_is_left(make, changed):
    loader = make(num_shards=4)
    first = take(iter(loader), 3)
    resumed = make(**{"num_shards": 4, **changed})
    resumed.load_state_dict(loader.state_dict())
    assert "cuts a new leg" in resumed.dataset.resumed
    assert len(resumed.state_dict()["legs"]) == 2
    assert len(resumed) == resumed.batch_index + resumed.remaining
    assert resumed.batch_index == 3
    rest = ids(resumed)
    delivered = sorted(sum(first + rest, []))
    left = [p for start, stop in resumed.left_out() for p in range(start, stop)]
    assert len(delivered) + len(left) == 100
    assert len(set(delivered)) == len(delivered)
    assert ("drop_last" in changed) == bool(left)


def test_num_shards_belongs_to_the_run_unless_asked(make):
    state = make(num_shards=4).state_at(2)
    adopted = make_resumed(make, state)  # none was asked for: 4 holds, for this epoch and later ones
    assert adopted.dataset.num_shards == 4
    assert "goes on" in adopted.dataset.resumed
    ids(adopted)
    later = make(num_shards=4)
    later.set_epoch(1)
    assert ids(adopted) == ids(later)
    divided = make_resumed(make, state, rank=0, num_ranks=2)
    assert divided.dataset.num_shards == 4
    assert "goes on" in divided.dataset.resumed
    others = make_resumed(make, state, rank=0, num_ranks=3)
    assert others.dataset.num_shards == 3
    assert "new leg" in others.dataset.resumed


def test_legs_that_delivered_nothing_do_not_pile_up(make):
    state = make().state_at(2)
    for batch_size in (3, 4, 5, 6, 7):
        state = make_resumed(make, state, batch_size=batch_size).state_dict()
    assert len(state["legs"]) == 2


def test_fewer_rows_left_than_ranks_are_named(make):
    state = make(batch_size=2).state_at(49)  # 98 of 100 rows
    resumed = make(rank=0, num_ranks=4, batch_size=33)
    with pytest.warns(RuntimeWarning, match=r"fewer rows are left \(of 2 rows\) than ranks \(4\)"):
        resumed.load_state_dict(state)
    assert resumed.left_out() == [(98, 100)]
    assert resumed.remaining == 0
    assert ids(resumed) == []
    assert (resumed.epoch, resumed.left_out()) == (1, [(98, 100)])
    assert sum(map(len, ids(resumed))) == 25


# Form


def test_every_missing_field_is_named(make):
    state = make().state_dict()
    for key in state:
        if key in ("filter", "sample"):
            continue
        message = refused(make(), {k: v for k, v in state.items() if k != key})
        assert key in message
        assert "missing" in message
    for part in ("shuffle", "files"):
        for key in state[part]:
            broken = {**state, part: {k: v for k, v in state[part].items() if k != key}}
            if (part, key) == ("shuffle", "split_rows"):
                continue
            assert f"{part}.{key} is missing" in refused(make(), broken)


@pytest.mark.parametrize("what", [None, 7, "state", [], {}, {"model": {}}, b"x", torch.zeros(2)])
def test_what_is_no_state_is_refused(make, what):
    loader = make()
    before = loader.state_dict()
    assert "not a state" in refused(loader, what)
    assert loader.state_dict() == before


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("shardline",), 2, "version 2"),
        (("shardline",), "1", "must be an integer"),
        (("epoch",), -1, "epoch must be between"),
        (("epoch",), 1.5, "epoch must be an integer"),
        (("epoch",), True, "epoch must be an integer"),
        (("epoch",), float("nan"), "epoch must be an integer"),
        (("epoch",), float("inf"), "epoch must be an integer"),
        (("epoch",), 2**70, "epoch must be between"),
        (("ended",), 1, "ended must be true or false"),
        (("seed",), 2**64, "seed must be between"),
        (("num_shards",), 0, "num_shards must be between"),
        (("num_shards",), 2**40, "no step"),
        (("legs",), [], "legs must not be empty"),
        (("legs",), {}, "legs must be a list"),
        (("legs", 0), [1, 10, False, 3], "legs[0] must be a list of 5"),
        (("legs", 0, 0), 0, "legs[0][0] (num_shards)"),
        (("legs", 0, 0), 1000, "damaged"),
        (("legs", 0, 1), 0, "legs[0][1] (batch_size)"),
        (("legs", 0, 2), 0, "legs[0][2] (drop_last)"),
        (("legs", 0, 3), -1, "legs[0][3] (batches delivered)"),
        (("legs", 0, 3), 11, "damaged"),
        (("legs", 0, 3), 3.5, "must be an integer"),
        (("legs", 0, 4), [[0]], "legs[0][4][0]"),
        (("legs", 0, 4), [[2, 9]], "damaged"),
        (("shuffle", "window"), "8", "shuffle.window must be an integer"),
        (("files", "digest"), 7, "files.digest must be text"),
        (("files", "packed"), "!", "files.packed"),
        (("files", "count"), 4, "files.packed names 3 files"),
    ],
)
def test_malformed_states_are_refused_in_words(make, path, value, words):
    state = json.loads(json.dumps(make().state_at(3)))
    target = state
    for key in path[:-1]:
        target = target[key]
    target[path[-1]] = value
    loader = make()
    before = loader.state_dict()
    assert words in refused(loader, state)
    assert loader.state_dict() == before


def test_keys_that_are_not_known_are_ignored(make):
    state = make().state_at(3)
    assert ids(make_resumed(make, {**state, "note": "mine"})) == ids(make_resumed(make, state))


def test_describe_says_it_in_words(make):
    loader = make(num_shards=4)
    loader.load_state_dict(loader.state_at(3))
    loader.seek(5)
    text = describe(loader.state_dict())
    for word in (
        "epoch 0",
        "5 batches",
        "2 of these batches were skipped",
        "seed 42",
        "4 shards",
        "3 files",
        "100 rows",
    ):
        assert word in text
    assert "not shuffled" in describe(make(shuffle=False).state_dict())
    with pytest.raises(CheckpointMismatchError):
        describe({"a": 1})


# Provenance


def test_seek_skips_and_the_state_remembers(make):
    whole = ids(make())
    loader = make()
    assert take(iter(loader), 2) == whole[:2]
    loader.seek(6)
    state = loader.state_dict()
    assert loader.batch_index == 6
    assert ids(loader) == whole[6:]
    assert sum(stop - start for start, stop in loader.left_out()) == 40
    resumed = make_resumed(make, state)
    assert ids(resumed) == whole[6:]
    assert resumed.left_out() == loader.left_out() == [(20, 60)]
    for step in (1, 11):
        with pytest.raises(shardline.ShardlineValueError, match="seek goes forward"):
            make_resumed(make, state).seek(step)


def test_rows_at_names_the_rows_of_any_batch_of_any_rank(hundred):
    tables = {}

    def rows(step, rank, dataset):
        found = []
        for name, group, start, stop in dataset.rows_at(step, rank=rank):
            file = tables.setdefault(name, pq.ParquetFile(hundred / name))
            found += file.read_row_group(group)["i"].to_pylist()[start:stop]
        return found

    datasets = [
        StructuredDataset(hundred, batch_size=7, shuffle=True, rank=r, num_ranks=2, num_shards=4, split_rows=10)
        for r in range(2)
    ]
    for rank, dataset in enumerate(datasets):
        for step, batch in enumerate(ids(dataset)):
            assert rows(step, rank, datasets[1 - rank]) == batch
            assert rows(step, None, dataset) == batch
    for arguments in ({"step": 100}, {"step": -1}, {"step": 0, "rank": 2}):
        with pytest.raises(shardline.ShardlineValueError, match="step|rank"):
            datasets[0].rows_at(**arguments)


def test_rows_at_reaches_back_over_legs(make, hundred):
    loader = make(batch_size=10)
    expected = take(iter(loader), 3)
    resumed = make(batch_size=20)
    resumed.load_state_dict(loader.state_dict())
    expected += ids(resumed)
    again = make(batch_size=20)
    again.load_state_dict(loader.state_dict())
    files = {name: pq.ParquetFile(hundred / name) for name, _, _ in loader.dataset.plan.files()}
    for step, batch in enumerate(expected):
        found = []
        for name, group, start, stop in again.dataset.rows_at(step):
            found += files[name].read_row_group(group)["i"].to_pylist()[start:stop]
        assert found == batch
