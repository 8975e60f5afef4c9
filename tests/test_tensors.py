"""Memory: who owns a batch's bytes, how long, and who sees a write."""

import gc

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from shardline import ColumnOptions, DataLoader


@pytest.fixture
def loader_of(tmp_path):
    """A loader over columns of several kinds: flat, nested fixed-size and ragged."""
    n = 4000
    rng = np.random.default_rng(0)
    lengths = rng.integers(0, 5, n)
    matrix = pa.FixedSizeListArray.from_arrays(
        pa.FixedSizeListArray.from_arrays(pa.array(np.arange(n * 6, dtype="f4")), 3), 2
    )
    table = pa.table(
        {
            "x": pa.array(np.arange(n, dtype="f4")),
            "flag": pa.array(np.arange(n) % 3 == 0),
            "m": matrix,
            "words": pa.ListArray.from_arrays(
                np.concatenate([[0], np.cumsum(lengths)]).astype("i4"), pa.array(np.arange(lengths.sum(), dtype="i8"))
            ),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=1500)
    return lambda **options: DataLoader(tmp_path, **{"batch_size": 64, **options})


def flat(value):
    """A tensor's numbers, of a jagged one its values."""
    return (value.values() if value.is_nested else value).clone()


@pytest.mark.parametrize("shuffle", [False, True])
def test_in_place_writes_reach_no_other_batch(loader_of, shuffle):
    wanted = [{name: flat(column) for name, column in batch.items()} for batch in loader_of(shuffle=shuffle)]
    kept = []
    for batch in loader_of(shuffle=shuffle):
        for column in batch.values():
            values = column.values() if column.is_nested else column
            values.zero_() if values.dtype == torch.bool else values.fill_(-1)
        kept.append(batch)
    for i in range(0, len(kept), 2):  # what was written into all does not show in those that come fresh
        assert all(bool((flat(c) <= 0).all()) for c in kept[i].values())
    again = list(loader_of(shuffle=shuffle))
    for batch in again[::2]:
        for column in batch.values():
            (column.values() if column.is_nested else column).zero_()
    for batch, values in list(zip(again, wanted, strict=True))[1::2]:
        for name, column in batch.items():
            assert torch.equal(flat(column), values[name])


def test_in_place_writes_bump_no_other_batchs_version(loader_of):
    batches = list(loader_of())[:4]
    before = [[c._version for c in batch.values() if not c.is_nested] for batch in batches]
    for column in batches[1].values():
        if not column.is_nested:
            column.zero_()
    assert [c._version for c in batches[1].values() if not c.is_nested] == [v + 1 for v in before[1]]
    for i in (0, 2, 3):
        assert [c._version for c in batches[i].values() if not c.is_nested] == before[i]


def test_autograd_keeps_what_it_saved_while_the_next_batch_is_changed(loader_of):
    first, second = [batch["x"] for batch in list(loader_of())[:2]]
    weight = torch.ones(64, requires_grad=True)
    loss = (weight * first).sum()
    second.mul_(2)
    loss.backward()
    assert torch.equal(weight.grad, first)


def test_batches_outlive_their_loader(loader_of):
    loader = loader_of(shuffle=True)
    iterator = iter(loader)
    batch = next(iterator)
    wanted = {name: flat(column) for name, column in batch.items()}
    del iterator, loader
    gc.collect()
    junk = [torch.full((1 << 16,), 7.0) for _ in range(50)]
    assert all(torch.equal(flat(batch[name]), wanted[name]) for name in batch)
    del junk


def test_batches_can_be_kept_in_any_number_and_order(loader_of):
    kept = list(loader_of())
    kept = kept[::-1][::3]
    gc.collect()
    for batch in kept:
        start = int(batch["x"][0])
        assert torch.equal(batch["x"], torch.arange(start, start + len(batch["x"]), dtype=torch.float32))


def test_batches_go_on_by_dlpack_without_a_copy(loader_of):
    batch = next(iter(loader_of()))
    array = np.from_dlpack(batch["x"])
    assert array.__array_interface__["data"][0] == batch["x"].data_ptr()
    batch["x"][0] = 99
    assert array[0] == 99


def test_neighbours_share_memory_but_no_byte(loader_of):
    spans = []
    batches = list(loader_of(columns=["x"]))
    for batch in batches:
        x = batch["x"]
        assert x.is_contiguous()
        spans.append((x.data_ptr(), x.data_ptr() + x.numel() * x.element_size()))
    spans.sort()
    assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))


def test_numpy_batches_are_writable_and_apart(loader_of):
    first, second = list(loader_of(output_format="numpy"))[:2]
    kept = second["x"].copy()
    first["x"][:] = -1
    assert (second["x"] == kept).all()
    values, offsets = first["words"]
    assert (len(offsets), offsets[0], offsets[-1]) == (65, 0, len(values))
    assert first["m"].shape == (64, 2, 3)
    assert first["flag"].dtype == bool


def test_shapes_and_dtypes(loader_of):
    batch = next(iter(loader_of()))
    assert (batch["x"].dtype, batch["x"].shape) == (torch.float32, (64,))
    assert (batch["flag"].dtype, batch["flag"].shape) == (torch.bool, (64,))
    assert (batch["m"].dtype, batch["m"].shape) == (torch.float32, (64, 2, 3))
    assert batch["words"].is_nested
    assert batch["words"].size(0) == 64
    assert batch["words"].layout == torch.jagged


def test_fixed_lists_are_matrices(tmp_path):
    pq.write_table(pa.table({"t": pa.array([[1, 2, 3]] * 10, pa.list_(pa.int32()))}), tmp_path / "t.parquet")
    options = {"t": ColumnOptions(lists="fixed")}
    batch = next(iter(DataLoader(tmp_path, batch_size=4, column_options=options)))
    assert batch["t"].shape == (4, 3)
    assert batch["t"].dtype == torch.int32
    assert batch["t"].tolist() == [[1, 2, 3]] * 4


def test_pin_memory_without_an_accelerator_is_torchs_no_op(loader_of):
    if torch.accelerator.is_available():
        assert next(iter(loader_of(pin_memory=True)))["x"].is_pinned()
    else:
        assert not next(iter(loader_of(pin_memory=True)))["x"].is_pinned()


def test_arrow_and_dict_batches(loader_of):
    arrow = list(loader_of(output_format="arrow"))
    assert all(isinstance(batch, pa.RecordBatch) for batch in arrow)
    assert arrow[0].schema.names == ["x", "flag", "m", "words"]
    plain = list(loader_of(output_format="dict"))
    assert [batch.to_pydict() for batch in arrow] == plain
    assert plain[0]["x"][:3] == [0.0, 1.0, 2.0]
