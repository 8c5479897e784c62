"""Pictures as files."""

from io import BytesIO

from PIL import Image
from torch import Tensor


def to_png(pixels: Tensor) -> bytes:
    """A picture (H, W, 3), uint8 on the CPU, as PNG: lossless, so that what is stored is what was computed."""
    file = BytesIO()
    Image.fromarray(pixels.numpy()).save(file, "PNG")
    return file.getvalue()
