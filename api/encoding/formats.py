"""Pictures in the format that the client accepts."""

from typing import NamedTuple

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
