"""The pixels of an encoded image, by Pillow: one decoder, so that the pixels are the same wherever a run goes on."""

import io
from collections.abc import Callable
from typing import Any

import numpy as np

from shardline.errors import ShardlineImportError
from shardline.images.crop import Box

Choose = Callable[[int, int], Box]
"""The part of an image of this width and height that is delivered."""


def pillow() -> Any:
    """The module `PIL.Image`.

    Raises:
        ShardlineImportError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ShardlineImportError("Images decodes with Pillow, which is not installed: pip install pillow") from error
    return Image


def decode(data: bytes, mode: str, size: tuple[int, int], choose: Choose, flip: bool) -> np.ndarray:
    """Pixels, uint8 of (height, width, channels): a part of the image, resized, mirrored where `flip`.

    The image is turned upright first, if its EXIF data say how.
    """
    image_module = pillow()
    from PIL import ImageOps

    with image_module.open(io.BytesIO(data)) as image:
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode != mode:
            upright = upright.convert(mode)
        box = choose(*upright.size)
        if box != (0, 0, *upright.size):
            upright = upright.crop((box.left, box.top, box.left + box.width, box.top + box.height))
        wanted = (size[1], size[0])
        if upright.size != wanted:
            upright = upright.resize(wanted, image_module.Resampling.BILINEAR)
        pixels = np.asarray(upright)
    if pixels.ndim == 2:
        pixels = pixels[:, :, None]
    return pixels[:, ::-1] if flip else pixels
