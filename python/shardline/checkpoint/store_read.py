"""Reading a checkpoint's files from a store: in ranges side by side, hashed in their order."""

import hashlib
import mmap
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from shardline._core import ObjectStore
from shardline.checkpoint.atomic_write import Written
from shardline.checkpoint.backend import Beat

_RANGE = 2**23
_AHEAD = 8


def download(
    store: ObjectStore, key: str, size: int, tag: str, beat: Beat, *, keep: bool
) -> tuple[mmap.mmap | bytes | None, Written]:
    """(the object in memory, where it is to be kept; what it holds)."""
    if size == 0:
        return b"" if keep else None, Written(0, hashlib.sha256().hexdigest())
    data, sha = mmap.mmap(-1, size) if keep else None, hashlib.sha256()
    starts = deque(range(0, size, _RANGE))
    waiting: deque[tuple[int, Future[bytes]]] = deque()
    with ThreadPoolExecutor(_AHEAD) as pool:
        while starts or waiting:
            while starts and len(waiting) < _AHEAD:
                start = starts.popleft()
                waiting.append((start, pool.submit(store.read, key, start, min(start + _RANGE, size), size, tag)))
            start, coming = waiting.popleft()
            piece = coming.result()
            sha.update(piece)
            if data is not None:
                data[start : start + len(piece)] = piece
            beat()
    return data, Written(size, sha.hexdigest())


def piece_reader(store: ObjectStore, folder: str, objects: Mapping[str, Any]) -> Any:
    """torch's reader of pieces, over these objects."""
    from shardline.checkpoint.dcp_store import PieceReader

    return PieceReader(store, folder, objects)
