"""The denoiser's stage: text encoder and UNet together, on latents that are computed once."""

import random
from typing import Any

import torch

# pyright: reportPrivateImportUsage=false
from diffusers import DDPMScheduler, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor

from models.train_emoji.autoencoder import encode
from models.train_emoji.data import Emoji, caption
from models.train_emoji.fit import Budget, Checkpoint, fit

BATCH = 64
"""Pictures a step, unless the caller says otherwise."""


def train_denoiser(
    pipeline: StableDiffusionPipeline,
    emoji: Emoji,
    budget: Budget,
    seed: int,
    checkpoint: Checkpoint,
    every: float,
    size: int = BATCH,
) -> None:
    """Train text encoder and UNet to predict the velocity (Salimans and Ho 2022, arXiv 2202.00512, section 4).

    No mirror images: guidance would mix a thing with its mirror image, and a thousand pictures are few enough to learn.
    """
    unet, text = pipeline.unet, pipeline.text_encoder
    # torch's fused attention is slow backwards on a CPU for maps as small as these: the plain one halves the step.
    unet.set_attn_processor(AttnProcessor())
    latents = encode(pipeline.vae, emoji.pictures) * pipeline.vae.config.scaling_factor
    schedule: Any = DDPMScheduler.from_config(pipeline.scheduler.config)
    choose = random.Random(seed)

    def loss() -> torch.Tensor:
        chosen = torch.randint(0, len(latents), (size,))
        words = [caption(emoji.names[i], choose) for i in chosen.tolist()]
        t = torch.randint(0, schedule.config.num_train_timesteps, (size,))
        return _velocity_error(pipeline, schedule, latents[chosen], words, t, torch.randn(size, *latents.shape[1:]))

    fit([*unet.parameters(), *text.parameters()], loss, budget, 6e-4, checkpoint, every)


@torch.no_grad()
def denoiser_loss(pipeline: StableDiffusionPipeline, emoji: Emoji, levels: int = 8) -> float:
    """The mean squared velocity error at fixed noise, on the usual names, at ``levels`` evenly spaced timesteps each.

    Every picture is one that training saw: the figure compares weights with each other, it says nothing of new names.
    """
    generator = torch.Generator().manual_seed(1234)
    latents = encode(pipeline.vae, emoji.pictures) * pipeline.vae.config.scaling_factor
    schedule: Any = DDPMScheduler.from_config(pipeline.scheduler.config)
    count = schedule.config.num_train_timesteps
    errors: list[torch.Tensor] = []
    for level in range(levels):
        for start in range(0, len(latents), BATCH):
            x0 = latents[start : start + BATCH]
            words = [names[0] for names in emoji.names[start : start + BATCH]]
            t = torch.full((len(x0),), int((level + 0.5) * count / levels))
            noise = torch.randn(x0.shape, generator=generator)
            errors.append(_velocity_error(pipeline, schedule, x0, words, t, noise) * len(x0))
    return float(torch.stack(errors).sum() / (levels * len(latents)))


def _velocity_error(
    pipeline: StableDiffusionPipeline,
    schedule: Any,
    x0: torch.Tensor,
    words: list[str],
    t: torch.Tensor,
    noise: torch.Tensor,
) -> torch.Tensor:
    tokens = pipeline.tokenizer(words, padding="max_length", truncation=True, return_tensors="pt").input_ids
    context = pipeline.text_encoder(tokens).last_hidden_state
    predicted = pipeline.unet(schedule.add_noise(x0, noise, t), t, context).sample.float()
    return (predicted - schedule.get_velocity(x0, noise, t)).pow(2).mean()
