"""A tiny randomly initialised pipeline of every family, built from configs and saved like a real model."""

# pyright: reportArgumentType=false
# (diffusers' annotations are narrower than what it takes)
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    PixArtAlphaPipeline,
    PixArtSigmaPipeline,
    PixArtTransformer2DModel,
    PNDMScheduler,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
    UNet2DModel,
)
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

EMOJI = Path(__file__).parents[2] / "models" / "emoji"
LATENTS: dict[str, Any] = {
    "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "clip_sample": False,
    "steps_offset": 1, "timestep_spacing": "leading",
}  # fmt: skip


def autoencoder(channels: int = 4, **changes: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=channels,
        **changes,
    )


def clip_tokenizer() -> Any:
    return CLIPTokenizer.from_pretrained(EMOJI / "tokenizer")


def clip(projection: int | None = None) -> Any:
    config = CLIPTextConfig(
        vocab_size=3221, bos_token_id=3219, eos_token_id=3220, pad_token_id=3220, hidden_size=16, intermediate_size=24,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=16, projection_dim=projection or 16,
    )  # fmt: skip
    return (CLIPTextModelWithProjection if projection else CLIPTextModel)(config).eval()


def t5_tokenizer() -> Any:
    letters = [(letter, -2.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    return T5Tokenizer(
        vocab=[("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -1.0), *letters], extra_ids=0, model_max_length=32
    )


def t5() -> Any:
    return T5EncoderModel(
        T5Config(vocab_size=32, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2, is_encoder_decoder=False)
    ).eval()


def unet(**changes: Any) -> UNet2DConditionModel:
    config = {
        "sample_size": 16,
        "block_out_channels": (8, 16),
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "attention_head_dim": 4,
        "cross_attention_dim": 16,
    }
    return UNet2DConditionModel(**(config | changes))


def stable_diffusion() -> Any:
    return StableDiffusionPipeline(
        vae=autoencoder(), text_encoder=clip(), tokenizer=clip_tokenizer(), unet=unet(),
        scheduler=PNDMScheduler(**{k: v for k, v in LATENTS.items() if k != "clip_sample"}, skip_prk_steps=True),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def stable_diffusion_xl() -> Any:
    added = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    return StableDiffusionXLPipeline(
        vae=autoencoder(), text_encoder=clip(), text_encoder_2=clip(12), tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=unet(cross_attention_dim=32, projection_class_embeddings_input_dim=6 * 8 + 12, **added),
        scheduler=EulerDiscreteScheduler(**{k: v for k, v in LATENTS.items() if k != "clip_sample"}),
    )  # fmt: skip


def stable_diffusion_3(**scheduler: Any) -> Any:
    transformer = SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=48, caption_projection_dim=16, pooled_projection_dim=24, out_channels=4,
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        vae=autoencoder(shift_factor=0.06), transformer=transformer, text_encoder=clip(12), text_encoder_2=clip(12),
        tokenizer=clip_tokenizer(), tokenizer_2=clip_tokenizer(), text_encoder_3=t5_of_width(48),
        tokenizer_3=t5_tokenizer(), scheduler=FlowMatchEulerDiscreteScheduler(**({"shift": 3.0} | scheduler)),
    )  # fmt: skip


def t5_of_width(width: int) -> Any:
    config = copy.deepcopy(t5().config)
    config.d_model = width
    return T5EncoderModel(config).eval()


def flux() -> Any:
    transformer = FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=16, pooled_projection_dim=16, guidance_embeds=True, axes_dims_rope=(4, 4, 8),
    )  # fmt: skip
    return FluxPipeline(
        vae=autoencoder(shift_factor=0.1), transformer=transformer, text_encoder=clip(), tokenizer=clip_tokenizer(),
        text_encoder_2=t5(), tokenizer_2=t5_tokenizer(),
        scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
    )  # fmt: skip


def pixart(alpha: bool = False) -> Any:
    transformer = PixArtTransformer2DModel(
        sample_size=128 if alpha else 16, num_layers=2, patch_size=2, attention_head_dim=8, num_attention_heads=3,
        caption_channels=16, in_channels=4, cross_attention_dim=24, out_channels=8, use_additional_conditions=alpha,
    )  # fmt: skip
    return (PixArtAlphaPipeline if alpha else PixArtSigmaPipeline)(
        transformer=transformer, vae=autoencoder(), text_encoder=t5(), tokenizer=t5_tokenizer(),
        scheduler=DPMSolverMultistepScheduler(),
    )  # fmt: skip


def dit() -> Any:
    transformer = DiTTransformer2DModel(
        sample_size=16, num_layers=2, patch_size=4, attention_head_dim=8, num_attention_heads=2, in_channels=4,
        out_channels=8, num_embeds_ada_norm=1000,
    )  # fmt: skip
    return DiTPipeline(transformer=transformer, vae=autoencoder(), scheduler=DDIMScheduler(clip_sample=False))


def pixels(scheduler: Any, pipeline: Callable[..., Any]) -> Any:
    return pipeline(
        unet=UNet2DModel(
            sample_size=16, block_out_channels=(8, 16), layers_per_block=1, norm_num_groups=4, attention_head_dim=4,
            down_block_types=("DownBlock2D", "AttnDownBlock2D"), up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        ),
        scheduler=scheduler,
    )  # fmt: skip


FAMILIES: dict[str, Callable[[], Any]] = {
    "stable-diffusion": stable_diffusion,
    "stable-diffusion-xl": stable_diffusion_xl,
    "stable-diffusion-3": stable_diffusion_3,
    "stable-diffusion-3-dynamic": lambda: stable_diffusion_3(use_dynamic_shifting=True),
    "flux": flux,
    "pixart-sigma": pixart,
    "pixart-alpha": lambda: pixart(alpha=True),
    "dit": dit,
    "ddim-pixels": lambda: pixels(DDIMScheduler(), DDIMPipeline),
    "ddpm-pixels": lambda: pixels(DDPMScheduler(), DDPMPipeline),
}
SIZES = {"pixart-alpha": (32, 48), "dit": (32, 32), "ddim-pixels": (16, 16), "ddpm-pixels": (16, 16)}


def size(family: str) -> tuple[int, int]:
    """Height and width in pixels for the family's tiny pipeline; not square if it supports that."""
    return SIZES.get(family, (32, 48))


def build(family: str, folder: Path) -> Path:
    """Save the tiny pipeline of a family; always with the same weights."""
    torch.manual_seed(0)
    pipeline = FAMILIES[family]()
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            liven(part)
    path = folder / family
    pipeline.save_pretrained(path)
    if family == "dit":
        index = json.loads((path / "model_index.json").read_text())
        index["id2label"] = {"7": "red heart, heart", "8": "pizza"}
        (path / "model_index.json").write_text(json.dumps(index))
    return path


def liven(network: torch.nn.Module) -> None:
    """Replace weights that are initialised to zero, so that every condition has an effect."""
    for parameter in network.parameters():
        if not bool(parameter.any()):
            torch.nn.init.normal_(parameter.data, std=0.05)
