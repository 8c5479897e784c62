"""The autoencoder's two stages: all of it, or its decoder alone, which leaves the latents unchanged."""

from typing import Any

import torch

from models.train_emoji.fit import Budget, Checkpoint, fit

Autoencoder = Any
"""A diffusers AutoencoderKL, whose own annotations fit no call of it."""

BATCH = 16
"""Pictures a step, unless the caller says otherwise."""

NOISE = 0.25
"""Most noise on the latents that the decoder learns from, not scaled: those that a denoiser makes are not exact."""


def train_autoencoder(
    vae: Autoencoder, pictures: torch.Tensor, budget: Budget, checkpoint: Checkpoint, every: float, size: int = BATCH
) -> None:
    """Train encoder and decoder on ``pictures`` (n, 3, 64, 64) and their mirror images; sets the scaling factor."""

    def loss() -> torch.Tensor:
        batch = pictures[torch.randint(0, len(pictures), (size,))]
        batch = batch.flip(3) if torch.rand(()) < 0.5 else batch
        posterior = vae.encode(batch).latent_dist
        decoded = vae.decode(posterior.sample()).sample
        return _difference(decoded.float(), batch) + 1e-3 * posterior.kl().float().mean() / posterior.mean[0].numel()

    def checkpoint_scaled(progress: str) -> None:
        vae.register_to_config(scaling_factor=float(1 / encode(vae, pictures).std()))
        checkpoint(progress)

    fit(list(vae.parameters()), loss, budget, 2e-3, checkpoint_scaled, every)


def train_decoder(
    vae: Autoencoder, pictures: torch.Tensor, budget: Budget, checkpoint: Checkpoint, every: float, size: int = BATCH
) -> None:
    """Train only the decoder, on noisy latents of ``pictures``: the latents keep their meaning, a denoiser stays valid.

    No mirror images here: the pictures that the denoiser makes are not mirrored, and the decoder is to know them well.
    """
    latents = encode(vae, pictures)

    def loss() -> torch.Tensor:
        chosen = torch.randint(0, len(pictures), (size,))
        noise = torch.randn(size, *latents.shape[1:]) * NOISE * torch.rand(size, 1, 1, 1)
        return _difference(vae.decode(latents[chosen] + noise).sample.float(), pictures[chosen])

    parameters = [*vae.post_quant_conv.parameters(), *vae.decoder.parameters()]
    fit(parameters, loss, budget, 1.5e-3, checkpoint, every)


@torch.no_grad()
def encode(vae: Autoencoder, pictures: torch.Tensor) -> torch.Tensor:
    """The posterior means (n, 8, 8, 8) of ``pictures``, not scaled."""
    return torch.cat([vae.encode(batch).latent_dist.mean for batch in pictures.split(64)])


@torch.no_grad()
def reconstruction_psnr(vae: Autoencoder, pictures: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB of ``pictures`` encoded and decoded again, over all of them together."""
    decoded = torch.cat([vae.decode(encode(vae, batch)).sample.clamp(-1, 1) for batch in pictures.split(64)])
    return float(10 * torch.log10(4 / (decoded - pictures).pow(2).mean()))


def _difference(decoded: torch.Tensor, pictures: torch.Tensor) -> torch.Tensor:
    """Absolute and squared error, and the error of the edges, without which small pictures come out soft."""
    d = decoded - pictures
    edges = (d[..., 1:] - d[..., :-1]).abs().mean() + (d[..., 1:, :] - d[..., :-1, :]).abs().mean()
    return d.abs().mean() + 0.5 * edges + d.pow(2).mean()
