"""Decoding in float32, for an autoencoder whose pictures are not finite in its own precision.

The autoencoders of some models overflow in float16, although their configuration does not say so (``force_upcast``).
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor


def finite(decode: Callable[[], Tensor], autoencoder: Any) -> Tensor:
    """The result of ``decode``, or where the autoencoder's output is not finite, that with it in float32.

    Args:
        decode: latents to pictures (b, ...).
        autoencoder: that of the pipeline; None if its latents are pictures.

    Raises:
        ValueError: it is not finite in float32, either.
    """
    pictures, sound = _checked(decode, autoencoder)
    if not sound and autoencoder is not None and autoencoder.dtype != torch.float32:
        with _upcast(autoencoder):
            pictures, sound = _checked(decode, autoencoder)
    if not sound:
        raise ValueError("the decoded picture is not finite: the autoencoder overflows, in float32 too")
    return pictures


def _checked(decode: Callable[[], Tensor], autoencoder: Any) -> tuple[Tensor, bool]:
    """The pictures, and whether they are finite. The pipeline clamps them: an infinite one would only be white."""
    found: list[Tensor] = []
    decoder = getattr(autoencoder, "decoder", None)
    if not isinstance(decoder, torch.nn.Module):
        pictures = decode()
        return pictures, bool(torch.isfinite(pictures).all())
    hook = decoder.register_forward_hook(lambda _, given, output: found.append(torch.isfinite(output).all()))
    try:
        pictures = decode()
    finally:
        hook.remove()
    return pictures, all(map(bool, found)) and bool(torch.isfinite(pictures).all())


@contextmanager
def _upcast(autoencoder: Any) -> Generator[None]:
    dtype, decode = autoencoder.dtype, autoencoder.decode

    def decode_in_float32(latents: Tensor, *rest: Any, **options: Any) -> Any:
        # The pipeline hands over latents in the precision that it knows.
        return decode(latents.float(), *rest, **options)

    autoencoder.to(torch.float32)
    autoencoder.decode = decode_in_float32
    try:
        yield
    finally:
        del autoencoder.decode
        autoencoder.to(dtype)
