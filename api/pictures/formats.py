"""Pictures in the format that the client asks for."""

import io
import re
from email.message import Message
from typing import NamedTuple

import anyio.to_thread
from PIL import Image

from api.problems import NotAcceptable


class Format(NamedTuple):
    """How a picture is sent. ``options`` are those of Pillow's ``save``."""

    media_type: str
    name: str
    options: dict[str, int]


PNG = Format("image/png", "png", {})
# In the server's order of preference: PNG is what is stored, and exact.
FORMATS = (PNG, Format("image/webp", "webp", {"quality": 90}), Format("image/jpeg", "jpeg", {"quality": 90}))

_WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


def negotiate(accept: str | None) -> Format:
    """The best format for an Accept header (RFC 9110, section 12.5.1); PNG where there is none.

    Raises:
        NotAcceptable: the header allows none of the formats.
    """
    if accept is None or not accept.strip():
        return PNG
    ranges = [_media_range(part) for part in accept.split(",")]
    weight, best = max(((_weight(ranges, form.media_type), form) for form in FORMATS), key=lambda pair: pair[0])
    if weight <= 0:
        raise NotAcceptable(NotAcceptable.example, headers={"Vary": "Accept"})
    return best


def etag(stored: str, form: Format) -> str:
    """The strong ETag of a stored picture, whose own is ``stored``, as sent in ``form``."""
    return f'"{stored}"' if form is PNG else f'"{stored}-{form.name}"'


async def transcode(png: bytes, form: Format) -> bytes:
    """A PNG in another format, made in a thread."""
    return png if form is PNG else await anyio.to_thread.run_sync(_transcode, png, form)


def _transcode(png: bytes, form: Format) -> bytes:
    out = io.BytesIO()
    with Image.open(io.BytesIO(png)) as picture:
        picture.convert("RGB").save(out, form.name, **form.options)
    return out.getvalue()


def _media_range(text: str) -> tuple[str, float]:
    """``image/webp;q=0.8`` as ("image/webp", 0.8); what cannot be read weighs nothing."""
    message = Message()  # media types have the same grammar in mail
    message["content-type"] = text.strip()
    weight = str(message.get_param("q", "1"))
    return message.get_content_type(), float(weight) if _WEIGHT.fullmatch(weight) else 0.0


def _weight(ranges: list[tuple[str, float]], media_type: str) -> float:
    """The weight of a media type: that of the most specific range that covers it."""
    given = dict(reversed(ranges))
    kind = media_type.partition("/")[0]
    return next((given[name] for name in (media_type, f"{kind}/*", "*/*") if name in given), 0.0)
