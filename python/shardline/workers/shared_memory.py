"""A batch in one block of shared memory: packed on one side, views of it on the other.

A block is anonymous memory (no name in /dev/shm, so nothing is left behind by a process that is killed, and no limit of
its own in a container); once both sides have mapped it, neither holds a descriptor. It goes when its last mapping goes.
"""

import io
import os
import pickle
import tempfile
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import torch

from shardline.errors import ShardlineTypeError

_ALIGN = 64
_PAGE = 65_536
_CPU = torch.device("cpu")  # said everywhere: the program may have set another default
_HAS_NAMES: Callable[[torch.Tensor], bool] | None = getattr(torch.Tensor, "has_names", None)

Bytes = np.ndarray[Any, np.dtype[np.uint8]]
Place = tuple[int, int]
"""(offset, bytes) in a block."""


class Columns(NamedTuple):
    """A layout: a dict of plain tensors, each (dtype, shape, offset)."""

    keys: tuple[str, ...]
    tensors: tuple[tuple[torch.dtype, torch.Size, int], ...]


class Pickled(NamedTuple):
    """A layout: any object, pickled, its large buffers beside it."""

    pickle: Place
    buffers: tuple[Place, ...]


BatchLayout = Columns | Pickled
"""Where in a block the parts of a batch lie."""


def new_memory(size: int) -> int:
    """A descriptor of anonymous memory, which the caller closes."""
    if hasattr(os, "memfd_create"):
        handle = os.memfd_create("shardline", os.MFD_CLOEXEC)
    else:  # macOS
        with tempfile.TemporaryFile() as file:
            handle = os.dup(file.fileno())
    os.ftruncate(handle, size)
    return handle


def round_up(size: int) -> int:
    """The bytes of a block for `size` bytes: one of a few sizes, so that batches that differ a little find one.

    >>> round_up(1), round_up(3_000_000), round_up(round_up(3_000_000))
    (65536, 3145728, 3145728)
    """
    step = max(_PAGE, 1 << max(0, size.bit_length() - 4))
    return -(-size // step) * step


class SharedBlock:
    """Shared memory, mapped here. `memory` is all of it; batches are made over leases of it."""

    __slots__ = ("address", "memory", "number", "size")

    def __init__(self, number: int, handle: int, size: int) -> None:
        self.number = number
        self.size = size
        storage = torch.UntypedStorage.from_file(f"/dev/fd/{handle}", True, size)  # keeps no descriptor, as mmap does
        self.memory: Bytes = torch.empty(0, dtype=torch.uint8, device=_CPU).set_(cast(Any, storage)).numpy()
        self.address: int = self.memory.ctypes.data

    def read(self, place: Place) -> bytes:
        """A copy of what lies there."""
        offset, size = place
        return self.memory[offset : offset + size].tobytes()

    def write(self, offset: int, data: bytes) -> Place:
        """Puts `data` there; returns its place."""
        self.memory[offset : offset + len(data)] = np.frombuffer(data, np.uint8)
        return offset, len(data)

    def lease(self, ended: Callable[[Any], None] | None = None) -> tuple[Bytes, weakref.ref[Bytes]]:
        """(an array over the block, a reference that dies with the last view made of that array)."""
        lease = self.memory[:]
        return lease, weakref.ref(lease, ended)


def is_plain(value: Any) -> bool:
    """Whether a tensor is nothing but its values: it can be rebuilt from dtype, shape and bytes."""
    return (
        type(value) is torch.Tensor
        and _is_strided(value)
        and value.is_contiguous()
        and not value.is_conj()
        and not value.is_neg()
    )


def _is_strided(value: torch.Tensor) -> bool:
    """Whether a tensor is values in memory of the CPU, and no more: neither quantized, nor named, nor nested."""
    return (
        value.is_cpu
        and value.layout is torch.strided
        and not value.is_nested
        and not value.requires_grad
        and not value.is_quantized
        and not (_HAS_NAMES and _HAS_NAMES(value))
    )


class BatchPacker:
    """A value about to be packed: its leaves, and what becomes of them in a block."""

    def __init__(self, value: Any) -> None:
        self._keys: tuple[str, ...] | None = None
        self._tensors: list[torch.Tensor] = []
        self._arrays: list[Bytes] = []
        if type(value) is dict and value and all(map(is_plain, value.values())) and _all_text(value):
            self._keys = tuple(value)
            self._tensors = list(value.values())
            return
        file, buffers = io.BytesIO(), list[pickle.PickleBuffer]()
        _Pickler(file, buffers).dump(value)
        self._arrays = [np.frombuffer(raw, np.uint8) for raw in (file.getbuffer(), *(b.raw() for b in buffers))]

    def place(self, start: int, within: SharedBlock | None = None) -> tuple[BatchLayout, int]:
        """(the layout, the end) when packed from `start` on; leaves that lie in `within` stay where they are."""
        low, high = (within.address, within.address + within.size) if within is not None else (0, 0)
        end = start
        if self._keys is not None:
            tensors = []
            for tensor in self._tensors:
                offset = tensor.data_ptr() - low
                if not low <= tensor.data_ptr() < high:
                    offset, end = end, _aligned(end + tensor.nbytes)
                tensors.append((tensor.dtype, tensor.shape, offset))
            return Columns(self._keys, tuple(tensors)), end
        places = []
        for array in self._arrays:
            offset = array.ctypes.data - low
            if not (low <= array.ctypes.data < high and array.size):
                offset, end = end, _aligned(end + array.size)
            places.append((offset, array.size))
        return Pickled(places[0], tuple(places[1:])), end

    def copy(self, block: SharedBlock, layout: BatchLayout, within: SharedBlock | None = None) -> None:
        """Copies the leaves to their places."""
        low, high = (within.address, within.address + within.size) if within is not None else (0, 0)
        if isinstance(layout, Columns):
            to, source = [], []
            for tensor, (dtype, shape, offset) in zip(self._tensors, layout.tensors, strict=True):
                if not low <= tensor.data_ptr() < high and tensor.nbytes:
                    to.append(_tensor(block.memory, dtype, shape, offset))
                    source.append(tensor)
            if to:
                torch._foreach_copy_(to, source)
            return
        for array, (offset, size) in zip(self._arrays, (layout.pickle, *layout.buffers), strict=True):
            if not low <= array.ctypes.data < high:
                block.memory[offset : offset + size] = array


def unpack(layout: BatchLayout, lease: Bytes) -> Any:
    """The value, its tensors and arrays views of the lease."""
    if isinstance(layout, Columns):
        return {
            key: _tensor(lease, dtype, shape, offset)
            for key, (dtype, shape, offset) in zip(layout.keys, layout.tensors, strict=True)
        }
    view = memoryview(cast(Any, lease))
    offset, size = layout.pickle
    return pickle.loads(view[offset : offset + size], buffers=[view[at : at + n] for at, n in layout.buffers])


def _tensor(memory: Any, dtype: torch.dtype, shape: torch.Size, offset: int) -> torch.Tensor:
    """A view that has its own version counter, so that writing to it in place concerns no other."""
    count = shape.numel()
    if not count:
        return torch.empty(shape, dtype=dtype, device=_CPU)
    tensor = torch.frombuffer(memory, dtype=dtype, count=count, offset=offset)
    return tensor if len(shape) == 1 else tensor.view(shape)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGN) * _ALIGN


def _all_text(value: dict[Any, Any]) -> bool:
    return all(type(key) is str for key in value)


class _Pickler(pickle.Pickler):
    """Protocol 5 with its buffers kept out; tensors and Arrow data become buffers too."""

    def __init__(self, file: io.BytesIO, buffers: list[pickle.PickleBuffer]) -> None:
        def collect(buffer: pickle.PickleBuffer) -> None:
            buffers.append(buffer)

        super().__init__(file, protocol=5, buffer_callback=collect)

    def reducer_override(self, value: Any) -> Any:
        kind = type(value)
        if isinstance(value, torch.Tensor):
            if value.requires_grad and not value.is_leaf:
                raise ShardlineTypeError(
                    "a tensor that requires grad and was computed from others cannot leave a worker process, for what "
                    "it was computed from stays there: return tensor.detach(), or compute under torch.no_grad()"
                )
            if kind is torch.Tensor and value.requires_grad:
                return torch.Tensor.requires_grad_, (value.detach(),)
            if kind is torch.Tensor and _is_strided(value):
                return _reduce_strided(value)
            if _is_plain_jagged(value):
                return torch.nested.nested_tensor_from_jagged, (value.values(), cast(Any, value).offsets())
        elif kind in (pa.RecordBatch, pa.Table):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, value.schema) as writer:
                writer.write(value)
            return _arrow, (pickle.PickleBuffer(sink.getvalue()), kind is pa.Table)
        return NotImplemented


def _is_plain_jagged(value: Any) -> bool:
    """Whether a tensor is its values and offsets and nothing else."""
    if not (value.is_nested and value.layout is torch.jagged and value.is_cpu and not value.requires_grad):
        return False
    return value.lengths() is None and getattr(value, "_ragged_idx", 1) == 1


def _reduce_strided(tensor: torch.Tensor) -> Any:
    """Strides are kept where the tensor is dense (channels_last, transposed), as torch keeps them in a copy."""
    tensor = tensor.resolve_conj().resolve_neg()
    shape, strides = tuple(tensor.shape), None
    if not tensor.numel():
        return _empty, (tensor.dtype, shape)
    if not tensor.is_contiguous():
        tensor = torch.empty_like(tensor, memory_format=torch.preserve_format).copy_(tensor)
        strides = tensor.stride()
    # Not `view(-1)`: a single value is contiguous whatever its stride.
    data: Any = tensor.as_strided((tensor.numel(),), (1,)).view(torch.uint8).numpy()
    return _strided, (pickle.PickleBuffer(data), tensor.dtype, shape, strides)


def _strided(buffer: Any, dtype: torch.dtype, shape: tuple[int, ...], strides: tuple[int, ...] | None) -> torch.Tensor:
    flat = torch.frombuffer(buffer, dtype=dtype)
    return flat.view(shape) if strides is None else flat.as_strided(shape, strides)


def _empty(dtype: torch.dtype, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device=_CPU)


def _arrow(buffer: Any, table: bool) -> Any:
    with pa.ipc.open_stream(pa.py_buffer(buffer)) as reader:
        return reader.read_all() if table else reader.read_next_batch()
