"""Filters, samples and partitions under every law."""

import json
import warnings

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from support import examples, ids, reading, spec
from support.filtered import epoch

import shardline
from shardline import StructuredDataset

lines = st.fixed_dictionaries(
    {
        "shuffle": st.booleans(),
        "shuffle_buffer_size": st.sampled_from([None, 0, 5, 30]),
        "shuffle_strands": st.integers(1, 4),
        "split_rows": st.sampled_from([None, 1, 9]),
        "filters": st.sampled_from(
            [
                [("m", "<", 6)],
                [("m", "=", 3)],
                [("i", ">", 20)],
                [("m", "in", [0, 9]), ("i", "<", 70)],
                (pc.field("i") < 70) & (pc.bit_wise_and(pc.field("m"), 1) == 0),  # by pyarrow
                [("p", ">", 0), ("m", "<", 8)],  # folders rule files out
                (pc.field("p") == 1) | (pc.field("m") > 4),
                None,
            ]
        ),
        "subset": st.sampled_from([None, (0, 0.5), (0.3, 1.0)]),
    }
).filter(lambda line: line["filters"] is not None or line["subset"] is not None)
groups = st.lists(st.lists(st.integers(0, 30), max_size=4).map(tuple), min_size=1, max_size=3).map(tuple)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder of files with row numbers `i`, and `m`: the last digit of their squares' sum, without statistics.

    Each in a folder of its own, whose number `p` is the file's `f`.
    """
    made = {}

    def folder(sizes):
        if sizes not in made:
            made[sizes] = tmp_path_factory.mktemp("laws")
            start = 0
            for number, of_file in enumerate(sizes):
                schema = pa.schema([("i", pa.int64()), ("m", pa.int32()), ("f", pa.int32())])
                (made[sizes] / f"p={number}").mkdir()
                with pq.ParquetWriter(made[sizes] / f"p={number}" / "a.parquet", schema) as writer:
                    for size in of_file:
                        i = np.arange(start, start + size)
                        m = pa.array((i * i // 7) % 10, pa.int32())
                        f = pa.array(np.full(size, number, "i4"))
                        writer.write_table(pa.table({"i": i, "m": m, "f": f}), row_group_size=max(1, size))
                        start += size
        return made[sizes]

    return folder


def open_job(path, plan, line, ranks, multiple, batch_size, drop_last=False):
    where = {"path": path} if plan is None else {"plan": plan}
    options = {"num_ranks": ranks, "num_shards": ranks * multiple, "batch_size": batch_size, "drop_last": drop_last}
    options |= {"columns": ["i", "f", "p"], "partitioning": "hive"}
    options |= reading(ranks, multiple, batch_size, 0 if plan is None else 5)
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
        assert all(batch["p"].tolist() == batch["f"].tolist() for batch in batches)
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
    if line["subset"] is None:
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
    path, plan, begun, state, found = folders(sizes), None, None, None, []
    for number, (ranks, batch_size, steps) in enumerate(history):
        datasets = open_job(path, plan, line, ranks, 1, batch_size)
        plan = datasets[0].plan
        begun = begun or datasets[0].state_dict()
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
    (whole,) = open_job(path, plan, line, 1, 1, 1)
    whole.load_state_dict(begun)
    line_rows = epoch(whole)
    left = [line_rows[p] for start, stop in datasets[0].left_out() for p in range(start, stop)]
    assert sorted([row for batch in found for row in batch] + left) == sorted(line_rows)


@examples(80)
@given(groups, lines, lines, st.booleans(), st.integers(1, 6), st.integers(0, 5))
def test_law_6_a_state_of_other_rows_is_refused_or_goes_on_exactly(folders, sizes, line, other, same, batch_size, stop):
    path, other = folders(sizes), line if same else other
    (whole,) = open_job(path, None, line, 1, 1, batch_size)
    wanted = run([whole], None)
    assume(stop < len(wanted))
    (first,) = open_job(path, None, line, 1, 1, batch_size)
    assert run([first], stop) == wanted[:stop]
    (second,) = open_job(path, None, other, 1, 1, batch_size)
    try:
        second.load_state_dict(first.state_dict())
    except shardline.CheckpointMismatchError:
        assert repr(line) != repr(other)
    else:
        assert run([second], None) == wanted[stop:]


@examples(60)
@given(groups, lines, st.integers(1, 4), st.integers(1, 7), st.integers(0, 2))
def test_the_order_is_as_specified(folders, sizes, line, shards, batch, at):
    path = folders(sizes)
    (dataset,) = open_job(path, None, line, 1, shards, batch)
    files, listed, starts, start = [], [], {}, 0
    planned = {name for name, _, _ in dataset.plan.files()}
    for file in sorted(path.rglob("*.parquet")):
        meta, name = pq.read_metadata(file), file.relative_to(path).as_posix()
        groups = list(map(meta.row_group, range(meta.num_row_groups)))
        for number, group in enumerate(groups):
            starts[name, number] = start
            start += group.num_rows
        if name in planned:
            files.append([spec.group_of(group) for group in groups])
            listed += [(name, number) for number in range(len(groups))]
    (unshuffled,) = open_job(path, dataset.plan, {**line, "shuffle": False}, 1, 1, 1)
    numbers = {place: [] for place in listed}
    for step in range(len(unshuffled)):
        ((name, group, row, _),) = unshuffled.rows_at(step, resolve=True)
        numbers[name, group].append(row)
    counts = iter([len(numbers[place]) for place in listed])
    files = [[group._replace(passing=next(counts)) for group in of] for of in files]
    settings = spec.Settings(
        shuffle=line["shuffle"],
        seed=42,
        buffer_rows=line["shuffle_buffer_size"],
        strands=line["shuffle_strands"],
        split_rows=line["split_rows"],
    )
    rows = [(*listed[g], r) for g, r in spec.line(files, settings, at, spec.resolve(files, settings, shards))]
    expected = [[rows[p] for p in positions] for positions in spec.batches(len(rows), shards, batch, False)]
    found = [
        [(n, g, r) for n, g, a, b in dataset.rows_at(step, epoch=at) for r in range(a, b)]
        for step in range(len(expected))
    ]
    assert found == expected
    dataset.set_epoch(at)
    assert ids(dataset) == [[starts[n, g] + numbers[n, g][r] for n, g, r in rows] for rows in expected]
