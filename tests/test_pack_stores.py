"""Packed sequences of files in a store: the same batches, counts and origins as of the same files here."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support import packs
from support.packed import SHUFFLES, check, groups_of, pack_of, write_many
from support.store import Fault, Store, open_store

import shardline
from shardline import Pack, StructuredDataset


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    return write_many(tmp_path_factory.mktemp("many"))


def listed(dataset):
    return [{name: getattr(v, "tolist", lambda v=v: v)() for name, v in batch.items()} for batch in dataset]


@pytest.mark.parametrize("count", ["footers", "lists"])
@pytest.mark.parametrize("filters", [None, [("row", ">", 100)]])
@pytest.mark.parametrize("shuffle", SHUFFLES)
def test_the_batches_are_those_of_the_same_files_here(many, shuffle, filters, count):
    path, _ = many
    pack = Pack("ids", seq_len=64, mode="wrap", bos=1, eos=2, labels="next", extra_token=True, count=count)
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


@pytest.mark.parametrize("prefetch", [1, "1MiB", "64MiB"])
@pytest.mark.parametrize("shuffle", [{}, {"shuffle": True, "shuffle_buffer_size": 100, "num_shards": 2}])
def test_a_column_beside_others_is_fetched_once(tmp_path, prefetch, shuffle):
    """Sequences that begin in one row group end in the next, and no more is fetched than the column, about once."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(100, 400, 6000)
    lists = pa.ListArray.from_arrays(
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32),
        pa.array(rng.integers(0, 2**31 - 1, lengths.sum()).astype(np.int32)),
    )
    table = pa.table({"skipped": rng.random(6000), "ids": lists, "row": np.arange(6000)})
    (tmp_path / "data").mkdir()
    for number in range(2):
        part = table.slice(number * 3000, 3000)
        pq.write_table(part, tmp_path / f"data/{number}.parquet", row_group_size=700, compression="none")
    pack = packs.Pack(1000, eos=5)
    with Store(tmp_path / "data") as store:
        dataset = open_store(store, pack=pack_of(pack), batch_size=16, prefetch_bytes=prefetch, **shuffle)
        before = len(store.requests)
        batches = list(dataset)
        fetched = sum(r.range[1] - r.range[0] + 1 for r in store.requests[before:] if r.range)
        assert sum(batch["num_tokens"] for batch in batches) == lengths.sum() + 6000
        column = 4 * int(lengths.sum())
        assert fetched < 1.3 * (3 if shuffle else 1) * column, f"{fetched} bytes for a column of {column}"
    if not shuffle:
        line = packs.token_line([lists.slice(i, 700).to_pylist() for i in range(0, 2000, 700)], pack)
        for number, batch in enumerate(batches[:5]):
            check(batch, [packs.block(line, n, pack) for n in range(16 * number, 16 * number + 16)], pack)


def test_a_store_that_fails_is_asked_again(many):
    path, _ = many
    options = {"pack": Pack("ids", seq_len=64, mode="wrap", count="lists"), "batch_size": 5, "shuffle": True}
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
