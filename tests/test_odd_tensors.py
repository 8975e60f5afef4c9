"""What a transform may return that is not plain tensors: each comes out of a worker as it is, or is an error."""

import warnings

import pytest
import torch
from support import functions as f
from support import write_rows
from support.worked import make, plain

import shardline
from shardline.workers.shared_memory import BatchPacker, SharedBlock, new_memory, round_up, unpack

pytestmark = [pytest.mark.timeout(100), pytest.mark.filterwarnings("ignore")]


class Sub(torch.Tensor):
    """A subclass, with something of its own."""


def sub():
    tensor = torch.ones(3).as_subclass(Sub)
    tensor.note = "kept"
    return tensor


def jagged(values, offsets=(0, 1, 4), **options):
    return torch.nested.nested_tensor_from_jagged(values, torch.tensor(offsets), **options)


KINDS = {
    "quantized": lambda: torch.quantize_per_tensor(torch.arange(4.0), 0.1, 3, torch.quint8),
    "quantized by channel": lambda: torch.quantize_per_channel(
        torch.ones(4, 2), torch.ones(2), torch.zeros(2, dtype=torch.long), 1, torch.qint8
    ),
    "quantized, a view": lambda: torch.quantize_per_tensor(torch.arange(9.0).view(3, 3), 0.1, 3, torch.qint8).t(),
    "coo": lambda: torch.eye(3).to_sparse(),
    "coo, not coalesced": lambda: torch.sparse_coo_tensor([[0, 0]], [1.0, 2.0], (3,)),
    "coo that requires grad": lambda: torch.eye(3).to_sparse().requires_grad_(),
    "csr": lambda: torch.eye(3).to_sparse_csr(),
    "csc": lambda: torch.eye(3).to_sparse_csc(),
    "bsr": lambda: torch.eye(4).to_sparse_bsr((2, 2)),
    "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
    "jagged": lambda: jagged(torch.arange(4.0)),
    "jagged that requires grad": lambda: jagged(torch.arange(4.0)).detach().requires_grad_(),
    "jagged with holes": lambda: jagged(torch.arange(8.0), (0, 4, 8), lengths=torch.tensor([2, 3])),
    "jagged, transposed": lambda: jagged(torch.ones(4, 3)).transpose(1, 2),
    "meta": lambda: torch.empty(3, device="meta"),
    "conjugated": lambda: torch.tensor([1 + 2j, 3j]).conj(),
    "negated": lambda: torch.tensor([1 + 2j, 3j]).conj().imag,
    "one value, negated": lambda: torch.tensor([1 + 2j]).conj().imag,
    "one value of many": lambda: torch.arange(6)[4::3],
    "subclass": sub,
    "parameter": lambda: torch.nn.Parameter(torch.ones(3)),
    "requires grad": lambda: torch.ones(3, requires_grad=True),
    "no dimension": lambda: torch.tensor(3.0),
    "expanded": lambda: torch.arange(3).expand(4, 3),
    "overlapping": lambda: torch.arange(6).unfold(0, 3, 1),
    "empty": lambda: torch.ones(0, 3).t(),
    "float8": lambda: torch.ones(4).to(torch.float8_e4m3fn),
    "uint64": lambda: torch.tensor([2**63], dtype=torch.uint64),
    "complex32": lambda: torch.ones(4).to(torch.complex32),
    "of inference": lambda: torch.inference_mode()(lambda: torch.ones(3))(),
    "masked": lambda: torch.masked.masked_tensor(torch.ones(3), torch.tensor([True, False, True])),
}


def through(value):
    """As it comes out of a block."""
    packer = BatchPacker(value)
    layout, end = packer.place(0)
    block = SharedBlock(1, new_memory(round_up(end)), round_up(end))
    packer.copy(block, layout)
    return unpack(layout, block.lease()[0])


def about(tensor):
    """What a tensor is, beside its values."""
    sizes = "of its own" if tensor.is_nested else tensor.shape
    quantized = (tensor.qscheme(), tensor.is_quantized) if tensor.is_quantized else None
    kind = (type(tensor), tensor.dtype, tensor.layout, tensor.device, tensor.requires_grad)
    return (*kind, sizes, quantized, getattr(tensor, "note", None))


@pytest.mark.parametrize("where", [lambda tensor: {"x": tensor}, lambda tensor: {"x": tensor, 3: "not text"}])
@pytest.mark.parametrize("kind", KINDS)
def test_a_tensor_is_what_it_was(kind, where):
    tensor = KINDS[kind]()
    found = through(where(tensor))["x"]
    assert about(found) == about(tensor)
    if tensor.is_meta:
        return
    if tensor.is_nested:
        assert all(map(torch.equal, found.unbind(), tensor.unbind()))
    elif kind == "masked":
        assert str(found) == str(tensor)
    else:
        dense = (
            one.detach().to_dense() if one.layout is not torch.strided else one.detach() for one in (found, tensor)
        )
        found, tensor = (one.int_repr() if one.is_quantized else one.resolve_conj().resolve_neg() for one in dense)
        # A block lays values out anew: strides may differ where they say nothing.
        assert found.shape == tensor.shape
        assert found.tolist() == tensor.tolist()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_rows(tmp_path_factory.mktemp("odd") / "data", [[8]])


def odd(batch):
    """All of them that can be compared by their text."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return {kind: KINDS[kind]() for kind in KINDS if kind not in ("meta", "jagged that requires grad")}


def test_all_of_them_from_a_worker(data):
    (here,) = make(data, 0, transform=odd, batch_size=8)
    (there,) = make(data, 1, "fork", transform=odd, batch_size=8)
    assert {kind: about(one) for kind, one in there.items()} == {kind: about(one) for kind, one in here.items()}


def computed(batch):
    return {"x": batch["x"].requires_grad_() * 2}


def opaque(batch):
    return {"x": torch.ones(3, 3).to_mkldnn()}


@pytest.mark.parametrize(("transform", "words"), [(computed, r"detach\(\)"), (opaque, "Opaque")])
def test_what_cannot_leave_a_worker_is_an_error_that_names_it(data, transform, words):
    with pytest.raises(Exception, match=rf"(?s)shardline worker 0 .*batch 0 of epoch 0.*{words}"):
        list(make(data, 1, "fork", transform=transform, batch_size=8))


def test_a_computed_tensor_without_workers_keeps_its_history(data):
    (batch,) = make(data, 0, transform=computed, batch_size=8)
    assert batch["x"].grad_fn is not None


# torch's global switches


def on_device(name):
    torch.set_default_device(name)
    return lambda: torch.set_default_device(None)


def of_dtype(dtype):
    torch.set_default_dtype(dtype)
    return lambda: torch.set_default_dtype(torch.float32)


def deterministic():
    torch.use_deterministic_algorithms(True)
    return lambda: torch.use_deterministic_algorithms(False)


def inference():
    mode = torch.inference_mode()
    mode.__enter__()
    return lambda: mode.__exit__(None, None, None)


SWITCHES = {
    "default device": lambda: on_device("meta"),
    "default dtype": lambda: of_dtype(torch.float64),
    "deterministic": deterministic,
    "inference": inference,
}


def seen(loader):
    return [{key: (plain(value), value.is_inference()) for key, value in batch.items()} for batch in loader]


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("switch", SWITCHES)
def test_torchs_global_switches_change_no_batch(tmp_path, switch, workers):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from shardline.reading import jagged as of_lists

    rows = {"i": range(40), "x": [k / 2 for k in range(40)], "l": [list(range(k % 4)) for k in range(40)]}
    pq.write_table(pa.table(rows), tmp_path / "x.parquet")
    options = {"transform": f.identity, "batch_size": 8}
    expected = seen(make(tmp_path, 0, **options))
    of_lists.maker.cache_clear()
    undo = SWITCHES[switch]()
    try:
        found = seen(make(tmp_path, workers, "fork", **options))
    finally:
        undo()
    assert found == expected
    torch.ones(1, requires_grad=True).mul(next(iter(make(tmp_path, 0, **options)))["x"]).sum().backward()


@pytest.mark.parametrize("switch", SWITCHES)
def test_torchs_global_switches_change_no_checkpoint(tmp_path, switch):
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.Adam(model.parameters())
    generator = torch.Generator().manual_seed(3)
    torch.optim.Adam.step(optimizer)
    checkpointer = shardline.Checkpointer(
        tmp_path, model=model, optimizer=optimizer, extra={"a": 1}, generators={"own": generator}
    )
    undo = SWITCHES[switch]()
    try:
        checkpointer.save(1)
        drawn = torch.rand(1, generator=generator, device="cpu"), torch.rand(1, device="cpu")
        checkpointer.restore()
        again = torch.rand(1, generator=generator, device="cpu"), torch.rand(1, device="cpu")
    finally:
        undo()
    assert all(map(torch.equal, drawn, again))
    assert not any(parameter.is_inference() or parameter.is_meta for parameter in model.parameters())
