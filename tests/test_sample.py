"""`sample=` and `subset=`: fractions of every row group, chosen by a key of their own, counted without reading."""

import itertools
import json
import shutil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support import examples, ids, spec, write_rows

import shardline
from shardline import DataLoader, Plan, StructuredDataset

groups = st.lists(st.lists(st.integers(0, 25), max_size=4).map(tuple), min_size=1, max_size=3).map(tuple)
fractions = st.one_of(st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]), st.floats(0, 1))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder(sizes):
        if sizes not in made:
            made[sizes] = write_rows(tmp_path_factory.mktemp("sample"), [list(of_file) for of_file in sizes])
        return made[sizes]

    return folder


def rows_of(path, **options):
    """The rows of an epoch; none where the sample is empty, which is an error of its own."""
    try:
        dataset = StructuredDataset(path, batch_size=5, columns=["i"], **options)
    except shardline.ShardlineValueError as error:
        if "no row passes" in str(error):
            return []
        raise
    return [row for batch in ids(dataset) for row in batch]


@examples(150)
@given(groups.filter(lambda g: sum(map(sum, g))), st.lists(fractions, max_size=4), st.integers(0, 2**64 - 1))
def test_splits_are_disjoint_and_complete_and_as_specified(folders, sizes, cuts, seed):
    path = folders(sizes)
    cuts = sorted({0.0, 1.0, *cuts})
    files = Plan.build([str(path)], num_threads=1).files()
    whole = []
    for low, high in itertools.pairwise(cuts):
        found = rows_of(path, subset=(low, high), sample_seed=seed)
        expected, start = [], 0
        for (_, _, digest), of_file in zip(files, sizes, strict=True):
            for group, rows in enumerate(of_file):
                expected += [start + row for row in spec.sample(rows, int(digest, 16), group, low, high, seed)]
                start += rows
        assert found == expected
        whole += found
    assert sorted(whole) == list(range(sum(map(sum, sizes))))


def test_it_depends_on_nothing_but_its_seed_and_the_data(tmp_path):
    path = write_rows(tmp_path / "a", [[40, 60], [50]])
    shutil.copytree(path, tmp_path / "b/elsewhere")
    wanted = rows_of(path, sample=0.3)
    assert 43 <= len(wanted) <= 48
    for options in ({"shuffle": True}, {"shuffle": True, "shuffle_seed": 9}, {"num_threads": 3}, {"split_rows": 10}):
        assert sorted(rows_of(path, sample=0.3, **options)) == wanted
    assert rows_of(tmp_path / "b/elsewhere", subset=(0, 0.3)) == wanted
    assert rows_of(path, sample=0.3, sample_seed=1) != wanted
    assert set(wanted) < set(rows_of(path, sample=0.6)), "a larger sample holds a smaller"
    dataset = StructuredDataset(path, batch_size=5, sample=0.3, shuffle=True)
    assert sorted(row for batch in ids(dataset) for row in batch) == wanted
    first = ids(dataset)
    dataset.set_epoch(5)
    assert sorted(row for batch in ids(dataset) for row in batch) == wanted, "the same rows in every epoch"
    assert ids(dataset) != first


def test_nothing_is_read_to_count(tmp_path):
    path = write_rows(tmp_path, [[1000]])
    part = path / "part-0000.parquet"
    data = bytearray(part.read_bytes())
    data[4 : len(data) // 3] = bytes(len(data) // 3 - 4)  # pages that nobody can read
    part.write_bytes(data)
    assert len(StructuredDataset(path, batch_size=10, sample=0.25)) == 25


def test_rows_at_and_lists_and_strands(tmp_path):
    path = write_rows(tmp_path, [[300], [200, 5]])
    dataset = StructuredDataset(path, batch_size=7, subset=(0.2, 0.7), shuffle=True, shuffle_buffer_size=64)
    starts = {("part-0000.parquet", 0): 0, ("part-0001.parquet", 0): 300, ("part-0001.parquet", 1): 500}
    for step, batch in enumerate(ids(dataset)):
        listed = dataset.rows_at(step, epoch=0, resolve=True)
        assert [starts[name, group] + row for name, group, a, b in listed for row in range(a, b)] == batch
        among = dataset.rows_at(step, epoch=0)
        assert sum(b - a for *_, a, b in among) == len(batch)


def test_the_state_names_what_differs(tmp_path):
    path = write_rows(tmp_path, [[100]])
    dataset = StructuredDataset(path, batch_size=5, subset=(0.2, 0.8), sample_seed=3)
    state = json.loads(json.dumps(dataset.state_at(4)))
    assert state["rows"]["sample"] == {"version": 1, "columns": None, "low": 0.2, "high": 0.8, "seed": 3}
    torch.save(state, tmp_path / "state.pt")
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert "0.2 to 0.8" in shardline.describe(state)
    other = StructuredDataset(path, batch_size=5, subset=(0.2, 0.8), sample_seed=3)
    other.load_state_dict(state)
    assert ids(other) == ids(dataset)[4:]
    for options, words in [
        ({}, "subset \\(from\\): saved 0.2, here None"),
        ({"subset": (0.2, 0.9), "sample_seed": 3}, "saved 0.8, here 0.9"),
        ({"subset": (0.2, 0.8)}, "sample_seed: saved 3, here 0"),
    ]:
        with pytest.raises(shardline.CheckpointMismatchError, match=words):
            StructuredDataset(path, batch_size=5, **options).load_state_dict(state)
    broken = {**state, "rows": {**state["rows"], "sample": {"low": "x"}}}
    with pytest.raises(shardline.CheckpointMismatchError, match=r"sample.low.*\n.*sample.high"):
        other.load_state_dict(broken)


def test_a_plan_keeps_its_sample(tmp_path):
    path = write_rows(tmp_path / "d", [[100]])
    dataset = StructuredDataset(path, batch_size=5, sample=0.5)
    dataset.plan.save(tmp_path / "plan")
    loaded = Plan.load(tmp_path / "plan")
    assert loaded == dataset.plan
    assert ids(StructuredDataset(plan=loaded, batch_size=5, sample=0.5)) == ids(dataset)
    for options in ({}, {"sample": 0.4}, {"sample": 0.5, "sample_seed": 1}):
        with pytest.raises(shardline.ShardlineValueError, match="plan was made for other rows"):
            StructuredDataset(plan=loaded, batch_size=5, **options)
    whole = StructuredDataset(path, batch_size=5).plan  # one of all rows serves any sample
    assert ids(StructuredDataset(plan=whole, batch_size=5, sample=0.5)) == ids(dataset)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"sample": 1.5}, ValueError, "sample must be between 0 and 1"),
        ({"sample": float("nan")}, ValueError, "sample must be between"),
        ({"sample": 0}, ValueError, "holds no row"),
        ({"sample": "x"}, TypeError, "sample must be a fraction"),
        ({"subset": 0.5}, TypeError, "two fractions"),
        ({"subset": (0.5, 0.5)}, ValueError, "holds no row"),
        ({"subset": (0.9, 0.1)}, ValueError, "holds no row"),
        ({"subset": (0, 2)}, ValueError, "subset must be between"),
        ({"sample": 0.1, "subset": (0, 0.1)}, ValueError, "one of them"),
        ({"sample": 0.1, "sample_seed": -1}, ValueError, "sample_seed"),
        ({"sample": 1e-9}, ValueError, "no row passes subset=.*none of the 100 in 3 files"),
    ],
)
def test_wrong_fractions(hundred, options, kind, words):
    with pytest.raises(kind, match=words) as caught:
        DataLoader(hundred, **options)
    assert isinstance(caught.value, shardline.ShardlineError)
