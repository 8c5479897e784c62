"""Pictures as they are sent: in the format that the client accepts, and with what says how they were made.

The store keeps the pixels as they were computed. So equal pictures stay equal there, and settings that change hold for
all pictures, old ones too.
"""

import io

import anyio.to_thread
from PIL import Image

from api.encoding.credentials import Credentials
from api.encoding.formats import PNG, Format
from store.pictures import marks
from store.pictures.marks import Made
from store.settings import MarkSettings


class Marking:
    """How pictures are marked, by the settings.

    Raises:
        ValueError: the certificate cannot be used.
    """

    def __init__(self, settings: MarkSettings) -> None:
        self._parameters = settings.picture_parameters
        self._source = settings.picture_source
        self._credentials = Credentials(settings) if settings.c2pa_certificate else None

    @property
    def needed(self) -> bool:
        """Whether it takes a ``Made``."""
        return self._parameters

    def etag(self, stored: str, form: Format) -> str:
        """The ETag of a stored picture, whose own is ``stored``, as sent in ``form``. It is strong, unless a signature
        makes other bytes each time."""
        written = "".join(letter for letter, on in (("p", self._parameters), ("s", self._source)) if on)
        parts = [stored, *([] if form is PNG else [form.name]), *([written] if written else [])]
        return f'"{"-".join(parts)}"' if self._credentials is None else f'W/"{"-".join([*parts, "c"])}"'

    async def prepare(self, png: bytes, form: Format, made: Made | None) -> bytes:
        """A stored picture as it is sent, made in a thread. ``made`` is needed if ``needed`` says so."""
        if form is PNG and not (self._parameters or self._source or self._credentials):
            return png
        return await anyio.to_thread.run_sync(self._prepare, png, form, made)

    def _prepare(self, png: bytes, form: Format, made: Made | None) -> bytes:
        said = made if self._parameters else None
        text = said and said.text
        xmp = marks.packet(said and said.document, self._source) if said or self._source else None
        if form is PNG:
            picture = marks.mark_png(png, text, xmp)
        else:
            out = io.BytesIO()
            with Image.open(io.BytesIO(png)) as stored:
                more = marks.options(text, xmp, form.name == "jpeg")
                stored.convert("RGB").save(out, form.name, **form.options, **more)
            picture = out.getvalue()
        if self._credentials:
            return self._credentials.sign(picture, form.media_type, marks.software())
        return picture
