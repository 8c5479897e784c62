"""Pictures that are not finite in the autoencoder's own precision."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from sampler import load_model
from tests.sampler import tiny


@pytest.fixture(params=["stable-diffusion", "flux"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return tiny.build(request.param, tmp_path)


@pytest.mark.parametrize("worst", [math.nan, math.inf])
def test_they_are_decoded_again_in_float32(folder: Path, worst: float) -> None:
    whole, half = load_model(folder), load_model(folder, dtype=torch.bfloat16)
    height, width = tiny.size(folder.name)
    noise = torch.stack([half.noise(7, height, width)])
    vae = half.pipeline.vae  # pyright: ignore[reportAttributeAccessIssue]
    if vae.dtype == torch.float32:
        pytest.skip("this pipeline decodes in float32 by itself")
    decode = vae.decoder.forward

    def overflow(latents: Tensor, *rest: object) -> Tensor:
        """Overflows as float16 does, in a type in which a CPU computes."""
        pictures = decode(latents, *rest)
        return pictures if pictures.dtype == torch.float32 else pictures * worst

    vae.decoder.forward = overflow
    pictures = half.decode(noise)
    assert (pictures.int() - whole.decode(noise).int()).abs().float().mean() < 4
    assert vae.dtype == torch.bfloat16
    assert half.decode(noise).equal(pictures)


def test_what_is_not_finite_in_float32_either_is_an_error(folder: Path) -> None:
    model = load_model(folder)
    height, width = tiny.size(folder.name)
    noise = torch.stack([model.noise(7, height, width)])
    vae = model.pipeline.vae  # pyright: ignore[reportAttributeAccessIssue]
    decode = vae.decoder.forward
    vae.decoder.forward = lambda *given: decode(*given) * float("inf")
    with pytest.raises(ValueError, match="not finite"):
        model.decode(noise)
