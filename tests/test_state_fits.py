"""What may differ from the run that saved a state: nothing changes, a new leg is cut, or all differences are listed."""

import logging
import shutil

import pytest
from support import ids, take
from support.states import make_resumed, refused, write

from shardline import DataLoader


@pytest.fixture
def make(hundred):
    return lambda path=hundred, **options: DataLoader(path, **{"batch_size": 10, "shuffle": True, **options})


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
    rows = {**state["rows"], "filter": {"rows": "('x' > 1)", "folders": {}, "counts": "0"}}
    message = refused(make(shuffle_seed=7, split_rows=10), {**state, "rows": rows})
    for word in (
        "seed: saved 42, here 7",
        "split_rows",
        "filters: saved ('x' > 1), here None",
    ):
        assert word in message
    assert "removed since: 1 (part-0000.parquet)" in message
    assert "changed since: 1 (part-0001.parquet)" in message
    assert "added since: 1 (new.parquet)" in message
    assert "6 differences" in message


def test_another_version_of_the_order_is_a_mismatch_whatever_its_settings_are(make):
    state = make().state_dict()
    message = refused(make(), {**state, "rows": {**state["rows"], "order": {"version": 99, "spirals": 7}}})
    assert "order version: saved 99, here 2" in message
    assert "1 difference" in message


def test_what_was_resolved_holds_unless_something_else_is_asked_for(make):
    """Neither another V nor another default alters the order of a run that has begun."""
    first = make(shuffle_buffer_size=10, shuffle_strands=3, split_rows=7, num_shards=4)
    order = first.state_dict()["rows"]["order"]
    assert (order["strands"], order["windows"]) == (3, 12)
    state = first.state_at(3)
    wanted = ids(make_resumed(make, state, shuffle_buffer_size=10, shuffle_strands=3, split_rows=7, num_shards=4))
    silent = make(num_shards=4)
    assert silent.state_dict()["rows"]["order"] != order
    silent.load_state_dict(state)
    assert silent.state_dict()["rows"]["order"] == order
    assert ids(silent) == wanted
    other_shards = make(num_shards=5)
    other_shards.load_state_dict(state)
    assert other_shards.state_dict()["rows"]["order"] == order
    assert sorted(sum(take(iter(first), 3) + ids(other_shards), [])) == list(range(100))
    other_shards.set_epoch(7)
    assert other_shards.state_dict()["rows"]["order"] == order


def test_new_files_resolve_the_order_anew_from_the_epoch_that_takes_them(make, hundred):
    options = {"shuffle_buffer_size": 10, "shuffle_strands": 3}
    state = make(**options).state_at(3)
    write(hundred / "zz.parquet", 50)
    loader = make(on_new_files="refresh")
    loader.load_state_dict(state)
    assert loader.state_dict()["rows"]["order"] == state["rows"]["order"]
    ids(loader)
    loader.set_epoch(1)
    order = loader.state_dict()["rows"]["order"]
    assert (order["strands"], order["windows"], order["buffer_rows"]) == (3, 15, 10)
    assert sorted(sum(ids(loader), [])) == sorted([*range(100), *range(50)])
    # And its states hold them.
    again = make()
    again.load_state_dict(loader.state_dict())
    assert again.state_dict()["rows"]["order"] == order


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
    seed = loader.state_dict()["rows"]["order"]["seed"]
    assert str(seed) in caplog.text
    assert make(shuffle_seed=None).state_dict()["rows"]["order"]["seed"] != seed
    whole = ids(loader)
    resumed = make(shuffle_seed=None)
    resumed.load_state_dict(make(shuffle_seed=seed).state_at(2))
    assert resumed.state_dict()["rows"]["order"]["seed"] == seed
    assert ids(resumed) == whole[2:]


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
