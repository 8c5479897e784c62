"""The pictures that a picture is made from."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["image", "mask"]


@dataclass(frozen=True, slots=True)
class Original:
    """A picture to begin with, and where it may change.

    Bytes, so that it can be a key and be sent to another process.

    Attributes:
        width, height: in pixels.
        image: the picture, height * width * 3 bytes: rows of RGB.
        mask: height * width bytes: 255 where the picture is painted anew, 0 where it is kept; None for everywhere.
        strength: how much of the noise is added, above 0 and at most 1: the share of the steps that run. None for a
            model without it.
    """

    width: int
    height: int
    image: bytes
    mask: bytes | None = None
    strength: float | None = None

    def __post_init__(self) -> None:
        pixels = self.width * self.height
        if len(self.image) != 3 * pixels or (self.mask is not None and len(self.mask) != pixels):
            raise ValueError(f"image and mask must have {self.width} x {self.height} pixels")
        if self.strength is not None and not 0 < self.strength <= 1:
            raise ValueError(f"strength must be above 0 and at most 1, not {self.strength}")

    @property
    def kind(self) -> Kind:
        """What it asks of a model."""
        return "image" if self.mask is None else "mask"


@dataclass(frozen=True, slots=True)
class Reference:
    """A picture that the network looks at while it makes another one, of any size.

    Attributes:
        width, height: in pixels.
        image: height * width * 3 bytes: rows of RGB.
    """

    width: int
    height: int
    image: bytes

    def __post_init__(self) -> None:
        if len(self.image) != 3 * self.width * self.height:
            raise ValueError(f"a reference must have {self.width} x {self.height} pixels")


def original_from(image: Tensor, mask: Tensor | None = None, strength: float | None = None) -> Original:
    """An original from pictures.

    Args:
        image: (H, W, 3) uint8, as `Model.decode` returns them.
        mask: (H, W) uint8 or bool, not 0 where the picture is painted anew.
        strength: see `Original`.

    Raises:
        ValueError: sizes that differ, or a strength out of range.
    """
    height, width = image.shape[:2]
    given = None if mask is None else (mask != 0).to(torch.uint8).mul(255).cpu().contiguous().numpy().tobytes()
    return Original(width, height, image.cpu().contiguous().numpy().tobytes(), given, strength)
