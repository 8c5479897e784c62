"""C2PA content credentials: a signed statement in the file that a model has generated the picture (C2PA 2.2)."""

import io
import json
from typing import Any

from store.pictures.marks import GENERATED
from store.settings import MarkSettings


class Credentials:
    """Signs pictures with the certificate of the settings.

    Raises:
        ValueError: it cannot be used; the message says why.
    """

    def __init__(self, settings: MarkSettings) -> None:
        try:
            import c2pa  # an extra, with a native library of 23 MB
        except ImportError:
            raise ValueError(
                "UNDERPAINT_C2PA_CERTIFICATE needs the package c2pa-python: install underpaint[c2pa]"
            ) from None
        assert settings.c2pa_certificate
        assert settings.c2pa_key
        try:
            chain, key = settings.c2pa_certificate.read_bytes(), settings.c2pa_key.read_bytes()
            info = c2pa.C2paSignerInfo(settings.c2pa_algorithm, chain, key, settings.c2pa_timestamp_url)
            self._signer = c2pa.Signer.from_info(info)
            # A thumbnail would be larger than a small picture, and shows no more.
            self._context = c2pa.Context.from_dict({"builder": {"thumbnail": {"enabled": False}}})
        except (OSError, c2pa.C2paError) as error:
            raise ValueError(f"the C2PA certificate and key cannot be used: {error}") from None
        self._builder = c2pa.Builder

    def sign(self, picture: bytes, media_type: str, software: str) -> bytes:
        """The picture with its credentials. It takes milliseconds, longer with a timestamp: call it in a thread."""
        name, _, number = software.partition(" ")
        generator: dict[str, Any] = {"name": name, "version": number}
        action = {"action": "c2pa.created", "digitalSourceType": GENERATED, "softwareAgent": generator}
        manifest = {
            "claim_generator_info": [generator],
            "format": media_type,
            "assertions": [{"label": "c2pa.actions", "data": {"actions": [action]}}],
        }
        out = io.BytesIO()
        with self._builder(json.dumps(manifest), context=self._context) as builder:
            builder.sign(self._signer, media_type, io.BytesIO(picture), out)
        return out.getvalue()
