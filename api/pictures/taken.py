"""Pictures that clients send: what is taken of them is their pixels, as a PNG of 8 bits without anything else in it.

Everything that a file can hide (metadata, a second file behind the first, a frame behind the frame) is gone then. The
size is known before anything is decoded.
"""

import io
import warnings
from collections.abc import Callable
from hashlib import sha256
from typing import NamedTuple, TypeVar, TypeVarTuple, Unpack

import anyio
import anyio.to_thread
from PIL import Image, ImageOps, UnidentifiedImageError

from store.inputs import Upload
from store.pictures import masks
from store.pictures.masks import extremes

# The beginning of a file of each format that is taken, and of some that are not, for the message.
TAKEN = {"PNG": b"\x89PNG\r\n\x1a\n", "JPEG": b"\xff\xd8\xff", "WEBP": b"RIFF"}
OTHERS = {
    "GIF": (b"GIF8",), "BMP": (b"BM",), "TIFF": (b"II*\0", b"MM\0*"), "SVG": (b"<svg", b"<?xml"), "PDF": (b"%PDF",),
    "ZIP": (b"PK\x03\x04",), "HTML": (b"<!DOC", b"<!doc", b"<html"),
}  # fmt: skip
MEDIA_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}
# Of which clients send pictures without knowing what they are.
ANY_TYPE = ("", "application/octet-stream", "image/*", "binary/octet-stream")
LONGEST_SIDE = 16_384
AT_ONCE = 2  # decoded by a process at the same time, each in a thread

T = TypeVar("T")
Args = TypeVarTuple("Args")

_turns: list[anyio.CapacityLimiter] = []


class NotAPicture(ValueError):
    """Nothing that can be taken. The message goes on where the name of a field ends, and says what to change."""


class Limits(NamedTuple):
    """What a picture may have: bytes of its file, and pixels."""

    bytes: int
    pixels: int


async def take(data: bytes, limits: Limits, media_type: str = "") -> Upload:
    """The picture in a file, in a thread.

    Args:
        data: a PNG, JPEG or WebP.
        limits: of it.
        media_type: what the client calls it.

    Raises:
        NotAPicture: see there.
    """
    return await in_thread(taken, data, limits, media_type)


async def in_thread(work: Callable[[Unpack[Args]], T], *args: *Args) -> T:
    """Work on pictures, of which few are worked on at once."""
    if not _turns:
        _turns.append(anyio.CapacityLimiter(AT_ONCE))
    return await anyio.to_thread.run_sync(work, *args, limiter=_turns[0])


def taken(data: bytes, limits: Limits, media_type: str = "") -> Upload:
    """See `take`; blocks."""
    if not data:
        raise NotAPicture("is empty: send a PNG, JPEG or WebP")
    if len(data) > limits.bytes:
        raise NotAPicture(f"has {len(data)} bytes, and may have {limits.bytes}: send a smaller picture")
    form = _format(data)
    called = media_type.partition(";")[0].strip().lower().replace("image/jpg", "image/jpeg")
    if called not in (*ANY_TYPE, MEDIA_TYPES[form]):
        raise NotAPicture(f"is called {called[:100]} and is a {form}: call it {MEDIA_TYPES[form]}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about metadata that is dropped, and sizes that are checked here
            picture = Image.open(io.BytesIO(data), formats=[form])
            width, height = picture.size
            if max(width, height) > LONGEST_SIDE or width * height > limits.pixels:
                raise NotAPicture(
                    f"has {width} x {height} pixels, and may have {limits.pixels} together and {LONGEST_SIDE} along a "
                    "side: send it smaller"
                )
            if form != "JPEG" and getattr(picture, "n_frames", 1) > 1:
                raise NotAPicture("moves: send one of its frames")
            picture.load()
            return upload_of(_plain(ImageOps.exif_transpose(picture)))
    except NotAPicture:
        raise
    except Image.DecompressionBombError as error:
        raise NotAPicture(f"has more than the {limits.pixels} pixels that it may have: send it smaller") from error
    except (UnidentifiedImageError, MemoryError) as error:
        raise NotAPicture(f"cannot be read as a {form}: {_short(error)}") from error
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        raise NotAPicture(f"is a damaged {form}: {_short(error)}") from error


def upload_of(picture: Image.Image) -> Upload:
    """A picture, to be stored as a PNG."""
    out = io.BytesIO()
    picture.save(out, "PNG")
    return Upload(sha256(out.getvalue()).hexdigest(), out.getvalue(), *picture.size)


def opened(png: bytes) -> Image.Image:
    """A picture that was taken."""
    return Image.open(io.BytesIO(png), formats=["PNG"])


def size(png: bytes) -> tuple[int, int]:
    """Width and height of a PNG, from its head."""
    with opened(png) as picture:
        return picture.size


def has_holes(png: bytes) -> bool:
    """Whether a picture that was taken is transparent somewhere."""
    with opened(png) as picture:
        return masks.has_holes(picture)


def paints(png: bytes) -> bool:
    """Whether a mask paints anything."""
    with opened(png) as picture:
        return extremes(masks.mask_of(picture))[1] == 255


def mask_from_holes(png: bytes) -> Upload:
    """A mask that paints where a picture that has holes is transparent."""
    with opened(png) as picture:
        return upload_of(masks.mask_of(picture))


def _format(data: bytes) -> str:
    for form, magic in TAKEN.items():
        if data.startswith(magic) and (form != "WEBP" or data[8:12] == b"WEBP"):
            return form
    start = data[:16].lstrip()
    for form, magics in OTHERS.items():
        if start.startswith(magics):
            raise NotAPicture(f"is a {form}: send a PNG, JPEG or WebP")
    raise NotAPicture("is no PNG, JPEG or WebP")


def _plain(picture: Image.Image) -> Image.Image:
    """The pixels as RGB, or RGBA if some are transparent; a new image, to which nothing is attached."""
    if picture.mode.startswith("I") or picture.mode == "F":  # 16 bits of grey
        picture = picture.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    transparent = picture.has_transparency_data
    made = picture.convert("RGBA" if transparent else "RGB")
    if transparent and extremes(made.getchannel("A"))[0] == 255:
        made = made.convert("RGB")
    clean = Image.new(made.mode, made.size)
    clean.paste(made)
    return clean


def _short(error: BaseException) -> str:
    text = " ".join((str(error) or type(error).__name__).split())
    return text if len(text) < 120 else text[:117] + "..."
