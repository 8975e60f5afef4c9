"""Mixtures that cannot be, and states that do not fit: refused by name, with the cure."""

import json
import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import shardline
from shardline import At, CheckpointMismatchError, DataLoader, Mixture, Pack, Ramp, Source

VALUE, TYPE = shardline.ShardlineValueError, shardline.ShardlineTypeError


def write(path, rows, **columns):
    pq.write_table(pa.table({"i": pa.array(range(rows), pa.int64()), **columns}), path)
    return path


@pytest.fixture
def paths(tmp_path):
    return {name: write(tmp_path / f"{name}.parquet", rows) for name, rows in (("web", 60), ("code", 30), ("few", 2))}


def mixture(paths, weights=None, **options):
    weights = weights or {"web": 3, "code": 1}
    return Mixture({name: Source(paths[name], weight) for name, weight in weights.items()}, **options)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: Source("x", -1), VALUE, "weight of Source.. must be 0 or more"),
        (lambda: Source("x", math.nan), VALUE, "finite, not nan"),
        (lambda: Source("x", math.inf), VALUE, "finite, not inf"),
        (lambda: Source("x", "1"), TYPE, "must be a number"),
        (lambda: Source("x", True), TYPE, "must be a number"),
        (lambda: Source("x", epochs=0), VALUE, "reads nothing"),
        (lambda: Source("x", batch_size=3), VALUE, "batch_size= is not a source's own"),
        (lambda: Source("x", filter=3), TYPE, "filters="),
        (lambda: Mixture({}), VALUE, "1 to 32,767 sources"),
        (lambda: Mixture(["x"]), TYPE, "sources by name"),
        (lambda: Mixture({"a": "x"}), TYPE, "'a' must be a shardline.Source"),
        (lambda: Mixture({"": Source("x")}), TYPE, "name must be text"),
        (lambda: Mixture({"a": Source("x", 0), "b": Source("y", 0)}), VALUE, "every source of the mixture has"),
        (lambda: Mixture({"a": Source("x")}, batches=3, rows=4), VALUE, "batches= and rows= both"),
        (lambda: Mixture({"a": Source("x")}, batches=0), VALUE, "between 1 and"),
        (lambda: Mixture({"a": Source("x")}, stop="last"), VALUE, "'first', 'all'"),
        (lambda: Mixture({"a": Source("x")}, schedule=[At(5, a=2), At(5, a=3)]), VALUE, "goes back in time: At.5"),
        (lambda: Mixture({"a": Source("x")}, schedule=[Ramp(1, 9, a=2), At(7, a=3)]), VALUE, "reaches to batch 9"),
        (lambda: Mixture({"a": Source("x")}, schedule=[At(5, a=0)]), VALUE, "leaves every source with weight 0"),
        (lambda: Mixture({"math": Source("x")}, schedule=[At(5, mat=1)]), VALUE, "'mat'.*'math'"),
        (lambda: Mixture({"a": Source("x")}, schedule=[5]), TYPE, "At and shardline.Ramp"),
        (lambda: At(5), VALUE, "names no source"),
        (lambda: At(5, {"a": 1}, a=2), VALUE, "names 'a' twice"),
        (lambda: At(0, a=1), VALUE, "between 1 and"),
        (lambda: Ramp(5, 5, a=1), VALUE, "between 6 and"),
    ],
)
def test_what_cannot_be_said(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_what_sources_cannot_be(paths, tmp_path):
    empty = write(tmp_path / "empty.parquet", 0)
    with pytest.raises(VALUE, match="source 'empty' has no row"):
        DataLoader(Mixture({"web": Source(paths["web"]), "empty": Source(empty)}, batches=3))
    with pytest.raises(VALUE, match="source 'web' has no row"):
        DataLoader(Mixture({"web": Source(paths["web"], filters=[("i", ">", 1000)])}, batches=3))
    with pytest.raises(VALUE, match="source 'few' has 2 rows to deliver .stop='all'., fewer than the 4 shards"):
        DataLoader(mixture(paths, {"web": 1, "few": 1}, stop="all"), num_shards=4)
    with pytest.raises(VALUE, match="source 'few' has 2 rows to deliver .epochs=1., fewer than the 4"):
        DataLoader(Mixture({"web": Source(paths["web"]), "few": Source(paths["few"], epochs=1)}), num_shards=4)
    with pytest.raises(VALUE, match="is never reached: a source has weight 0"):
        DataLoader(mixture(paths, {"web": 1, "code": 0}, stop="all"), batch_size=4)
    with pytest.raises(VALUE, match="ends before each of 1 ranks has a batch of 128 rows"):
        DataLoader(mixture(paths, stop="first"), batch_size=128, drop_last=True)
    with pytest.raises(VALUE, match="ends the mixture before its first batch"):
        DataLoader(mixture(paths, rows=3), batch_size=64)
    with pytest.raises(VALUE, match="give pack= too"):
        DataLoader(mixture(paths, tokens=3000), batch_size=64)
    with pytest.raises(VALUE, match="refresh"):
        DataLoader(mixture(paths, batches=3), on_new_files="refresh")
    with pytest.raises(VALUE, match="plan= is of one data set"):
        DataLoader(mixture(paths, batches=3), plan=DataLoader(paths["web"]).dataset.plan)
    with pytest.raises(shardline.ShardlineFileNotFoundError):
        DataLoader(Mixture({"no": Source(tmp_path / "no.parquet")}, batches=3))


def test_sources_of_different_columns(tmp_path):
    one = write(tmp_path / "one.parquet", 9, x=pa.array([1.0] * 9, pa.float32()))
    for name, columns, words in (
        ("other", {"y": pa.array([1.0] * 9)}, "source 'other' has other keys .'x', 'y'. than source 'one'"),
        ("lacks", {}, "source 'lacks' has other keys .'x'."),
        ("wide", {"x": pa.array([1.0] * 9, pa.float64())}, "column 'x' of source 'wide' is double .* 'one' float"),
        ("text", {"x": pa.array(["a"] * 9)}, "column 'x' of source 'text' is string"),
    ):
        path = write(tmp_path / f"{name}.parquet", 9, **columns)
        with pytest.raises(TYPE, match=words):
            DataLoader(Mixture({"one": Source(one), name: Source(path)}, batches=3))
    wide = tmp_path / "wide.parquet"
    options = {"x": shardline.ColumnOptions(dtype="float32")}
    sources = {"one": Source(one), "wide": Source(wide, column_options=options)}
    batch = next(iter(DataLoader(Mixture(sources, batches=3), batch_size=6)))
    assert batch["x"].tolist() == [1.0] * 6
    named = write(tmp_path / "named.parquet", 9, source=pa.array([1] * 9))
    with pytest.raises(VALUE, match="has a column 'source'"):
        DataLoader(Mixture({"named": Source(named)}, batches=3))
    other = Source(tmp_path / "other.parquet", columns=["i"])
    assert set(next(iter(DataLoader(Mixture({"a": Source(one, columns=["i"]), "b": other}))))) == {"i", "source"}


def test_without_an_end_there_is_no_length(paths):
    loader = DataLoader(mixture(paths), batch_size=4)
    with pytest.raises(TypeError, match="without an end has no length: give batches="):
        len(loader)
    assert "without an end" in repr(loader)
    batches = iter(loader)
    for _ in range(40):
        next(batches)
    assert loader.mixture.at()["web"] == shardline.SourceCount(120, None, 2.0, 3)


def test_what_is_of_one_data_set(paths):
    loader = DataLoader(mixture(paths, batches=3), batch_size=4)
    dataset = loader.dataset
    for ask in (
        lambda: dataset.plan,
        dataset.stats,
        dataset.left_out,
        loader.left_out,
        lambda: dataset.value_counts("i"),
        lambda: dataset.vocabulary("i"),
        lambda: shardline.shuffle_quality(loader),
    ):
        with pytest.raises(TypeError, match="is of one data set, and this is a mixture of 2"):
            ask()
    with pytest.raises(VALUE, match="no file of a mixture can be left out"):
        dataset.leave_out(["web.parquet"])
    with pytest.raises(TypeError, match="reads one data set"):
        DataLoader(paths["web"]).set_weights(web=1)
    with pytest.raises(TypeError, match="reads one data set"):
        _ = DataLoader(paths["web"]).mixture


def test_weights_that_cannot_be_set(paths):
    loader = DataLoader(mixture(paths, batches=9), batch_size=4)
    batches = iter(loader)
    for _ in range(3):
        next(batches)
    before = loader.state_dict()
    for wrong, error, words in (
        ({"wbe": 1}, VALUE, "'wbe'.*'web'"),
        ({"web": -1}, VALUE, "0 or more"),
        ({"web": 0, "code": 0}, VALUE, "weight 0"),
        ({}, VALUE, "names no source"),
    ):
        with pytest.raises(error, match=words):
            loader.set_weights(wrong)
    with pytest.raises(VALUE, match="would change the past: 3 batches"):
        loader.set_weights(web=1, at=2)
    assert loader.state_dict() == before
    next(batches)


def state_of(paths, weights=None, steps=3, batch_size=4, **options):
    loader = DataLoader(mixture(paths, weights, batches=20, **options), batch_size=batch_size, shuffle=True)
    batches = iter(loader)
    for _ in range(steps):
        next(batches)
    return json.loads(json.dumps(loader.state_dict()))


def test_states_that_do_not_fit(paths, tmp_path):
    state = state_of(paths)

    def load(weights=None, said=None, of=state, **options):
        said = {"batches": 20} if said is None else said
        DataLoader(mixture(paths, weights, **said), **{"batch_size": 4, "shuffle": True, **options}).load_state_dict(of)

    load()
    for weights, words in (
        ({"web": 3}, "source 'code': saved there, with a weight to come, here not there"),
        ({"web": 3, "code": 1, "few": 1}, "source 'few': saved not there, here there; to let it join, give it"),
        ({"web": 3, "code": 2}, "weights: saved .*; give weights and schedule= as the run began with"),
    ):
        with pytest.raises(CheckpointMismatchError, match=words):
            load(weights)
    with pytest.raises(CheckpointMismatchError, match="weights: saved"):
        load(said={"batches": 20, "schedule": [At(9, web=1)]})
    with pytest.raises(CheckpointMismatchError, match="seed: saved 42, here 1"):
        load(shuffle_seed=1)
    with pytest.raises(CheckpointMismatchError, match="shuffle: saved True, here False"):
        load(shuffle=False)
    plain = DataLoader(paths["web"], batch_size=4, shuffle=True)
    with pytest.raises(CheckpointMismatchError, match="mixture: saved a mixture of .*'web', 'code'"):
        plain.load_state_dict(state)
    with pytest.raises(CheckpointMismatchError, match="mixture: saved one data set, here a mixture"):
        load(of=plain.state_dict())
    write(paths["code"], 31)
    with pytest.raises(CheckpointMismatchError, match="rows of source 'code': saved 30 .*, here 31"):
        load()
    write(paths["code"], 30)
    damaged = json.loads(json.dumps(state))
    damaged["rows"]["mixture"]["sources"] = "AAAA"
    with pytest.raises(CheckpointMismatchError, match="rows.mixture is damaged"):
        load(of=damaged)
    damaged = json.loads(json.dumps(state))
    damaged["rows"]["mixture"]["version"] = 2
    with pytest.raises(CheckpointMismatchError, match="rows.mixture.version is 2"):
        load(of=damaged)
    damaged = json.loads(json.dumps(state))
    damaged["rows"]["mixture"]["more"] = 2
    with pytest.raises(CheckpointMismatchError, match="rows.mixture.more"):
        load(of=damaged)


def test_states_of_other_sequences(tmp_path):
    path = tmp_path / "tokens.parquet"
    pq.write_table(pa.table({"ids": pa.array([list(range(50))] * 20, pa.list_(pa.int32()))}), path)

    def loader(seq_len):
        pack = Pack("ids", seq_len=seq_len, mode="wrap")
        return DataLoader(Mixture({"a": Source(path)}, tokens=640), pack=pack, batch_size=2)

    state = loader(16).state_dict()
    with pytest.raises(CheckpointMismatchError, match="seq_len of pack: saved 16, here 32"):
        loader(32).load_state_dict(state)
