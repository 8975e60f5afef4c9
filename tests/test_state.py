"""The state: plain, small, quick, well-formed or refused, and legible."""

import io
import json
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
from support.states import make_resumed, refused, write

import shardline
from shardline import CheckpointMismatchError, DataLoader, describe
from shardline.planning import file_table


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


def with_rows(state, part, **changed):
    """The state with these changes in a part of what defines its rows."""
    rows = state["rows"]
    return {**state, "rows": {**rows, part: {**(rows[part] or {}), **changed}}}


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
    for copy in (
        through_torch,
        json.loads(json.dumps(state)),
        with_rows(floats(state), "order", seed=2**64 - 1),
    ):
        assert ids(make_resumed(make, copy, shuffle_seed=2**64 - 1)) == wanted


def test_state_of_a_hundred_files_is_small(tmp_path):
    for number in range(100):  # of other rows and statistics each, so that no two hashes agree
        pq.write_table(pa.table({"i": np.arange(10 + number) * 7}), tmp_path / f"{uuid.uuid4()}.parquet")
    loader = DataLoader(tmp_path, batch_size=10, shuffle=True)
    state = loader.state_dict()
    file = io.BytesIO()
    torch.save(state, file)
    assert len(json.dumps(state)) < 8192
    assert len(file.getvalue()) < 8192
    assert loader.state_dict()["files"]["packed"] is state["files"]["packed"]  # packed once, referred to by every state


def test_state_dict_is_quick(make):
    loader = make()
    next(iter(loader))
    loader.state_dict()
    fastest = float("inf")
    for _ in range(20):
        start = time.thread_time()  # not what others take
        for _ in range(100):
            loader.state_dict()
        fastest = min(fastest, (time.thread_time() - start) / 100)
    assert fastest < 50e-6


@given(
    st.lists(
        st.tuples(st.text(min_size=1), st.integers(0, 2**40), st.integers(0, 2**64 - 1).map("{:016x}".format)),
        max_size=20,
    )
)
def test_file_tables_pack_and_unpack(table):
    assert file_table.unpack(file_table.pack(table)) == table


@pytest.mark.parametrize("packed", ["", "not base64!", "AAAA", file_table.pack([("a", 1, "0" * 16)])[:-8]])
def test_damaged_tables_are_refused(packed):
    with pytest.raises(ValueError, match="damaged"):
        file_table.unpack(packed)


def test_many_files_leave_the_digest_only(make, hundred, monkeypatch, tmp_path):
    monkeypatch.setattr(file_table, "MAX_PACKED_FILES", 2)
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


def test_every_missing_field_is_named(make):
    state = make(filters=[("i", ">=", 0)], sample=0.9).state_dict()
    for key in state:
        message = refused(make(), {k: v for k, v in state.items() if k != key})
        assert key in message
        assert "missing" in message
    for key in state["files"]:
        broken = {**state, "files": {k: v for k, v in state["files"].items() if k != key}}
        assert f"files.{key} is missing" in refused(make(), broken)
    rows = state["rows"]
    for key in rows:
        broken = {**state, "rows": {k: v for k, v in rows.items() if k != key}}
        assert f"rows.{key} is missing" in refused(make(), broken)
    for part in ("order", "sample", "filter"):
        for key in rows[part]:
            broken = {**state, "rows": {**rows, part: {k: v for k, v in rows[part].items() if k != key}}}
            assert f"rows.{part}.{key} is missing" in refused(make(), broken)


@pytest.mark.parametrize("what", [None, 7, "state", [], {}, {"model": {}}, b"x", torch.zeros(2)])
def test_what_is_no_state_is_refused(make, what):
    loader = make()
    before = loader.state_dict()
    assert "not a state" in refused(loader, what)
    assert loader.state_dict() == before


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("shardline",), 1, "version 1 of the state; this shardline reads version 2: finish that run"),
        (("shardline",), 3, "version 3 of the state"),
        (("shardline",), "2", "must be an integer"),
        (("epoch",), -1, "epoch must be between"),
        (("epoch",), 1.5, "epoch must be an integer"),
        (("epoch",), True, "epoch must be an integer"),
        (("epoch",), float("nan"), "epoch must be an integer"),
        (("epoch",), float("inf"), "epoch must be an integer"),
        (("epoch",), 2**70, "epoch must be between"),
        (("ended",), 1, "ended must be true or false"),
        (("rows",), [], "rows must be a dict"),
        (("rows", "order"), None, "rows.order must be a dict"),
        (("rows", "sample"), 7, "rows.sample must be a dict"),
        (("rows", "filter"), [], "rows.filter must be a dict"),
        (("rows", "order", "seed"), 2**64, "rows.order.seed must be between"),
        (("rows", "order", "version"), "2", "rows.order.version must be an integer"),
        (("rows", "order", "windows"), "8", "rows.order.windows must be an integer"),
        (("rows", "order", "windows"), 101, "101 shuffle windows of 1 strands are no order of 100 rows"),
        (("rows", "order", "strands"), 0, "rows.order.strands must be between"),
        (("rows", "order", "strands"), 2**62, "damaged"),
        (("rows", "order", "buffer_rows"), -1, "rows.order.buffer_rows must be between"),
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
    noted = {**state, "note": "mine", "files": {**state["files"], "note": "mine"}}
    assert ids(make_resumed(make, noted)) == ids(make_resumed(make, state))


def test_but_those_of_the_rows_are_refused_by_name(make):
    """A reader that ignored what a newer version says of the rows would lose some in silence."""
    options = {"filters": [("i", ">=", 0)], "sample": 0.9}
    state = make(**options).state_at(3)
    newer = [(name, {**state, "rows": {**state["rows"], name: None}}) for name in ("buckets", "spiral")]
    newer += [(f"{part}.spiral", with_rows(state, part, spiral=7)) for part in ("order", "filter", "sample")]
    for name, changed in newer:
        message = refused(make(**options), changed)
        assert f"a newer version of shardline: it has rows.{name}, which this version does not know" in message
        with pytest.raises(CheckpointMismatchError, match=name):
            describe(changed)
    assert ids(make_resumed(make, state, **options)) == ids(make(**options))[3:]


def test_a_sample_of_another_version_or_of_columns_is_a_mismatch(make):
    state = make(sample=0.9).state_dict()
    assert "sample version: saved 2, here 1" in refused(make(sample=0.9), with_rows(state, "sample", version=2))
    by_user = with_rows(state, "sample", columns=["user"])
    assert "subset_by: saved ['user'], here None" in refused(make(sample=0.9), by_user)
    assert "must be null or a list of names" in refused(make(sample=0.9), with_rows(state, "sample", columns="user"))


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
    other = with_rows(make().state_dict(), "order", version=99, spiral=7)
    assert "order version 99" in describe(other)
    assert "cannot describe" in describe(other)
    with pytest.raises(CheckpointMismatchError):
        describe({"a": 1})
