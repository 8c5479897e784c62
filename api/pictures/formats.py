"""Pictures in the format that the client accepts."""

import io
from typing import NamedTuple

import anyio.to_thread
from PIL import Image
from werkzeug.datastructures import MIMEAccept
from werkzeug.http import parse_accept_header

from api.problems import NotAcceptable


class Format(NamedTuple):
    """How a picture is sent. ``options`` are those of Pillow's ``save``."""

    media_type: str
    name: str
    options: dict[str, int]


PNG = Format("image/png", "png", {})
# In the server's order of preference. PNG is what is stored, and exact.
FORMATS = (PNG, Format("image/webp", "webp", {"quality": 90}), Format("image/jpeg", "jpeg", {"quality": 90}))


def negotiate(accept: str | None) -> Format:
    """The best format for an Accept header (RFC 9110, section 12.5.1); PNG if there is none.

    Raises:
        NotAcceptable: the header allows none of the formats.
    """
    if accept is None or not accept.strip():
        return PNG
    accepted = parse_accept_header(accept, MIMEAccept)
    best = max(FORMATS, key=lambda form: accepted.quality(form.media_type))
    if accepted.quality(best.media_type) <= 0:
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
