"""What a picture file says about how it was made."""

import io

from PIL import Image
from PIL.ExifTags import IFD, Base

PARAMETERS = "parameters"
"""The name of A1111's text in a PNG."""

_PREFIXES = {b"UNICODE\0": "utf-16-be", b"ASCII\0\0\0": "ascii"}  # of a UserComment (Exif 3.0, section 4.6.6)


def parameters(data: bytes) -> str:
    """The text of generation parameters in a picture; empty if there is none.

    Raises:
        ValueError: the bytes are no picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            text = picture.info.get(PARAMETERS)
            comment = picture.getexif().get_ifd(IFD.Exif).get(Base.UserComment)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"not a picture: {error}") from None
    if isinstance(text, str):
        return text
    if isinstance(comment, bytes):
        return comment[8:].decode(_PREFIXES.get(comment[:8], "utf-8"), "replace").strip("\0")
    return ""
