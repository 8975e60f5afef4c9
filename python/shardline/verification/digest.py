"""Digests of what a batch holds, bit for bit: types, shapes and values, one digest a key.

NaNs of other bits, -0.0 and 0.0, or int32 and int64 are not the same. Strides, devices and the memory that a value
lies in play no part.

>>> one, same, other = torch.tensor([0.0, 1.0]), torch.tensor([[0.0, 9.0], [1.0, 9.0]])[:, 0], torch.tensor([-0.0, 1.0])
>>> digests({"x": one}) == digests({"x": same}), digests({"x": one}) == digests({"x": other})
(True, False)
"""

import dataclasses
import hashlib
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch

Digests = dict[str, bytes]
"""By key of a batch; the one of a batch that is no mapping, and has no columns, is ""."""
_Take = Callable[[Any], None]
_SCALARS = (str, bytes, bool, int, float, complex, type(None))


def digests(batch: Any) -> Digests:
    """One digest a key."""
    if isinstance(batch, (pa.RecordBatch, pa.Table)):
        batch = {name: batch.column(number) for number, name in enumerate(batch.schema.names)}
    if not isinstance(batch, Mapping):
        return {"": digest(batch)}
    return {str(key): digest(value) for key, value in batch.items()}


def digest(value: Any) -> bytes:
    """Of any value."""
    hashed = hashlib.blake2b(digest_size=16)

    def take(part: Any) -> None:
        # Each part behind its length: no two lists of parts make the same bytes.
        part = part.encode("utf-8", "surrogatepass") if isinstance(part, str) else memoryview(part).cast("B")
        hashed.update(len(part).to_bytes(8, "little"))
        hashed.update(part)

    _walk(value, take)
    return hashed.digest()


def _walk(value: Any, take: _Take) -> None:
    take(type(value).__name__)
    if isinstance(value, torch.Tensor):
        _tensor(value, take)
    elif isinstance(value, np.ndarray):
        _array(value, take)
    elif isinstance(value, np.generic):
        _array(np.asarray(value), take)
    elif isinstance(value, (pa.Array, pa.ChunkedArray)):
        _arrow(value.combine_chunks() if isinstance(value, pa.ChunkedArray) else value, take)
    elif isinstance(value, (pa.RecordBatch, pa.Table)):
        _walk(dict(zip(value.schema.names, value.columns, strict=True)), take)
    elif isinstance(value, _SCALARS):
        take(value if isinstance(value, bytes) else repr(value))
    elif isinstance(value, Mapping):
        take(f"{len(value)} keys")
        for key, each in value.items():
            _walk(key, take)
            _walk(each, take)
    elif isinstance(value, (list, tuple)):
        take(f"{len(value)} items")
        for each in value:
            _walk(each, take)
    elif isinstance(value, (set, frozenset)):
        for each in sorted(digest(each) for each in value):
            take(each)
    elif dataclasses.is_dataclass(value):
        _walk({each.name: getattr(value, each.name) for each in dataclasses.fields(value)}, take)
    elif getattr(value, "__dict__", None):
        _walk(vars(value), take)
    else:
        take(pickle.dumps(value, protocol=5))


def _tensor(tensor: torch.Tensor, take: _Take) -> None:
    take(f"{tensor.dtype} {tensor.layout} {tensor.is_nested}")
    if tensor.is_nested:
        for row in tensor.unbind():
            _tensor(row, take)
        return
    take(repr(tuple(tensor.shape)))
    if tensor.is_meta:
        return
    if tensor.is_quantized:
        take(repr((tensor.qscheme(), tensor.q_scale(), tensor.q_zero_point())))
        tensor = tensor.int_repr()
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    plain = tensor.detach().resolve_conj().resolve_neg().cpu().contiguous()
    take(plain.reshape(-1).view(torch.uint8).numpy() if plain.numel() else b"")


def _array(array: Any, take: _Take) -> None:
    take(f"{array.dtype} {array.shape}")
    if array.dtype.hasobject:
        for each in array.ravel().tolist():
            _walk(each, take)
    else:
        take(np.frombuffer(array.tobytes(), np.uint8))


def _arrow(array: Any, take: _Take) -> None:
    """The values, and which of them are null; what memory holds under a null plays no part."""
    take(f"{array.type} {len(array)}")
    if isinstance(array, pa.ExtensionArray):
        array = array.storage
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    kind = array.type
    take(np.asarray(array.is_valid()).astype(np.uint8))
    if isinstance(kind, pa.StructType):
        valid = array.drop_null()
        for number in range(kind.num_fields):
            _arrow(valid.flatten()[number], take)
    elif isinstance(kind, (pa.ListType, pa.LargeListType, pa.FixedSizeListType)):
        valid = array.drop_null()
        take(np.asarray(valid.value_lengths(), np.int64))
        _arrow(valid.flatten(), take)
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        take(np.ascontiguousarray(array.drop_null().to_numpy(zero_copy_only=False)))
    else:
        take(repr(array.to_pylist()))
