"""`Images`: the transform that makes tensors of a column of encoded images."""

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import torch

from shardline.errors import ColumnNotFoundError, RowError, ShardlineTypeError, ShardlineValueError
from shardline.images import crop as crops
from shardline.images.decode import decode, pillow
from shardline.options.cpu import usable_cores
from shardline.options.near import near
from shardline.options.validate import check_choice, check_int

MODES = {"RGB": 3, "L": 1}
_MOST = 2**14


class Images:
    """A `transform` that decodes a column of images: uint8 tensors of (batch, channels, height, width).

    The column holds the bytes of JPEG, PNG, WebP or other files that Pillow reads, or structs of `bytes` and `path` as
    Hugging Face's data sets have them: where `bytes` is null or empty, the file at `path` is read. Random parts and
    mirroring are drawn from torch's generator, which the loader seeds for each batch, so that a resumed run sees the
    same pixels.

    Args:
        column: The column, or the dotted path of a field.
        size: (height, width) of what is delivered, or one number for both.
        crop: Which part of an image is resized to `size`. None: all of it, whatever its form; "center": the largest
            part in the middle that has the form of `size`; "random": a random part, as torchvision's
            `RandomResizedCrop` takes it.
        scale: The least and the largest area of a random part, as a share of the image's.
        ratio: The least and the largest width of a random part, divided by its height.
        flip: How probable it is that an image is mirrored, from 0 to 1.
        mode: "RGB" for three channels, or "L" for one, gray.
        root: The folder that paths begin in.
        num_threads: How many images are decoded at a time. By default the cores that this process may use; one in a
            worker process.

    Raises:
        ShardlineTypeError: An argument has a wrong type.
        ShardlineValueError: An argument is out of its range.
        ShardlineImportError: Pillow is not installed.

    >>> import io, tempfile, PIL.Image, pyarrow as pa, pyarrow.parquet as pq
    >>> png = io.BytesIO()
    >>> PIL.Image.new("RGB", (40, 30), (255, 0, 0)).save(png, "PNG")
    >>> path = tempfile.mkdtemp() + "/x.parquet"
    >>> pq.write_table(pa.table({"image": [png.getvalue()] * 4, "label": [0, 1, 2, 3]}), path)
    >>> import shardline
    >>> loader = shardline.DataLoader(path, batch_size=2, transform=shardline.Images("image", size=24, crop="random"))
    >>> batch = next(iter(loader))
    >>> batch["image"].shape, batch["image"].dtype, batch["image"][0, :, 0, 0].tolist()
    (torch.Size([2, 3, 24, 24]), torch.uint8, [255, 0, 0])
    """

    def __init__(
        self,
        column: str,
        size: int | tuple[int, int],
        *,
        crop: Literal["center", "random"] | None = None,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        flip: float = 0.0,
        mode: Literal["RGB", "L"] = "RGB",
        root: str | os.PathLike[str] = ".",
        num_threads: int | None = None,
    ) -> None:
        if not isinstance(column, str):
            raise ShardlineTypeError(f"column must be the name of a column, not {column!r}")
        self.column = column
        height, width = size if isinstance(size, tuple) and len(size) == 2 else (size, size)
        self.size = (check_int("size", height, 1, _MOST), check_int("size", width, 1, _MOST))
        self.crop = check_choice("crop", crop, (None, "center", "random"))
        self.scale = _check_range("scale", scale, 1.0)
        self.ratio = _check_range("ratio", ratio, float("inf"))
        self.flip = _check_probability("flip", flip)
        self.mode = check_choice("mode", mode, tuple(MODES))
        self.root = Path(root)
        self.num_threads = None if num_threads is None else check_int("num_threads", num_threads, 1, 1024)
        self._pool: tuple[int, ThreadPoolExecutor] | None = None
        pillow()

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        """The batch with pixels in the place of the column.

        Raises:
            ColumnNotFoundError: The batch has no such column.
            RowError: An image cannot be read. The message names the file, the row group and the row.
        """
        files = list(self._files(batch))
        draws = torch.rand(len(files), crops.TRIES, 4).tolist() if self.crop == "random" else [()] * len(files)
        flips = (torch.rand(len(files)) < self.flip).tolist() if self.flip else [False] * len(files)
        pixels = np.empty((len(files), *self.size, MODES[self.mode]), np.uint8)

        def fill(row: int) -> None:
            pixels[row] = self._pixels(row, files, draws[row], flips[row])

        for _ in self._map(fill, len(files)):
            pass
        return {**batch, self.column: torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()}

    def _files(self, batch: Mapping[str, Any]) -> Iterator[tuple[Any, Any]]:
        """(bytes, path) of each row."""
        if not isinstance(batch, Mapping):
            raise ShardlineTypeError(f"Images takes a batch that is a dict of columns, not a {type(batch).__name__}")
        if self.column not in batch:
            keys = list(batch)
            shown = ", ".join(map(repr, keys[:20]))
            raise ColumnNotFoundError(f"the batch has no column {self.column!r}, but {shown}{near(self.column, keys)}")
        values = batch[self.column]
        if isinstance(values, pa.Array | pa.ChunkedArray):
            values = values.to_pylist()
        if isinstance(values, Mapping):
            paths = values.get("path") or [None] * len(values["bytes"])
            yield from zip(values["bytes"], paths, strict=True)
        elif isinstance(values, Sequence):
            for value in values:
                yield (value.get("bytes"), value.get("path")) if isinstance(value, Mapping) else (value, None)
        else:
            raise ShardlineTypeError(
                f"column {self.column!r} holds no encoded images, but a {type(values).__name__}: Images takes bytes, "
                "or structs of bytes and path"
            )

    def _pixels(self, row: int, files: Sequence[tuple[Any, Any]], draws: Any, flip: bool) -> np.ndarray:
        data, path = files[row]
        try:
            if not data and path:
                data = (self.root / path).read_bytes()
            if not isinstance(data, bytes):
                raise TypeError(f"not bytes, but a {type(data).__name__}")
            return decode(data, self.mode, self.size, partial(self._box, draws), flip)
        except Exception as error:
            what = f"column {self.column!r}, row {row} of the batch: no image that can be decoded ({_short(error)})"
            raise RowError(what, row, len(files)) from error

    def _box(self, draws: Any, width: int, height: int) -> crops.Box:
        if self.crop == "random":
            return crops.random(width, height, draws, self.scale, self.ratio)
        if self.crop == "center":
            return crops.center(width, height, self.size[1] / self.size[0])
        return crops.Box(0, 0, width, height)

    def _map(self, fill: Any, count: int) -> Iterator[None]:
        """Each row, on several threads if there are. The error is that of the first row that has one."""
        threads = self.num_threads
        if threads is None:
            threads = 1 if torch.utils.data.get_worker_info() is not None else usable_cores()
        if threads == 1:
            return map(fill, range(count))
        pid = os.getpid()
        if self._pool is None or self._pool[0] != pid:  # a fork has no threads
            self._pool = pid, ThreadPoolExecutor(threads, thread_name_prefix="shardline-images")
        return self._pool[1].map(fill, range(count))

    def __getstate__(self) -> dict[str, Any]:
        """Threads stay behind."""
        return {**self.__dict__, "_pool": None}

    def __repr__(self) -> str:
        crop = f", crop={self.crop!r}" if self.crop else ""
        return f"Images({self.column!r}, size={self.size}{crop})"


def _check_probability(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ShardlineValueError(f"{name} must be a probability, from 0 to 1, not {value!r}")
    return float(value)


def _check_range(name: str, value: Any, most: float) -> tuple[float, float]:
    try:
        low, high = value
        if 0 < low <= high <= most and high < float("inf"):
            return float(low), float(high)
    except (TypeError, ValueError):
        pass
    limit = f", at most {most:g}" if most < float("inf") else ""
    raise ShardlineValueError(f"{name} must be (least, largest), both above 0{limit}, not {value!r}")


def _short(error: Exception) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}"[:300]
