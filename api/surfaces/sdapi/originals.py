"""The pictures that a request begins with, scaled and masked as A1111 does it.

They become exactly as large as the pictures that are made, so that nothing is left to the worker to cut.
"""

from typing import cast

from PIL import Image, ImageChops, ImageFilter, ImageOps, ImageStat

from api.pictures import taken
from store.inputs import Upload
from store.pictures.masks import HALF

STRETCH, CROP, FILL, STRETCH_LATENTS = range(4)
"""The values of ``resize_mode``."""

Size = tuple[int, int]


def image(picture: Image.Image, size: Size, resize: int) -> Image.Image:
    """A picture in the size that is made, on white where it is transparent."""
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(white, picture.convert("RGBA"))
    return _sized(picture.convert("RGB"), size, resize, Image.Resampling.LANCZOS)


def mask(picture: Image.Image, size: Size, resize: int, *, invert: bool) -> Image.Image:
    """A mask (L) in the size that is made: 255 where the picture is painted. That is where it is light, or, unlike
    elsewhere, where it is opaque, if a part of it is transparent."""
    lights = picture.getchannel("A") if picture.mode == "RGBA" else picture.convert("L")
    made = _sized(lights, size, resize, Image.Resampling.NEAREST)
    return made.point([255 * ((value >= HALF) != invert) for value in range(256)])


def covered(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """A picture (RGB) that has the colours around the mask under it, in place of what was there."""
    kept = ImageChops.invert(mask)
    if not kept.getbbox():
        return picture
    mean = ImageStat.Stat(picture, kept).mean
    made = Image.new("RGBA", picture.size, (*map(round, mean), 255))
    holed = picture.copy()
    holed.putalpha(kept)
    weighted = holed.convert("RGBa")  # premultiplied, so that a blur mixes only colours that are kept
    for share in (4, 16, 64):  # far colours first, near ones over them
        made.alpha_composite(weighted.filter(ImageFilter.GaussianBlur(max(picture.size) / share)).convert("RGBA"))
    made.alpha_composite(holed)
    return made.convert("RGB")


def begin(
    picture: Upload, masked: Upload | None, size: Size, resize: int, *, invert: bool, cover: bool
) -> dict[str, Upload]:
    """What a job starts from; blocks.

    Args:
        picture: as it was sent.
        masked: the mask, likewise.
        size: of the pictures that are made.
        resize: see there.
        invert: whether the mask says what is kept.
        cover: whether the painting begins with the colours around the mask.
    """
    made = image(taken.opened(picture.png), size, resize)
    if masked is None:
        return {"image": taken.upload_of(made)}
    where = mask(taken.opened(masked.png), size, resize, invert=invert)
    return {"image": taken.upload_of(covered(made, where) if cover else made), "mask": taken.upload_of(where)}


def _sized(picture: Image.Image, size: Size, resize: int, by: Image.Resampling) -> Image.Image:
    if resize == CROP:
        return ImageOps.fit(picture, size, by)
    if resize == FILL:
        return _padded(ImageOps.contain(picture, size, by), size)
    return picture.resize(size, by)


def _padded(picture: Image.Image, size: Size) -> Image.Image:
    """A picture in the middle of a larger one, whose first and last row or column go on to the border."""
    width, height = picture.size
    left, top = (size[0] - width) // 2, (size[1] - height) // 2
    made = Image.new(picture.mode, size)
    for edge, border in (
        ((0, 0, 1, height), (0, 0, left, size[1])),
        ((width - 1, 0, width, height), (left + width, 0, size[0], size[1])),
        ((0, 0, width, 1), (0, 0, size[0], top)),
        ((0, height - 1, width, height), (0, top + height, size[0], size[1])),
    ):
        across = cast("Size", (border[2] - border[0], border[3] - border[1]))
        if all(across):
            made.paste(picture.crop(edge).resize(across, Image.Resampling.NEAREST), border)
    made.paste(picture, (left, top))
    return made
