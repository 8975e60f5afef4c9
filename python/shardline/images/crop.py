"""Which part of an image is delivered: all of it, its middle, or a random part as torchvision's RandomResizedCrop."""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

TRIES = 10
"""How often a random part is drawn, before the middle is taken."""


class Box(NamedTuple):
    """A part of an image, in pixels: from (left, top), as wide and as high."""

    left: int
    top: int
    width: int
    height: int


def center(width: int, height: int, ratio: float) -> Box:
    """The largest part in the middle whose width is `ratio` times its height.

    >>> center(400, 300, 1.0)
    Box(left=50, top=0, width=300, height=300)
    """
    across = min(width, max(1, round(height * ratio)))
    down = min(height, max(1, round(width / ratio)))
    return Box((width - across) // 2, (height - down) // 2, across, down)


def random(
    width: int,
    height: int,
    draws: Iterable[Sequence[float]],
    scale: tuple[float, float],
    ratio: tuple[float, float],
) -> Box:
    """A part with a random area (a share in `scale` of the image's), form (width / height in `ratio`) and place.

    `draws`: four numbers in [0, 1) for each try. Where none of the parts drawn is inside the image, the largest in the
    middle whose form is allowed.
    """
    low, high = (math.log(each) for each in ratio)
    for size, form, x, y in draws:
        area = width * height * (scale[0] + size * (scale[1] - scale[0]))
        aspect = math.exp(low + form * (high - low))
        across, down = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < across <= width and 0 < down <= height:
            return Box(int(x * (width - across + 1)), int(y * (height - down + 1)), across, down)
    return center(width, height, min(max(width / height, ratio[0]), ratio[1]))
