"""What a mask means: where a picture is painted anew."""

from typing import cast

from PIL import Image

# Of 255: from here on a mask paints where it is light, and below it a picture counts as transparent.
HALF = 128


def has_holes(picture: Image.Image) -> bool:
    """Whether a picture is transparent somewhere."""
    return "A" in picture.getbands() and extremes(picture.getchannel("A"))[0] < HALF


def mask_of(picture: Image.Image) -> Image.Image:
    """A mask (L): 255 where it paints. That is where a picture is transparent, or, if it is not, where it is light."""
    if "A" in picture.getbands() and extremes(holes := picture.getchannel("A")) != (255, 255):
        return holes.point([255 * (value < HALF) for value in range(256)])
    return picture.convert("L").point([255 * (value >= HALF) for value in range(256)])


def extremes(channel: Image.Image) -> tuple[int, int]:
    """The least and the greatest value of an image with one channel."""
    return cast("tuple[int, int]", channel.getextrema())
