"""Decoding of samples in batches: one call for many takes about half the time of one call for each."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

# The most latent pixels (h * w) in one call: those of one picture of 1024 x 1024 pixels.
TOGETHER = 128 * 128


def decode(call: Callable[[Tensor], Tensor], samples: Sequence[Tensor]) -> Iterator[Tensor | Exception]:
    """The picture (H, W, 3) of each sample (c, h, w), or the exception that decoding it raised.

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
