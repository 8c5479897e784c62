"""From samples to pictures: decoding in batches, and PNG."""

from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from itertools import groupby

import torch
from PIL import Image
from torch import Tensor

# The most latent pixels (h * w) in one call: those of one picture of 1024 x 1024 pixels.
TOGETHER = 128 * 128


def decode(call: Callable[[Tensor], Tensor], samples: Sequence[Tensor]) -> Iterator[Tensor | Exception]:
    """The picture (H, W, 3) of each sample (c, h, w), or the exception that decoding it raised. One call for many
    samples takes about half the time of one call for each.

    Args:
        call: samples (b, c, h, w) to pictures (b, H, W, 3), see `sampler.Model`.
        samples: of any sizes; consecutive ones of one size share calls.
    """
    for shape, alike in groupby(samples, lambda sample: sample.shape):
        some, room = list(alike), max(1, TOGETHER // (shape[-2] * shape[-1]))
        for first in range(0, len(some), room):
            yield from _decode(call, some[first : first + room])


def _decode(call: Callable[[Tensor], Tensor], samples: Sequence[Tensor]) -> Iterator[Tensor | Exception]:
    try:
        pictures = call(torch.stack([*samples]))
    except Exception as error:
        if len(samples) == 1:
            yield error
            return
        # Memory may suffice for each alone, and a faulty sample is identified.
        for sample in samples:
            yield from _decode(call, [sample])
    else:
        yield from pictures


def to_png(pixels: Tensor) -> bytes:
    """A picture (H, W, 3), uint8 on the CPU, as PNG: lossless, so that what is stored is what was computed."""
    file = BytesIO()
    Image.fromarray(pixels.numpy()).save(file, "PNG")
    return file.getvalue()
