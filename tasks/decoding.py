"""Samples to pictures, many in a call: one call for many takes about half of as many calls for one each."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

import torch
from torch import Tensor

# A call takes so many numbers of a sample's channels at the most, (h * w): about one picture of 1024 x 1024 pixels.
TOGETHER = 128 * 128


def decode(call: Callable[[Tensor], Tensor], samples: Sequence[Tensor]) -> Iterator[Tensor | Exception]:
    """The picture (H, W, 3) of each sample (c, h, w), or what decoding it raises.

    Args:
        call: samples (b, c, h, w) to pictures (b, H, W, 3), see `sampler.Model`.
        samples: of any sizes; those of one size that lie together share calls.
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
        # There may be room for each alone; and whose fault it was shows.
        for sample in samples:
            yield from _decode(call, [sample])
    else:
        yield from pictures
