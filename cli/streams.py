"""Standard output and error that take any text, whatever their encoding."""

import codecs
import sys
from io import TextIOWrapper

_ANY = "underpaint-any"
_ESCAPED = range(0xDC80, 0xDD00)  # how Python keeps bytes of file names and arguments that are not UTF-8 (PEP 383)


def take_any_text() -> None:
    """Have stdout and stderr write what they cannot encode in another way, instead of failing: bytes of a file name as
    they are, and other characters as ``\\xe9``."""
    codecs.register_error(_ANY, _encode)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors=_ANY)


def _encode(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    code = ord(error.object[error.start])
    if code in _ESCAPED:
        return bytes([code - 0xDC00]), error.start + 1
    letter, digits = ("x", 2) if code < 0x100 else ("u", 4) if code < 0x10000 else ("U", 8)
    return f"\\{letter}{code:0{digits}x}", error.start + 1
