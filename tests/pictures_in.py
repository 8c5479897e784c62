"""Pictures as clients send them, and files that are none."""

import io
import struct
import zlib
from collections.abc import Callable
from typing import Any

from PIL import Image, ImageDraw


def picture(width: int = 64, height: int = 64, mode: str = "RGB", form: str = "PNG", **options: Any) -> bytes:
    """A disc on a ground, as a file."""
    made = Image.new("RGB", (width, height), (40, 90, 160))
    ImageDraw.Draw(made).ellipse((width // 8, height // 8, width * 5 // 8, height * 5 // 8), (230, 60, 60))
    return saved(made.convert(mode), form, **options)


def saved(made: Image.Image, form: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    made.save(out, form, **options)
    return out.getvalue()


def mask(width: int = 64, height: int = 64, share: float = 0.5) -> bytes:
    """White on this share of its left."""
    made = Image.new("L", (width, height), 0)
    made.paste(255, (0, 0, round(width * share), height))
    return saved(made)


def holed(width: int = 64, height: int = 64) -> bytes:
    """A picture whose left half is transparent."""
    made = Image.open(io.BytesIO(picture(width, height))).convert("RGBA")
    made.paste((0, 0, 0, 0), (0, 0, width // 2, height))
    return saved(made)


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, *more: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG whose compressed data may be anything."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def moving(form: str) -> bytes:
    frames = [Image.new("RGB", (16, 16), (shade, 0, 0)) for shade in (10, 200)]
    return saved(frames[0], form, save_all=True, append_images=frames[1:])


def sixteen_bits() -> bytes:
    made = Image.new("I;16", (64, 64), 40_000)
    return saved(made)


def palette(transparent: bool) -> bytes:
    made = Image.open(io.BytesIO(picture())).quantize(8)
    return saved(made, transparency=0) if transparent else saved(made)


def turned() -> bytes:
    """A JPEG whose metadata says that it is to be turned by a quarter, with the place where it was taken."""
    made = Image.open(io.BytesIO(picture(96, 64)))
    exif = made.getexif()
    exif[0x0112], exif[0x010E] = 6, "a secret place"
    exif.get_ifd(0x8825)[2] = (52.0, 31.0, 12.0)
    return saved(made, "JPEG", exif=exif)


# What is taken, with the size and the bands of what is kept.
GOOD: dict[str, tuple[Callable[[], bytes], tuple[int, int], str]] = {
    "PNG": (picture, (64, 64), "RGB"),
    "JPEG": (lambda: picture(form="JPEG"), (64, 64), "RGB"),
    "WebP": (lambda: picture(form="WEBP"), (64, 64), "RGB"),
    "WebP without loss, transparent": (lambda: saved(Image.new("RGBA", (9, 7), (1, 2, 3, 4)), "WEBP"), (9, 7), "RGBA"),
    "one pixel": (lambda: picture(1, 1), (1, 1), "RGB"),
    "one row": (lambda: picture(500, 1), (500, 1), "RGB"),
    "grey": (lambda: picture(mode="L"), (64, 64), "RGB"),
    "grey, transparent": (lambda: saved(Image.new("LA", (8, 8), (9, 100))), (8, 8), "RGBA"),
    "one bit": (lambda: picture(mode="1"), (64, 64), "RGB"),
    "16 bits": (sixteen_bits, (64, 64), "RGB"),
    "palette": (lambda: palette(False), (64, 64), "RGB"),
    "palette, transparent": (lambda: palette(True), (64, 64), "RGBA"),
    "CMYK": (lambda: picture(mode="CMYK", form="JPEG"), (64, 64), "RGB"),
    "opaque alpha": (lambda: picture(mode="RGBA"), (64, 64), "RGB"),
    "progressive": (lambda: picture(form="JPEG", progressive=True), (64, 64), "RGB"),
    "turned": (turned, (64, 96), "RGB"),
    "a ZIP behind it": (lambda: picture() + b"PK\x03\x04" + bytes(500), (64, 64), "RGB"),
    "a page behind it": (lambda: picture(form="JPEG") + b"<script>alert(1)</script>", (64, 64), "RGB"),
}
BOMB = zlib.compress(bytes(30_000_000), 9)
# What is refused, with a part of the message.
BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "nothing": (lambda: b"", "is empty"),
    "a text": (lambda: b"hello, I am a picture", "is no PNG, JPEG or WebP"),
    "zeros": (lambda: bytes(1000), "is no PNG, JPEG or WebP"),
    "GIF": (lambda: picture(form="GIF"), "is a GIF: send a PNG"),
    "moving GIF": (lambda: moving("GIF"), "is a GIF"),
    "BMP": (lambda: picture(form="BMP"), "is a BMP"),
    "TIFF": (lambda: picture(form="TIFF"), "is a TIFF"),
    "SVG": (lambda: b'<svg xmlns="http://www.w3.org/2000/svg"/>', "is a SVG"),
    "SVG with a head": (lambda: b'<?xml version="1.0"?><svg/>', "is a SVG"),
    "PDF": (lambda: b"%PDF-1.7\n", "is a PDF"),
    "ZIP": (lambda: b"PK\x03\x04" + bytes(50), "is a ZIP"),
    "a page": (lambda: b"<!DOCTYPE html><html></html>", "is a HTML"),
    "RIFF that is sound": (lambda: b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), "is no PNG"),
    "moving PNG": (lambda: moving("PNG"), "moves: send one of its frames"),
    "moving WebP": (lambda: moving("WEBP"), "moves"),
    "truncated PNG": (lambda: picture()[:-40], "damaged PNG"),
    "half a PNG": (lambda: picture()[: len(picture()) // 2], "damaged PNG"),
    "the head of a PNG": (lambda: picture()[:20], "PNG"),
    "the magic of a PNG": (lambda: picture()[:8], "cannot be read as a PNG"),
    "truncated JPEG": (lambda: picture(form="JPEG")[:300], "JPEG"),
    "the magic of a JPEG": (lambda: b"\xff\xd8\xff\xe0", "JPEG"),
    "truncated WebP": (lambda: picture(form="WEBP")[:60], "WEBP"),
    "a JPEG with the magic of a PNG": (lambda: b"\x89PNG\r\n\x1a\n" + picture(form="JPEG"), "PNG"),
    "20000 x 20000": (lambda: png(20_000, 20_000, zlib.compress(bytes(100))), "pixels that it may have"),
    "wide as a bomb": (lambda: png(2**31 - 1, 1, zlib.compress(b"")), "pixels"),
    "long as a bomb": (lambda: png(1, 30_000, zlib.compress(bytes(4))), "has 1 x 30000 pixels"),
    "no pixel": (lambda: png(0, 64, zlib.compress(b"")), "PNG"),
    "a size that is not its data's": (lambda: png(64, 64, zlib.compress(bytes(10))), "damaged PNG"),
    "data that is none": (lambda: png(64, 64, b"\x78\x9cno such thing" * 5), "damaged PNG"),
    "a bomb of text": (lambda: png(8, 8, BOMB, chunk(b"zTXt", b"a\0\0" + BOMB)), "damaged PNG"),
    "a wrong checksum": (lambda: picture()[:40] + b"\0" + picture()[41:], "PNG"),
    "a colour type that is none": (lambda: png(8, 8, zlib.compress(bytes(300)), colour=5), "PNG"),
    "a depth that is none": (lambda: png(8, 8, zlib.compress(bytes(300)), depth=3), "PNG"),
}
