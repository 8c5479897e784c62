"""Tiny randomly initialised pipelines of diffusers' text-to-image classes, built from configs, by the class's name.

Most of them read their prompts with a large language model: here it is one small Qwen3, of the width that each needs,
and a tokenizer of letters.
"""

# pyright: reportArgumentType=false, reportPrivateImportUsage=false, reportUnknownMemberType=false
# (diffusers' annotations are narrower than what it takes)
import inspect
from collections.abc import Callable
from typing import Any

import diffusers as d
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3Model

from tests.sampler import tiny
from tests.sampler.tiny import autoencoder, clip, clip_tokenizer, t5_of_width, t5_tokenizer, unet

LETTERS = ["<pad>", "<s>", "</s>", "<unk>", *map(chr, range(32, 127))]
CHAT = "{% for m in messages %}{{ m['content'] if m['content'] is string else m['content'][0]['text'] }}{% endfor %}"


def letters() -> Any:
    """A tokenizer that takes each character for a word."""
    made = Tokenizer(models.WordLevel({letter: n for n, letter in enumerate(LETTERS)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    fast = PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
        model_max_length=64,
    )  # fmt: skip
    fast.chat_template = CHAT
    return fast


def language(width: int = 16, layers: int = 2, words: int = 128) -> Any:
    """A small language model."""
    config = Qwen3Config(
        vocab_size=words, hidden_size=width, intermediate_size=16, num_hidden_layers=layers, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=2048,
    )  # fmt: skip
    return Qwen3Model(config).eval()


def eighth() -> Any:
    """An autoencoder of eight pixels a latent, for pipelines that count on it."""
    return d.AutoencoderKL(
        block_out_channels=(4, 4, 4, 8), down_block_types=("DownEncoderBlock2D",) * 4, norm_num_groups=4,
        up_block_types=("UpDecoderBlock2D",) * 4, latent_channels=4,
    )  # fmt: skip


def long_clip(width: int | None = None) -> Any:
    """CLIP for as many words as pipelines say, whatever the tokenizer does."""
    config = clip(width).config
    config.max_position_embeddings = 256
    return type(clip(width))(config).eval()


def flow(**options: Any) -> Any:
    return d.FlowMatchEulerDiscreteScheduler(**options)


def latents(**changes: Any) -> Any:
    """An autoencoder of four channels."""
    return autoencoder(**({"shift_factor": 0.1} | changes))


def video_autoencoder(channels: int = 4) -> Any:
    return d.AutoencoderKLQwenImage(
        base_dim=8, z_dim=channels, dim_mult=[1, 2, 4], num_res_blocks=1, temperal_downsample=[False, True],
        latents_mean=[0.1] * channels, latents_std=[1.1] * channels,
    )  # fmt: skip


def flux2(klein: bool) -> Any:
    transformer = d.Flux2Transformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=48, timestep_guidance_channels=16, axes_dims_rope=[4, 4, 4, 4], guidance_embeds=not klein,
    )  # fmt: skip
    vae = d.AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4,
        block_out_channels=(8, 16), layers_per_block=1, latent_channels=4,
    )  # fmt: skip
    parts = {"transformer": transformer, "vae": vae, "scheduler": flow(), "tokenizer": letters()}
    made: Any = d.Flux2KleinPipeline if klein else d.Flux2Pipeline
    return made(text_encoder=language(16, 30), **parts)


def aura() -> Any:
    transformer = d.AuraFlowTransformer2DModel(
        sample_size=32, patch_size=2, in_channels=4, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=8,
        num_attention_heads=4, caption_projection_dim=32, joint_attention_dim=32, out_channels=4,
        pos_embed_max_size=256,
    )  # fmt: skip
    return d.AuraFlowPipeline(t5_tokenizer(), t5_of_width(32), latents(), transformer, flow())


def chroma() -> Any:
    transformer = d.ChromaTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, axes_dims_rope=[4, 4, 8], approximator_hidden_dim=32, approximator_layers=1,
        approximator_num_channels=16,
    )  # fmt: skip
    return d.ChromaPipeline(flow(), latents(), t5_of_width(32), t5_tokenizer(), transformer)


def bria() -> Any:
    transformer = d.BriaTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=None, axes_dims_rope=[0, 4, 4],
    )  # fmt: skip
    return d.BriaPipeline(transformer, flow(), latents(), t5_of_width(32), t5_tokenizer())


def bria_fibo() -> Any:
    transformer = d.BriaFiboTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=64, text_encoder_dim=32, pooled_projection_dim=None, axes_dims_rope=[0, 4, 4],
    )  # fmt: skip
    vae = d.AutoencoderKLWan(
        base_dim=16, decoder_base_dim=16, num_res_blocks=1, out_channels=12, patch_size=2, scale_factor_spatial=16,
        temperal_downsample=[False, True, True], z_dim=16,
    )  # fmt: skip
    return d.BriaFiboPipeline(transformer, flow(), vae, language(32, words=128_001), letters())


def cogview3() -> Any:
    transformer = d.CogView3PlusTransformer2DModel(
        patch_size=2, in_channels=4, num_layers=1, attention_head_dim=4, num_attention_heads=2, out_channels=4,
        text_embed_dim=32, time_embed_dim=8, condition_dim=2, pos_embed_max_size=64, sample_size=8,
    )  # fmt: skip
    return d.CogView3PlusPipeline(
        t5_tokenizer(), t5_of_width(32), autoencoder(), transformer, d.CogVideoXDDIMScheduler()
    )


def cogview4() -> Any:
    transformer = d.CogView4Transformer2DModel(
        patch_size=2, in_channels=4, num_layers=2, attention_head_dim=4, num_attention_heads=4, out_channels=4,
        text_embed_dim=32, time_embed_dim=8, condition_dim=4,
    )  # fmt: skip
    scheduler = flow(
        base_shift=0.25, max_shift=0.75, base_image_seq_len=256, use_dynamic_shifting=True, time_shift_type="linear"
    )
    return d.CogView4Pipeline(letters(), language(32), autoencoder(), transformer, scheduler)


def cosmos() -> Any:
    transformer = d.CosmosTransformer3DModel(
        in_channels=16, out_channels=16, num_attention_heads=2, attention_head_dim=16, num_layers=2, mlp_ratio=2,
        text_embed_dim=32, adaln_lora_dim=4, max_size=(4, 32, 32), patch_size=(1, 2, 2), rope_scale=(2.0, 1.0, 1.0),
        concat_padding_mask=False, extra_pos_embed_type="learnable",
    )  # fmt: skip
    vae = d.AutoencoderKLWan(
        base_dim=3, z_dim=16, dim_mult=[1, 1, 1, 1], num_res_blocks=1, temperal_downsample=[False, True, True]
    )

    class Everything:
        """Every prompt and picture is fine."""

        def to(self, *_: Any) -> "Everything":
            return self

        def check_text_safety(self, text: str) -> bool:
            return True

        def check_video_safety(self, video: Any) -> Any:
            return video

    scheduler = flow(use_karras_sigmas=True)
    return d.Cosmos2TextToImagePipeline(t5_of_width(32), t5_tokenizer(), transformer, vae, scheduler, Everything())


def hidream() -> Any:
    transformer = d.HiDreamImageTransformer2DModel(
        patch_size=2, in_channels=4, out_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=8,
        num_attention_heads=4, caption_channels=[32, 16], text_emb_dim=64, num_routed_experts=4,
        num_activated_experts=2, axes_dims_rope=(4, 2, 2), max_resolution=(32, 32), llama_layers=(0, 1),
    )  # fmt: skip
    return d.HiDreamImagePipeline(
        flow(), latents(), long_clip(32), clip_tokenizer(), long_clip(32), clip_tokenizer(), t5_of_width(32),
        t5_tokenizer(), language(16), letters(), transformer,
    )  # fmt: skip


def kandinsky5() -> Any:
    transformer = d.Kandinsky5Transformer3DModel(
        in_visual_dim=4, in_text_dim=32, in_text_dim2=16, time_dim=16, out_visual_dim=4, patch_size=(1, 2, 2),
        model_dim=16, ff_dim=32, num_text_blocks=1, num_visual_blocks=2, axes_dims=(1, 1, 2), visual_cond=False,
        attention_type="regular",
    )  # fmt: skip
    return d.Kandinsky5T2IPipeline(
        transformer, eighth(), language(32), letters(), long_clip(), clip_tokenizer(), flow(shift=7.0)
    )


def kandinsky3() -> Any:
    network = d.Kandinsky3UNet(
        in_channels=4, time_embedding_dim=4, groups=2, attention_head_dim=4, layers_per_block=3,
        block_out_channels=(32, 64), cross_attention_dim=4, encoder_hid_dim=32,
    )  # fmt: skip
    scheduler = d.DDPMScheduler(beta_schedule="squaredcos_cap_v2", clip_sample=False)
    movq = d.VQModel(
        block_out_channels=[4, 4, 4, 8], down_block_types=["DownEncoderBlock2D"] * 4, norm_num_groups=4,
        latent_channels=4, up_block_types=["UpDecoderBlock2D"] * 4, num_vq_embeddings=12, vq_embed_dim=4,
    )  # fmt: skip
    return d.Kandinsky3Pipeline(t5_tokenizer(), t5_of_width(32), network, scheduler, movq)


def krea() -> Any:
    transformer = d.Krea2Transformer2DModel(
        in_channels=16, num_layers=2, attention_head_dim=8, num_attention_heads=4, num_key_value_heads=2,
        intermediate_size=32, timestep_embed_dim=8, text_hidden_dim=16, num_text_layers=3, text_num_attention_heads=2,
        text_num_key_value_heads=1, text_intermediate_size=16, num_layerwise_text_blocks=1, num_refiner_text_blocks=1,
        axes_dims_rope=(4, 2, 2), rope_theta=1000.0,
    )  # fmt: skip
    scheduler = flow(use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, max_image_seq_len=6400)
    return d.Krea2Pipeline(
        scheduler, video_autoencoder(), seeing(), letters(), transformer, text_encoder_select_layers=(0, 1, 2)
    )


def seeing() -> Any:
    """A small language model with positions in pictures."""
    from transformers import Qwen3VLConfig, Qwen3VLModel

    text = {
        "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
        "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 128,
    }  # fmt: skip
    vision = {"depth": 2, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16}
    return Qwen3VLModel(Qwen3VLConfig(text_config=text, vision_config=vision)).eval()


def lumina() -> Any:
    transformer = d.LuminaNextDiT2DModel(
        sample_size=4, patch_size=2, in_channels=4, hidden_size=16, num_layers=2, num_attention_heads=2, num_kv_heads=1,
        multiple_of=16, norm_eps=1e-5, learn_sigma=True, qk_norm=True, cross_attention_dim=16, scaling_factor=1.0,
    )  # fmt: skip
    return d.LuminaPipeline(transformer, flow(), autoencoder(), language(16), letters())


def lumina2() -> Any:
    transformer = d.Lumina2Transformer2DModel(
        sample_size=4, patch_size=2, in_channels=4, hidden_size=16, num_layers=2, num_attention_heads=2, num_kv_heads=2,
        multiple_of=16, norm_eps=1e-5, scaling_factor=1.0, axes_dim_rope=[4, 2, 2], cap_feat_dim=16,
    )  # fmt: skip
    return d.Lumina2Pipeline(transformer, flow(), latents(), language(16), letters())


def ovis() -> Any:
    transformer = d.OvisImageTransformer2DModel(
        patch_size=1, in_channels=16, out_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=32, axes_dims_rope=(4, 4, 8),
    )  # fmt: skip
    return d.OvisImagePipeline(flow(), latents(), language(32), letters(), transformer)


def longcat() -> Any:
    transformer = d.LongCatImageTransformer2DModel(
        patch_size=1, in_channels=64, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=[4, 4, 8],
    )  # fmt: skip
    return d.LongCatImagePipeline(flow(), latents(channels=16), language(32), letters(), None, transformer)


def prx() -> Any:
    transformer = d.PRXTransformer2DModel(
        patch_size=1,
        in_channels=4,
        context_in_dim=16,
        hidden_size=8,
        mlp_ratio=2.0,
        num_heads=2,
        depth=1,
        axes_dim=[2, 2],
    )
    return d.PRXPipeline(transformer, flow(), language(16), letters(), latents())


def qwen() -> Any:
    transformer = d.QwenImageTransformer2DModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=2, attention_head_dim=16, num_attention_heads=3,
        joint_attention_dim=16, guidance_embeds=False, axes_dims_rope=(8, 4, 4),
    )  # fmt: skip
    return d.QwenImagePipeline(flow(), video_autoencoder(), language(16), letters(), transformer)


def deep_autoencoder() -> Any:
    return d.AutoencoderDC(
        in_channels=3, latent_channels=4, attention_head_dim=2, encoder_block_types=("ResBlock", "EfficientViTBlock"),
        decoder_block_types=("ResBlock", "EfficientViTBlock"), encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8), encoder_qkv_multiscales=((), (5,)), decoder_qkv_multiscales=((), (5,)),
        encoder_layers_per_block=(1, 1), decoder_layers_per_block=(1, 1), downsample_block_type="conv",
        upsample_block_type="interpolate", decoder_norm_types="rms_norm", decoder_act_fns="silu",
        scaling_factor=0.41407,
    )  # fmt: skip


def sana(made: Any = None, scheduler: Any = None, **changes: Any) -> Any:
    transformer = d.SanaTransformer2DModel(
        patch_size=1, in_channels=4, out_channels=4, num_layers=1, num_attention_heads=2, attention_head_dim=4,
        num_cross_attention_heads=2, cross_attention_head_dim=4, cross_attention_dim=8, caption_channels=16,
        sample_size=32, **changes,
    )  # fmt: skip
    scheduler = scheduler or flow(shift=7.0)
    return (made or d.SanaPipeline)(letters(), language(16), deep_autoencoder(), transformer, scheduler)


def z_image() -> Any:
    transformer = d.ZImageTransformer2DModel(
        all_patch_size=(2,), all_f_patch_size=(1,), in_channels=4, dim=32, n_layers=2, n_refiner_layers=1, n_heads=2,
        n_kv_heads=2, qk_norm=True, cap_feat_dim=16, rope_theta=256.0, t_scale=1000.0, axes_dims=[8, 4, 4],
        axes_lens=[256, 64, 64],
    )  # fmt: skip
    with torch.no_grad():  # what it leaves as it is in memory
        transformer.x_pad_token.fill_(1)
        transformer.cap_pad_token.fill_(1)
    return d.ZImagePipeline(flow(), latents(), language(16), letters(), transformer)


def hunyuan_dit(made: Any = None) -> Any:
    from transformers import BertConfig, BertModel

    transformer = d.HunyuanDiT2DModel(
        sample_size=16, num_layers=2, patch_size=2, attention_head_dim=8, num_attention_heads=3, in_channels=4,
        cross_attention_dim=32, cross_attention_dim_t5=32, pooled_projection_dim=16, hidden_size=24,
        activation_fn="gelu-approximate", text_len=77, text_len_t5=256,
    )  # fmt: skip
    bert = BertModel(
        BertConfig(vocab_size=128, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    )
    return (made or d.HunyuanDiTPipeline)(
        eighth(), bert.eval(), letters(), transformer, d.DDIMScheduler(clip_sample=False), None, None, False,
        t5_of_width(32), t5_tokenizer(),
    )  # fmt: skip


def hunyuan_image() -> Any:
    transformer = d.HunyuanImageTransformer2DModel(
        in_channels=4, out_channels=4, num_attention_heads=4, attention_head_dim=8, num_layers=1, num_single_layers=1,
        num_refiner_layers=1, patch_size=(1, 1), guidance_embeds=False, text_embed_dim=32, text_embed_2_dim=32,
        rope_axes_dim=(4, 4),
    )  # fmt: skip
    vae = d.AutoencoderKLHunyuanImage(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=(32, 64, 64, 64), layers_per_block=1,
        scaling_factor=0.476986, spatial_compression_ratio=8, sample_size=128,
    )  # fmt: skip
    momentum = {"adaptive_projected_guidance_momentum": -0.5, "enabled": True}
    guiders = [d.AdaptiveProjectedMixGuidance(**momentum) for _ in range(2)]
    return d.HunyuanImagePipeline(
        flow(shift=7.0), vae, language(32), letters(), t5_of_width(32), t5_tokenizer(), transformer, *guiders
    )


def ernie() -> Any:
    transformer = d.ErnieImageTransformer2DModel(
        hidden_size=32, num_attention_heads=2, num_layers=1, ffn_hidden_size=32, in_channels=16, out_channels=16,
        patch_size=1, text_in_dim=16, rope_axes_dim=(4, 6, 6),
    )  # fmt: skip
    vae = flux2(klein=True).vae
    return d.ErnieImagePipeline(transformer, vae, language(16), letters(), flow())


def deepfloyd() -> Any:
    network = unet(
        sample_size=64, in_channels=3, out_channels=6, cross_attention_dim=16, encoder_hid_dim=32,
        encoder_hid_dim_type="text_proj",
        addition_embed_type="text", addition_embed_type_num_heads=2,
    )  # fmt: skip
    scheduler = d.DDPMScheduler(variance_type="fixed_small", clip_sample=False)
    return d.IFPipeline(t5_tokenizer(), t5_of_width(32), network, scheduler, None, None, None, False)


def perturbed(name: str, made: Any) -> Any:
    """A family's pipeline with perturbed-attention guidance, from the parts of the plain one."""
    given = inspect.signature(made.__init__).parameters
    parts = {k: v for k, v in tiny.FAMILIES[name]().components.items() if k in given}
    more = {"requires_safety_checker": False} if "requires_safety_checker" in given else {}
    applied = "blocks.1" if "unet" not in parts else ["mid"]
    return made(**parts, **more, pag_applied_layers=applied)


def of_stable_diffusion(made: Any, **changes: Any) -> Any:
    parts = tiny.FAMILIES["stable-diffusion"]().components | {"safety_checker": None} | changes
    return made(**parts, requires_safety_checker=False)


def stable_diffusion_3_for_masks() -> Any:
    """Its inpainting pipeline counts 16 channels."""
    transformer = d.SD3Transformer2DModel(
        sample_size=16, patch_size=2, in_channels=16, num_layers=2, attention_head_dim=8, num_attention_heads=2,
        joint_attention_dim=48, caption_projection_dim=16, pooled_projection_dim=24, out_channels=16,
    )  # fmt: skip
    vae = autoencoder(16, shift_factor=0.06)
    return d.StableDiffusion3Pipeline(**tiny.stable_diffusion_3().components | {"transformer": transformer, "vae": vae})


def stable_diffusion_xl_inpaint() -> Any:
    parts = tiny.stable_diffusion_xl().components
    return d.StableDiffusionXLInpaintPipeline(**parts | {"unet": unet(**parts["unet"].config | {"in_channels": 9})})


def flux_fill() -> Any:
    parts = {k: v for k, v in tiny.flux().components.items() if k not in ("image_encoder", "feature_extractor")}
    transformer = d.FluxTransformer2DModel(
        in_channels=16 + 16 + 16, out_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=16, pooled_projection_dim=16, guidance_embeds=True,
        axes_dims_rope=(4, 4, 8),
    )  # fmt: skip
    return d.FluxFillPipeline(**parts | {"transformer": transformer})


PIPELINES: dict[str, Callable[[], Any]] = {
    "AuraFlowPipeline": aura,
    "BriaFiboPipeline": bria_fibo,
    "BriaPipeline": bria,
    "ChromaPipeline": chroma,
    "CogView3PlusPipeline": cogview3,
    "CogView4Pipeline": cogview4,
    "Cosmos2TextToImagePipeline": cosmos,
    "DDIMPipeline": tiny.FAMILIES["ddim-pixels"],
    "DDPMPipeline": tiny.FAMILIES["ddpm-pixels"],
    "DiTPipeline": tiny.dit,
    "ErnieImagePipeline": ernie,
    "Flux2KleinPipeline": lambda: flux2(klein=True),
    "Flux2Pipeline": lambda: flux2(klein=False),
    "FluxFillPipeline": flux_fill,
    "FluxKontextPipeline": lambda: d.FluxKontextPipeline(**tiny.flux().components),
    "FluxPipeline": tiny.flux,
    "HiDreamImagePipeline": hidream,
    "HunyuanDiTPipeline": hunyuan_dit,
    "HunyuanDiTPAGPipeline": lambda: hunyuan_dit(d.HunyuanDiTPAGPipeline),
    "HunyuanImagePipeline": hunyuan_image,
    "IFPipeline": deepfloyd,
    "Kandinsky3Pipeline": kandinsky3,
    "Kandinsky5T2IPipeline": kandinsky5,
    "Krea2Pipeline": krea,
    "LatentConsistencyModelPipeline": lambda: of_stable_diffusion(
        d.LatentConsistencyModelPipeline, unet=unet(time_cond_proj_dim=8), scheduler=d.LCMScheduler()
    ),
    "LongCatImagePipeline": longcat,
    "Lumina2Pipeline": lumina2,
    "LuminaPipeline": lumina,
    "OvisImagePipeline": ovis,
    "PRXPipeline": prx,
    "PixArtAlphaPipeline": lambda: tiny.pixart(alpha=True),
    "PixArtSigmaPAGPipeline": lambda: perturbed("pixart-sigma", d.PixArtSigmaPAGPipeline),
    "PixArtSigmaPipeline": tiny.pixart,
    "QwenImagePipeline": qwen,
    "SanaPAGPipeline": lambda: sana(d.SanaPAGPipeline),
    "SanaPipeline": sana,
    "SanaSprintPipeline": lambda: sana(
        d.SanaSprintPipeline, d.SCMScheduler(), guidance_embeds=True, qk_norm="rms_norm_across_heads"
    ),
    "StableDiffusion3PAGPipeline": lambda: perturbed("stable-diffusion-3", d.StableDiffusion3PAGPipeline),
    "StableDiffusion3Pipeline": tiny.stable_diffusion_3,
    "StableDiffusionInpaintPipeline": lambda: of_stable_diffusion(
        d.StableDiffusionInpaintPipeline, unet=unet(in_channels=9), scheduler=d.DDIMScheduler(**tiny.LATENTS)
    ),
    "StableDiffusionPAGPipeline": lambda: perturbed("stable-diffusion", d.StableDiffusionPAGPipeline),
    "StableDiffusionPanoramaPipeline": lambda: of_stable_diffusion(
        d.StableDiffusionPanoramaPipeline, scheduler=d.DDIMScheduler(clip_sample=False)
    ),
    "StableDiffusionPipeline": tiny.stable_diffusion,
    "StableDiffusionSAGPipeline": lambda: of_stable_diffusion(d.StableDiffusionSAGPipeline, vae=eighth()),
    "StableDiffusionXLInpaintPipeline": stable_diffusion_xl_inpaint,
    "StableDiffusionXLPAGPipeline": lambda: perturbed("stable-diffusion-xl", d.StableDiffusionXLPAGPipeline),
    "StableDiffusionXLPipeline": tiny.stable_diffusion_xl,
    "ZImagePipeline": z_image,
}


def build(name: str, make: Callable[[], Any] | None = None) -> Any:
    """The pipeline of a class, or of what `make` makes; always with the same weights."""
    torch.manual_seed(0)
    made = (make or PIPELINES[name])()
    for part in made.components.values():
        if isinstance(part, torch.nn.Module):
            tiny.liven(part)
            part.eval()
    made.set_progress_bar_config(disable=True)
    return made
