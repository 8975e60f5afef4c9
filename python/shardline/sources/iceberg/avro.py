"""Some fields of the records of an Avro file, by pyiceberg's reader.

pyiceberg's own reading under a smaller schema cannot leave lists and maps out. Here the reader that it makes for the
schema of the file is told which fields to keep; the others, statistics of columns above all, are skipped.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

from shardline.errors import ShardlineValueError

if TYPE_CHECKING:
    from pyiceberg.avro.reader import StructReader
    from pyiceberg.schema import Schema


def records(
    location: str,
    data: bytes,
    wanted: Sequence[int],
    inner: Mapping[int, Sequence[int]] | None = None,
    see: Callable[["Schema"], None] | None = None,
) -> Iterator[Any]:
    """The records of a file.

    Args:
        location: Where it is, for messages.
        data: Its bytes.
        wanted: The ids of the fields, in the order in which each record has them; None for one that the file lacks.
        inner: By the id of a field that is a record itself: the fields of that. Others have all of theirs.
        see: Called with the file's schema, before the first record.

    Raises:
        ShardlineValueError: It is damaged.
    """
    try:
        from pyiceberg.avro.decoder import new_decoder
        from pyiceberg.avro.file import AvroFile

        with AvroFile[Any](_Bytes(data)) as file:
            if see is not None:
                see(file.schema)
            reader = _pruned(file.reader, wanted, inner or {})
            codec, blocks = file.header.compression_codec(), file.decoder
            # The blocks are read here: AvroFile takes the end of a file that was cut short for the end of its records.
            while blocks.tell() < len(data):
                count, block = blocks.read_int(), blocks.read_bytes()
                if blocks.read(len(file.header.sync)) != file.header.sync:
                    raise ValueError("a block does not end as it should")
                rows = new_decoder(block if codec is None else codec.decompress(block))
                for _ in range(count):
                    yield reader.read(rows)
    except Exception as error:  # the decoder's, of any kind
        what = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise ShardlineValueError(
            f"{location}: this manifest of the Iceberg table is damaged ({what}): restore it, or give another snapshot"
        ) from error


def _pruned(reader: "StructReader", wanted: Sequence[int], inner: Mapping[int, Sequence[int]]) -> "StructReader":
    from pyiceberg.avro.reader import NoneReader, StructReader

    places = {number: place for place, number in enumerate(wanted)}
    readers: list[tuple[int | None, Any]] = []
    for field, (_, each) in zip(reader.struct.fields, reader.field_readers, strict=True):
        if field.field_id in inner:
            each = _pruned(each, inner[field.field_id], {})
        place = places.pop(field.field_id, None)
        readers.append((place, _Unwanted(each) if place is None else each))
    readers += [(place, NoneReader()) for place in places.values()]
    return StructReader(tuple(readers), reader.create_struct, reader.struct)


class _Unwanted:
    """The reader of a field that is not kept: pyiceberg reads maps several times as fast as it skips them."""

    def __init__(self, reader: Any) -> None:
        self.skip = reader.read


class _Bytes:
    """A file for AvroFile."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def open(self, seekable: bool = True) -> BytesIO:
        return BytesIO(self._data)
