"""Jagged tensors are what torch's public function makes, whichever way they are made."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from shardline import DataLoader
from shardline.reading import jagged


@pytest.fixture(params=["direct", "public"])
def make(request, monkeypatch):
    """What makes jagged tensors, on a torch whose class agrees with its function, and on one whose class does not."""
    from torch.nested._internal import nested_tensor

    if request.param == "public":

        class Other(nested_tensor.NestedTensor):
            """A class that knows one thing more."""

            def __init__(self, values, offsets, **more):
                super().__init__(values, offsets, **more)
                self.also = True

        monkeypatch.setattr(nested_tensor, "NestedTensor", Other)
        # The function makes those that it always made.
        monkeypatch.setattr(nested_tensor, "_dummy_instance", nested_tensor._nt_view_dummy())
    jagged.maker.cache_clear()
    yield jagged.maker()
    jagged.maker.cache_clear()


def test_the_class_is_used_where_it_agrees(make, request):
    direct = request.node.callspec.params["make"] == "direct"
    assert (make is jagged.public) != direct


@pytest.mark.parametrize("gone", [False, True])
def test_a_class_that_is_gone_or_raises_is_not_used(monkeypatch, gone):
    from torch.nested._internal import nested_tensor

    def broken(values, offsets):
        raise TypeError("another signature")

    if gone:
        monkeypatch.delattr(nested_tensor, "NestedTensor")
    else:
        monkeypatch.setattr(nested_tensor, "NestedTensor", broken)
    # Torch's own goes through that class.
    monkeypatch.setattr(jagged, "public", lambda values, offsets: values)
    jagged.maker.cache_clear()
    assert jagged.maker() is jagged.public
    jagged.maker.cache_clear()


@pytest.mark.parametrize("offsets", [torch.int32, torch.int64])
@pytest.mark.parametrize("shape", [(), (3,), (2, 4)])
def test_they_compute_and_differentiate_alike(make, offsets, shape):
    results = []
    for of in (make, jagged.public):
        values = torch.arange(5 * torch.Size(shape).numel(), dtype=torch.float32).reshape(5, *shape)
        tensor = of(values, torch.tensor([0, 2, 2, 5], dtype=offsets))
        weight = torch.ones((), requires_grad=True)
        (tensor * weight).values().sum().backward()
        gradient = of(values.clone(), torch.tensor([0, 2, 2, 5], dtype=offsets)).requires_grad_()
        (gradient * 3).values().sum().backward()
        tensor.mul_(2)
        rest = [weight.grad, gradient.grad.values(), values, tensor.values(), tensor.to(torch.float64).values()]
        results.append([*rest, torch.nested.to_padded_tensor(tensor, -1.0), *tensor.unbind()])
    assert all(torch.equal(a, b) for a, b in zip(*results, strict=True))


def test_batches_have_them(make, tmp_path):
    lists = [[i] * (i % 4) for i in range(100)]
    pq.write_table(pa.table({"t": pa.array(lists, pa.list_(pa.int32()))}), tmp_path / "t.parquet")
    got = [row.tolist() for batch in DataLoader(tmp_path, batch_size=7) for row in batch["t"].unbind()]
    assert got == lists
