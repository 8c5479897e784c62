"""LoRA of random weights, in the layouts that people share: diffusers' and kohya's."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from safetensors.torch import save_file

TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]


def diffusers_file(pipeline: Any, folder: Path, name: str, seed: int, *, text: bool = True) -> Path:
    """Write one of a Stable Diffusion pipeline, which is of no use afterwards."""
    pipeline.unet.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=TARGETS, init_lora_weights=False))
    parts = {"unet_lora_layers": _random(pipeline.unet, seed)}
    if text:
        pipeline.text_encoder.add_adapter(LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False))
        parts["text_encoder_lora_layers"] = _random(pipeline.text_encoder, seed + 1)
    pipeline.save_lora_weights(folder, weight_name=f"{name}.safetensors", **parts)
    return folder / f"{name}.safetensors"


def _random(network: Any, seed: int) -> dict[str, Any]:
    made = torch.Generator().manual_seed(seed)
    return {
        key: torch.randn(value.shape, generator=made) / 2 for key, value in get_peft_model_state_dict(network).items()
    }


def kohya_file(pipeline: Any, folder: Path, name: str, seed: int) -> Path:
    """Write one as kohya's scripts do, for the attention of the U-Net and the text encoder."""
    made = torch.Generator().manual_seed(seed)
    weights: dict[str, Any] = {}
    for prefix, network, ends in (
        ("lora_unet_", pipeline.unet, ("to_q", "to_k", "to_v", "to_out.0")),
        ("lora_te_text_model_", pipeline.text_encoder, ("q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2")),
    ):
        for path, layer in network.named_modules():
            if path.endswith(ends):
                stem = prefix + path.removeprefix("text_model.").replace(".", "_")
                weights[f"{stem}.lora_down.weight"] = torch.randn(4, layer.in_features, generator=made) / 2
                weights[f"{stem}.lora_up.weight"] = torch.randn(layer.out_features, 4, generator=made) / 2
                weights[f"{stem}.alpha"] = torch.tensor(2.0)
    save_file(weights, folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"
