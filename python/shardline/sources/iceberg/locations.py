"""The locations of a table's files, as a table writes them."""

import posixpath
import re
from collections.abc import Sequence

from shardline.errors import ShardlineValueError
from shardline.options.storage import SCHEMES

_SAME = {"s3a": "s3", "s3n": "s3", "gcs": "gs"}
_BASE = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://[^/]*")
_FILE = re.compile(r"file:(?://(?:localhost)?)?(?=/)", re.IGNORECASE)


def normalized(location: str) -> str:
    """A location as shardline names it: a local path, or a URL whose scheme is the usual one of its store.

    Raises:
        ShardlineValueError: It is in a store that shardline does not read.

    >>> normalized("file:/tmp/t/a.parquet"), normalized("s3a://b/t/a b.parquet")
    ('/tmp/t/a.parquet', 's3://b/t/a b.parquet')
    """
    if local := _FILE.match(location):
        return location[local.end() :]
    match = _BASE.match(location)
    if match is None:
        return location
    scheme = match[1].lower()
    scheme = _SAME.get(scheme, scheme)
    if scheme not in SCHEMES:
        raise ShardlineValueError(
            f"{location}: this file of an Iceberg table is in a store that shardline does not read ({scheme}://)"
        )
    return f"{scheme}{location[len(match[1]) :]}"


def base_of(place: str) -> str:
    """The store and bucket of a normalized location; "" for local files.

    >>> base_of("s3://bucket/a/b"), base_of("/a/b")
    ('s3://bucket', '')
    """
    match = _BASE.match(place)
    return match[0] if match else ""


def common_root(places: Sequence[str], location: str) -> str:
    """The directory that files are named under: the table's, where all are in it, else the lowest that all are in.

    Args:
        places: Normalized locations of files, at least one.
        location: The table's own.

    Raises:
        ShardlineValueError: They are in two stores or buckets.

    >>> common_root(["/w/t/data/a", "/w/t/data/b"], "/w/t"), common_root(["/w/u/a", "/w/t/b"], "/w/t")
    ('/w/t', '/w')
    """
    location = location.rstrip("/")
    if all(place.startswith(f"{location}/") for place in places):
        return location
    bases = sorted({base_of(place) for place in places})
    if len(bases) > 1:
        raise ShardlineValueError(
            f"the data files of the Iceberg table at {location} are in {len(bases)} stores or buckets "
            f"({', '.join(base or 'this machine' for base in bases[:3])}), and shardline reads tables of one: rewrite "
            "the table's files (rewrite_data_files)"
        )
    (base,) = bases
    folders = [posixpath.dirname(place.removeprefix(base)) for place in places]
    return f"{base}{posixpath.commonpath(folders)}"
