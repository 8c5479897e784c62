"""From the pictures that a job was submitted with to what the sampler begins with."""

import io
from collections.abc import Mapping

from PIL import Image, ImageOps

from contract.fields import Generation
from sampler import Original, Reference
from store.pictures.masks import mask_of


class InputMissing(ValueError):
    """A picture that the job starts from is not there any more."""


def original(generation: Generation, inputs: Mapping[str, bytes]) -> Original | None:
    """What a job begins with: its picture in the size of the job; None for noise alone.

    Args:
        generation: the request.
        inputs: PNGs by their digests.

    Raises:
        InputMissing: one is not there.
    """
    if generation.image is None:
        return None
    size = (generation.width, generation.height)
    image = ImageOps.fit(_opaque(_open(generation.image, inputs)), size, Image.Resampling.LANCZOS)
    mask = None
    if generation.mask is not None:
        mask = ImageOps.fit(mask_of(_open(generation.mask, inputs)), size, Image.Resampling.NEAREST).tobytes()
    return Original(*size, image.tobytes(), mask, generation.strength)


def references(generation: Generation, inputs: Mapping[str, bytes]) -> list[Reference]:
    """The pictures that a model looks at, as they are.

    Raises:
        InputMissing: one is not there.
    """
    pictures = [_opaque(_open(digest, inputs)) for digest in generation.references]
    return [Reference(*picture.size, picture.tobytes()) for picture in pictures]


def _open(digest: str, inputs: Mapping[str, bytes]) -> Image.Image:
    if digest not in inputs:
        raise InputMissing(f"the picture {digest} that this job starts from is not there any more: submit it again")
    return Image.open(io.BytesIO(inputs[digest]), formats=["PNG"])


def _opaque(picture: Image.Image) -> Image.Image:
    """On white, where it is transparent."""
    if not picture.has_transparency_data:
        return picture.convert("RGB")
    white = Image.new("RGBA", picture.size, "white")
    return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
