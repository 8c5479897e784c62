"""Models in the layouts that checkpoints of one file have: that of Stability's own code, and GGUF."""

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
import re
from pathlib import Path
from typing import Any

import gguf
import torch
from safetensors.torch import save_file
from torch import Tensor

Weights = dict[str, Tensor]

RESNET = {
    "norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0",
    "conv2": "out_layers.3", "conv_shortcut": "skip_connection",
}  # fmt: skip
UNET = {
    "time_embedding.linear_1": "time_embed.0", "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0", "conv_norm_out": "out.0", "conv_out": "out.2",
    "add_embedding.linear_1": "label_emb.0.0", "add_embedding.linear_2": "label_emb.0.2",
}  # fmt: skip
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPEN_CLIP = {
    "layer_norm1": "ln_1", "layer_norm2": "ln_2", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}  # fmt: skip


def checkpoint(pipeline: Any, file: Path) -> Path:
    """Write a pipeline of Stable Diffusion or Stable Diffusion XL as one file in the original layout."""
    second = getattr(pipeline, "text_encoder_2", None)
    first = "cond_stage_model.transformer." if second is None else "conditioner.embedders.0.transformer."
    weights = {f"model.diffusion_model.{key}": value for key, value in unet(pipeline.unet).items()}
    weights |= {f"first_stage_model.{key}": value for key, value in autoencoder(pipeline.vae).items()}
    for key, value in pipeline.text_encoder.state_dict().items():
        weights[f"{first}text_model.{key.removeprefix('text_model.')}"] = value
    if second is not None:
        weights |= {f"conditioner.embedders.1.model.{key}": value for key, value in open_clip(second).items()}
    save_file({key: value.contiguous().clone() for key, value in weights.items()}, file)
    return file


def unet(network: Any) -> Weights:
    blocks = network.config.layers_per_block + 1
    last = len(network.config.block_out_channels) - 1
    weights: Weights = {}
    for key, value in network.state_dict().items():
        name, end = key.rsplit(".", 1)
        if found := re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions)\.(\d+)\.(.*)", name):
            side, block, kind, layer, rest = found.groups()
            place = int(block) * blocks + int(layer) + (side == "down")
            inner = f"0.{RESNET[rest]}" if kind == "resnets" else f"1.{rest}"
            name = f"{'input' if side == 'down' else 'output'}_blocks.{place}.{inner}"
        elif found := re.match(r"down_blocks\.(\d+)\.downsamplers\.0\.conv", name):
            name = f"input_blocks.{(int(found[1]) + 1) * blocks}.0.op"
        elif found := re.match(r"up_blocks\.(\d+)\.upsamplers\.0\.conv", name):
            attends = "CrossAttn" in network.config.up_block_types[int(found[1])]
            name = f"output_blocks.{(int(found[1]) + 1) * blocks - 1}.{2 if attends else 1}.conv"
        elif found := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name):
            kind, layer, rest = found.groups()
            name = f"middle_block.{2 * int(layer)}.{RESNET[rest]}" if kind == "resnets" else f"middle_block.1.{rest}"
        else:
            name = UNET[name]
        weights[f"{name}.{end}"] = value
    assert last > 0
    return weights


def autoencoder(network: Any) -> Weights:
    last = len(network.config.block_out_channels) - 1
    weights: Weights = {}
    for key, value in network.state_dict().items():
        key = key.replace("conv_norm_out", "norm_out").replace("conv_shortcut", "nin_shortcut")
        key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
        if "mid_block.attentions.0" in key:
            head, rest = key.split("mid_block.attentions.0.")
            name, end = rest.rsplit(".", 1)
            key = f"{head}mid.attn_1.{ATTENTION[name]}.{end}"
            if value.ndim == 2:
                value = value[:, :, None, None]
        key = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", key)
        key = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", key)
        key = re.sub(r"up_blocks\.(\d+)\.resnets", lambda m: f"up.{last - int(m[1])}.block", key)
        key = re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{last - int(m[1])}.upsample", key)
        weights[key] = value
    return weights


def open_clip(network: Any) -> Weights:
    state = {key.removeprefix("text_model."): value for key, value in network.state_dict().items()}
    weights: Weights = {
        "positional_embedding": state.pop("embeddings.position_embedding.weight"),
        "token_embedding.weight": state.pop("embeddings.token_embedding.weight"),
        "ln_final.weight": state.pop("final_layer_norm.weight"),
        "ln_final.bias": state.pop("final_layer_norm.bias"),
        "text_projection": state.pop("text_projection.weight").T,
    }
    state.pop("embeddings.position_ids", None)
    for layer in range(network.config.num_hidden_layers):
        for end in ("weight", "bias"):
            parts = [state.pop(f"encoder.layers.{layer}.self_attn.{x}_proj.{end}") for x in "qkv"]
            weights[f"transformer.resblocks.{layer}.attn.in_proj_{end}"] = torch.cat(parts)
    for key, value in state.items():
        found = re.match(r"encoder\.layers\.(\d+)\.(.*)\.(weight|bias)", key)
        assert found, key
        weights[f"transformer.resblocks.{found[1]}.{OPEN_CLIP[found[2]]}.{found[3]}"] = value
    return weights


def write_gguf(network: Any, file: Path, kind: gguf.GGMLQuantizationType) -> Path:
    """Write a network's weights under their names as GGUF, quantised where they are matrices whose rows fit."""
    block = gguf.GGML_QUANT_SIZES[kind][0]
    writer = gguf.GGUFWriter(file, "test")
    for key, value in network.state_dict().items():
        data = value.float().numpy()
        if data.ndim == 2 and data.shape[1] % block == 0 and key.endswith("weight"):
            writer.add_tensor(key, gguf.quants.quantize(data, kind), raw_dtype=kind)
        else:
            writer.add_tensor(key, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file
