"""Create, load and save the pipeline's parts; saved in half precision in diffusers' format."""

import copy
import json
import shutil
from pathlib import Path

import torch

# pyright: reportPrivateImportUsage=false, reportArgumentType=false
# (diffusers and transformers annotate tuples of one where they take any length, and no None where None is meant)
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

CONTEXT = 16
"""Tokens a prompt may have, its start and end included."""

LOCAL_TRACES = ("_name_or_path", "is_local", "local_files_only")
"""What the libraries note in configs about the machine that saved them."""


def new_pipeline(captions: list[str]) -> StableDiffusionPipeline:
    """An untrained pipeline, with a tokenizer made from ``captions``. The caller seeds torch."""
    tokenizer = _new_tokenizer(captions)
    vae = AutoencoderKL(
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(24, 48, 96, 96),
        layers_per_block=1,
        latent_channels=8,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=64,
    )
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=128,
            intermediate_size=384,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=CONTEXT,
            projection_dim=128,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=8,
        out_channels=8,
        down_block_types=("CrossAttnDownBlock2D",) * 2,
        up_block_types=("CrossAttnUpBlock2D",) * 2,
        block_out_channels=(96, 160),
        layers_per_block=1,
        cross_attention_dim=128,
        attention_head_dim=4,
        norm_num_groups=16,
    )
    scheduler = DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    return _assemble(vae, text, tokenizer, unet, scheduler)


def load_pipeline(folder: Path) -> StableDiffusionPipeline:
    """The pipeline in ``folder``, in float32."""
    return StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


def save_pipeline(pipeline: StableDiffusionPipeline, folder: Path) -> None:
    """Write a float16 copy to ``folder``; an interruption leaves the previous one or the new one, not half of each."""
    half = _assemble(
        copy.deepcopy(pipeline.vae).half(),
        copy.deepcopy(pipeline.text_encoder).half(),
        pipeline.tokenizer,
        copy.deepcopy(pipeline.unet).half(),
        pipeline.scheduler,
    )
    fresh, stale = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".old")
    for leftover in (fresh, stale):
        shutil.rmtree(leftover, ignore_errors=True)
    half.save_pretrained(fresh)
    for config in [*fresh.glob("*.json"), *fresh.glob("*/*config.json")]:
        values = json.loads(config.read_text(encoding="utf-8"))
        kept = {key: value for key, value in values.items() if key not in LOCAL_TRACES}
        config.write_text(json.dumps(kept, indent=2) + "\n", encoding="utf-8")
    if folder.exists():
        folder.rename(stale)
    fresh.rename(folder)
    shutil.rmtree(stale, ignore_errors=True)


def _assemble(
    vae: AutoencoderKL,
    text_encoder: CLIPTextModel,
    tokenizer: CLIPTokenizer,
    unet: UNet2DConditionModel,
    scheduler: DDIMScheduler,
) -> StableDiffusionPipeline:
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _new_tokenizer(captions: list[str]) -> CLIPTokenizer:
    """A byte-level BPE of CLIP's kind. Every byte is in its vocabulary, so that no prompt has an unknown token."""
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    bpe.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=3000, special_tokens=[], end_of_word_suffix="</w>", initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(captions, trainer)
    model = json.loads(bpe.to_str())["model"]
    vocabulary = model["vocab"]
    for token in [letter + "</w>" for letter in alphabet] + ["<|startoftext|>", "<|endoftext|>"]:
        vocabulary.setdefault(token, len(vocabulary))
    return CLIPTokenizer(vocab=vocabulary, merges=[tuple(m) for m in model["merges"]], model_max_length=CONTEXT)
