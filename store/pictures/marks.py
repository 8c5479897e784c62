"""What a picture file says about how it was made: written when it is sent, and read again.

The text of A1111 is where its readers look: in a PNG the text chunk ``parameters``, in WebP and JPEG the EXIF field
UserComment. An XMP packet has the same as JSON, and IPTC's ``DigitalSourceType``, by which others know that the picture
was generated. The pixels stay as they are, and the stored picture, too.
"""

import io
import json
import re
import struct
import zlib
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any
from uuid import UUID

from PIL import Image
from PIL.ExifTags import IFD, Base
from PIL.PngImagePlugin import PngInfo

from contract import infotext
from contract.fields import Generation

PARAMETERS = "parameters"
"""The name of A1111's text in a PNG."""

GENERATED = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
"""IPTC's word for what a trained model has made."""

# A segment of a JPEG has at most 65,535 bytes, its name and length included. What is longer is left out there.
_LONGEST_EXIF, _LONGEST_XMP = 65_500, 65_400
_PNG_HEAD = 8 + 25  # the signature and IHDR, which come first
_PREFIXES = {b"UNICODE\0": "utf-16-be", b"ASCII\0\0\0": "ascii"}  # of a UserComment (Exif 3.0, section 4.6.6)
_MADE = re.compile(rb"<underpaint:made>(\{.*?\})</underpaint:made>", re.DOTALL)
_SOURCE = re.compile(rb"DigitalSourceType\s*(?:=\s*[\"']|>)\s*([^\"'<\s]+)")
_XMP = """\
<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:xmp="http://ns.adobe.com/xap/1.0/"
 xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" xmlns:underpaint="urn:underpaint:picture">
{content}
</rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="r"?>"""


@dataclass(frozen=True)
class Made:
    """How one picture was made. ``seed`` is its own, and ``method`` the one that was used."""

    job: UUID
    image: int
    iterate: int
    seed: int
    method: str | None
    generation: Generation

    @property
    def text(self) -> str:
        """The parameters in A1111's form."""
        more = {
            "Method": self.method or self.generation.method,
            "Tolerance": f"{self.generation.tolerance:g}",
            "Iterate": self.iterate,
            "Job": self.job,
            "Version": software(),
        }
        return infotext.write(self.generation, self.seed, more)

    @property
    def document(self) -> dict[str, Any]:
        """The same and the rest of the request, as JSON."""
        return {
            "software": software(),
            "job": str(self.job),
            "image": self.image,
            "iterate": self.iterate,
            "seed": self.seed,
            "method": self.method,
            "request": self.generation.model_dump(mode="json"),
        }


@dataclass(frozen=True)
class Found:
    """What a picture says: A1111's text, our document, and the IPTC source type; empty or None if it has none."""

    text: str
    document: dict[str, Any] | None
    source: str | None


def software() -> str:
    """This program and its version."""
    return f"Underpaint {version('underpaint')}"


def packet(document: dict[str, Any] | None, generated: bool) -> bytes:
    """An XMP packet with this document (None: without one) and, if ``generated``, the source type."""
    content = [f"<xmp:CreatorTool>{software()}</xmp:CreatorTool>"]
    if generated:
        content.append(f"<Iptc4xmpExt:DigitalSourceType>{GENERATED}</Iptc4xmpExt:DigitalSourceType>")
    if document is not None:
        # Without the characters that XML would need to escape, so that nobody has to parse XML to read it.
        text = json.dumps(document)
        for character in "&<>":
            text = text.replace(character, f"\\u{ord(character):04x}")
        content.append(f"<underpaint:made>{text}</underpaint:made>")
    return _XMP.format(content="\n".join(content)).encode()


def mark_png(png: bytes, text: str | None, xmp: bytes | None) -> bytes:
    """A PNG with a text of parameters and an XMP packet, and the same pixels."""
    info = PngInfo()
    if text is not None:
        info.add_text(PARAMETERS, text)
    if xmp is not None:
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
    chunks = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data, *_ in info.chunks
    )
    return png[:_PNG_HEAD] + chunks + png[_PNG_HEAD:]


def options(text: str | None, xmp: bytes | None, jpeg: bool) -> dict[str, bytes]:
    """The same for a WebP or JPEG, as options of Pillow's ``save``."""
    made: dict[str, bytes] = {}
    if text is not None:
        exif = Image.Exif()
        exif[Base.Software] = software()
        exif.get_ifd(IFD.Exif)[Base.UserComment] = b"UNICODE\0" + text.encode("utf-16-be")
        if not jpeg or len(exif.tobytes()) <= _LONGEST_EXIF:
            made["exif"] = exif.tobytes()
    if xmp is not None:
        made["xmp"] = packet(None, b"DigitalSourceType" in xmp) if jpeg and len(xmp) > _LONGEST_XMP else xmp
    return made


def read(data: bytes) -> Found:
    """What a picture says.

    Raises:
        ValueError: the bytes are no picture.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            text = picture.info.get(PARAMETERS)
            xmp = picture.info.get("xmp") or picture.info.get("XML:com.adobe.xmp") or b""
            comment = picture.getexif().get_ifd(IFD.Exif).get(Base.UserComment)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"not a picture: {error}") from None
    if isinstance(xmp, str):
        xmp = xmp.encode(errors="replace")
    if isinstance(text, bytes):
        text = text.decode("latin-1")
    if not text and isinstance(comment, bytes):
        text = comment[8:].decode(_PREFIXES.get(comment[:8], "utf-8"), "replace").strip("\0")
    source = _SOURCE.search(xmp)
    return Found(text or "", _document(xmp), source and source[1].decode(errors="replace"))


def _document(xmp: bytes) -> dict[str, Any] | None:
    if not (made := _MADE.search(xmp)):
        return None
    try:
        return json.loads(made[1])
    except ValueError:
        return None
