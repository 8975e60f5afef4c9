"""The log of a Delta table in a store, copied to this machine.

deltalake does not find the files of deletion vectors under a URL with a space or another character that URLs encode. Of
such a table shardline fetches log and vectors, with its retries and credentials, and deltalake reads the copy.
"""

import re
import shutil
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import mkdtemp
from urllib.parse import quote

from shardline._core import ObjectStore, Storage
from shardline.errors import ShardlineFileNotFoundError
from shardline.options.storage import is_remote

_AHEAD = 8
"""Objects fetched at a time."""
_LOG = "_delta_log/"
_VECTOR = re.compile(r"(?:.*/)?deletion_vector_[^/]*\.bin")


def needs_copy(root: str) -> bool:
    """Whether deltalake would not find the vectors of the table at this place.

    >>> needs_copy("s3://bucket/a table"), needs_copy("s3://bucket/table"), needs_copy("/a table")
    (True, False, False)
    """
    return is_remote(root) and quote(root, safe="/:") != root


class LogCopy:
    """A directory that has all of a table but its data, for as long as it is referred to."""

    def __init__(self, root: str, storage: Storage) -> None:
        """Fetches it.

        Raises:
            ShardlineFileNotFoundError: An object was removed meanwhile.
            ShardlineOSError: The store does not answer.
        """
        self.place = mkdtemp(prefix="shardline-delta-")
        weakref.finalize(self, shutil.rmtree, self.place, ignore_errors=True)
        store = ObjectStore(storage, root)

        def fetch(key: str) -> None:
            data = store.get(key)
            if data is None:
                raise ShardlineFileNotFoundError(f"{root}/{key}: there is no such object any more: try again")
            place = Path(self.place, key)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)

        store.open()
        try:
            keys = [key for key, *_ in store.list("") if key.startswith(_LOG) or _VECTOR.fullmatch(key)]
            with ThreadPoolExecutor(_AHEAD) as pool:
                list(pool.map(fetch, keys))
        finally:
            store.close()
