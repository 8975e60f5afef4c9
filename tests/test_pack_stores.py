"""Packed sequences of files in a store: the same batches, counts and origins as of the same files here."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import packs
from support.packed import SHUFFLES, check, groups_of, model, pack_of, write_many
from support.store import Fault, Store, open_store

import shardline
from shardline import Pack, StructuredDataset


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return write_many(tmp_path_factory.mktemp("many"))


def listed(dataset):
    return [{name: getattr(v, "tolist", lambda v=v: v)() for name, v in batch.items()} for batch in dataset]


@pytest.mark.parametrize("mode", ["wrap", "fit"])
@pytest.mark.parametrize("count", ["footers", "lists"])
@pytest.mark.parametrize("filters", [None, [("row", ">", 100)]])
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_the_batches_are_those_of_the_same_files_here(many, shuffle, filters, count, mode):
    path, _ = many
    pack = Pack("ids", seq_len=64, mode=mode, bos=1, eos=2, labels="next", extra_token=True, count=count)
    options = {"pack": pack, "batch_size": 5, "filters": filters, **shuffle, "shuffle_seed": 7}
    options = options if shuffle else {k: v for k, v in options.items() if k != "shuffle_seed"}
    with Store(path) as store:
        here, there = StructuredDataset(path, **options), open_store(store, **options)
        assert there.plan == here.plan
        assert there.plan.tokens == here.plan.tokens
        assert listed(there) == listed(here)
        assert there.state_dict() == here.state_dict()
        assert there.rows_at(3) == here.rows_at(3)
        state = here.state_at(5, epoch=1)
        there.load_state_dict(state)
        here.load_state_dict(state)
        assert listed(there) == listed(here)


def test_footers_tell_tokens_without_a_page(many):
    path, files = many
    with Store(path) as store:
        before = store.count("GET")
        plain = open_store(store)
        of_footers = store.count("GET") - before
        before = store.count("GET")
        dataset = open_store(store, pack=Pack("ids", seq_len=64, mode="wrap"))
        assert dataset.plan.tokens[2] == len(packs.token_line(groups_of(files), packs.Pack(64)))
        # A footer is parsed again, with the levels that it counts: a request more a file at most.
        assert store.count("GET") - before <= of_footers + plain.plan.num_files


SHUFFLED = {"shuffle": True, "shuffle_buffer_bytes": 1_000_000, "shuffle_seed": 3}


@pytest.mark.parametrize(
    ("shuffle", "prefetch"),
    [({}, 1), ({}, "1MiB"), ({}, "64MiB"), (SHUFFLED, "8MiB"), (SHUFFLED, "64MiB")],
)
def test_as_much_is_fetched_as_for_the_lists(tmp_path, shuffle, prefetch):
    """Sequences end in the row group behind the one that they begin in; yet little more is fetched than for lists."""
    rng, rows = np.random.default_rng(1), 20_000
    lengths = rng.integers(100, 400, rows)
    lists = pa.ListArray.from_arrays(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        pa.array(rng.integers(0, 30_000, lengths.sum()).astype(np.int32)),
    )
    table = pa.table({"skipped": rng.random(rows), "ids": lists, "row": np.arange(rows)})
    (tmp_path / "data").mkdir()
    for number in range(2):
        part = table.slice(number * rows // 2, rows // 2)
        options = {"row_group_size": rows // 8, "compression": "none", "use_dictionary": False}
        pq.write_table(part, tmp_path / f"data/{number}.parquet", **options)
    pack = packs.Pack(1000, eos=5)
    with Store(tmp_path / "data") as store:

        def fetched(**options):
            dataset = open_store(store, prefetch_bytes=prefetch, **options, **shuffle)
            before = len(store.requests)
            batches = list(dataset)
            return batches, sum(r.range[1] - r.range[0] for r in store.requests[before:] if r.range)

        _, of_lists = fetched(columns=["ids"], batch_size=64)
        batches, of_packs = fetched(pack=pack_of(pack), batch_size=16)
    assert sum(batch["num_tokens"] for batch in batches) == lengths.sum() + rows
    assert of_packs < 1.3 * of_lists, f"{of_packs} bytes, and {of_lists} for the lists"
    if not shuffle:
        found = model([[lists.slice(i, 700).to_pylist() for i in range(0, 2000, 700)]], pack)
        for number, batch in enumerate(batches[:5]):
            check(batch, found.blocks[16 * number : 16 * number + 16], pack)


@pytest.mark.parametrize("mode", ["wrap", "fit"])
def test_a_store_that_fails_is_asked_again(many, mode):
    path, _ = many
    options = {"pack": Pack("ids", seq_len=64, mode=mode, count="lists"), "batch_size": 5, "shuffle": True}
    expected = listed(StructuredDataset(path, shuffle_seed=1, **options))
    with Store(path) as store:
        kinds = ("reset", 503, "cut", "short")
        store.faults = lambda request: None if request.number % 3 else Fault(kinds[request.number // 3 % 4])
        assert listed(open_store(store, shuffle_seed=1, **options)) == expected
        store.faults = lambda request: None
        dataset = open_store(store, **options)
        store.objects["data/001.parquet"] = store.objects["data/000.parquet"]
        with pytest.raises(shardline.FileChangedError, match=r"001\.parquet"):
            list(dataset)
