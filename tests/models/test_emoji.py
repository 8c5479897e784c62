"""The shipped model matches its card, loads without network, and its training can be run again."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

# pyright: reportPrivateImportUsage=false
from diffusers import StableDiffusionPipeline
from PIL import Image, ImageDraw

ROOT = Path(__file__).parents[2]
MODEL = ROOT / "models/emoji"


def load(folder: Path) -> Any:
    return StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, local_files_only=True)


@pytest.fixture(scope="module")
def shipped() -> Any:
    return load(MODEL)


def test_holds_only_safetensors_and_text() -> None:
    files = [path for path in MODEL.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md", ".png"}
    assert sum(path.stat().st_size for path in files) < 25 * 2**20


def test_configs_name_no_other_machine() -> None:
    for path in MODEL.rglob("*.json"):
        if path.name != "tokenizer.json":
            assert "_name_or_path" not in json.loads(path.read_text(encoding="utf-8")), path


def test_is_what_the_card_says(shipped: Any) -> None:
    assert shipped.vae.config.sample_size == 64
    assert (shipped.unet.config.in_channels, shipped.unet.config.sample_size) == (8, 8)
    assert shipped.scheduler.config.prediction_type == "v_prediction"
    assert shipped.scheduler.config.beta_schedule == "scaled_linear"
    assert shipped.tokenizer.model_max_length == 16
    for part, millions in ((shipped.text_encoder, 0.7), (shipped.unet, 7.2), (shipped.vae, 2.1)):
        assert sum(p.numel() for p in part.parameters()) / 1e6 == pytest.approx(millions, abs=0.06)
        assert all(p.isfinite().all() for p in part.parameters())


def test_draws_a_red_heart(shipped: Any) -> None:
    """Mostly red in the middle, white in the corners: wrong weights or a wrong schedule make neither."""
    shipped.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    picture = shipped(
        "red heart", num_inference_steps=12, guidance_scale=3.0, generator=generator, output_type="np"
    ).images[0]
    assert picture.shape == (64, 64, 3)
    red, green, blue = picture[24:36, 24:40].mean((0, 1))
    assert red > 0.7
    assert max(green, blue) < 0.4
    assert picture[-6:, :6].mean() > 0.9


@pytest.fixture
def data(tmp_path: Path) -> tuple[Path, Path]:
    """The two npm packages in small: a few discs of several colours."""
    emoji, keywords = tmp_path / "emoji", tmp_path / "emojilib"
    (emoji / "img/google/64").mkdir(parents=True)
    (keywords / "dist").mkdir(parents=True)
    entries, words = [], {}
    for number, colour in enumerate(("red", "green", "blue", "orange")):
        code = 0x1F534 + number
        picture = Image.new("RGBA", (64, 64))
        ImageDraw.Draw(picture).ellipse((8, 8, 56, 56), fill=colour)
        picture.save(emoji / f"img/google/64/{code:x}.png")
        entries.append(
            {
                "unified": f"{code:X}",
                "name": f"LARGE {colour.upper()} CIRCLE",
                "short_name": f"{colour}_circle",
                "image": f"{code:x}.png",
                "category": "Objects" if number else "Symbols",
                "subcategory": "geometric",
                "has_img_google": True,
            }
        )
        words[chr(code)] = [f"{colour}_circle", "disc"]
    (emoji / "emoji.json").write_text(json.dumps(entries), encoding="utf-8")
    (keywords / "dist/emoji-en-US.json").write_text(json.dumps(words), encoding="utf-8")
    return emoji, keywords


def train(*arguments: str | Path) -> str:
    # Two pictures a step: where the CPU has no instructions for bfloat16, a full batch takes minutes on a busy machine.
    command = [sys.executable, "-m", "models.train_emoji", "--threads", "1", "train", *map(str, arguments)]
    command += ["--batch", "2"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_trains_anew(tmp_path: Path, data: tuple[Path, Path]) -> None:
    out = tmp_path / "new"
    printed = train(*data, out, "--autoencoder", "1", "--denoiser", "2")
    assert "step 2" in printed
    assert "velocity error" in printed
    pipeline = load(out)
    assert pipeline.vae.config.scaling_factor > 0
    assert [path.name for path in tmp_path.iterdir() if path.suffix in (".new", ".old")] == []


@pytest.mark.slow
def test_goes_on_from_the_shipped_weights(tmp_path: Path, data: tuple[Path, Path], shipped: Any) -> None:
    """The decoder's stage moves the decoder, and nothing that the latents' meaning hangs on."""
    out = tmp_path / "more"
    train(*data, out, "--resume", MODEL, "--decoder", "2")
    more = load(out)
    moved = {name for name, p in shipped.vae.named_parameters() if not torch.equal(p, more.vae.get_parameter(name))}
    assert moved
    assert all(name.startswith(("decoder.", "post_quant_conv.")) for name in moved), moved
    for part in ("unet", "text_encoder"):
        theirs = getattr(more, part).state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in getattr(shipped, part).state_dict().items())
