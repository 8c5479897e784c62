"""What is said of a model's files without loading them."""

import json
import re
import shutil

import numpy as np
import pytest
import tomlkit
from safetensors.numpy import load_file, save_file

from store.catalog import load_catalog
from store.settings import SHIPPED_CATALOG

EMOJI = SHIPPED_CATALOG.parent / "emoji"
ENTRY = {
    "id": "m", "title": "M", "description": "A model.", "license": "MIT", "width": 4, "example_prompts": ["a"],
    "defaults": {"steps": 5, "guidance_scale": 3.0, "width": 64, "height": 64, "tolerance": 0.01},
    "limits": {
        "max_steps": 9, "min_size": 64, "max_size": 64, "multiple_of": 8, "max_guidance_scale": 9.0, "max_images": 1,
        "max_prompt_characters": 9,
    },
}  # fmt: skip


@pytest.fixture
def model(tmp_path):
    """A copy of the shipped model, beside a catalogue."""
    return shutil.copytree(EMOJI, tmp_path / "model")


def look(folder, source="model", dtype="float32", **more):
    entry = {**ENTRY, "source": source, "dtype": dtype, **more}
    (folder / "catalog.toml").write_text(tomlkit.dumps({"models": [entry]}))
    return load_catalog(folder / "catalog.toml")["m"].files


def bytes_of(folder):
    return sum(value.size for file in folder.rglob("*.safetensors") for value in load_file(file).values())


def test_a_whole_folder(model, tmp_path):
    found = look(tmp_path)
    assert (found.folder, found.file, found.kind, found.fault) == (model, None, "StableDiffusionPipeline", None)
    assert found.size == 4 * bytes_of(model)
    assert look(tmp_path, dtype="bfloat16").size == 2 * bytes_of(model)


def test_quantised_weights_take_less(model, tmp_path):
    unet = bytes_of(model / "unet")
    eight = look(tmp_path, quantization={"quant_backend": "quanto", "quant_kwargs": {"weights_dtype": "int8"}})
    assert eight.size == pytest.approx(4 * (bytes_of(model) - unet) + 8.5 / 8 * unet, rel=1e-3)


def cut(model):
    file = model / "unet" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-1000])


def no_header(model):
    (model / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\xff" * 100)


def pointer(model):
    file = model / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def pickled(model):
    file = model / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".bin"))


def lacking_shard(model):
    index = {"weight_map": {"a": "diffusion_pytorch_model.safetensors", "b": "two.safetensors"}}
    (model / "unet" / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("spoil", "fault"),
    [
        (cut, r"diffusion_pytorch_model\.safetensors is cut: it has \d+ of \d+ bytes"),
        (no_header, r"diffusion_pytorch_model\.safetensors is damaged: it does not begin as safetensors files do"),
        (pointer, r"is a pointer of Git LFS: fetch the file itself"),
        (pickled, r"unet has pickled weights alone, which are not loaded: it needs \.safetensors files"),
        (lacking_shard, r"unet lacks two\.safetensors"),
        (lambda model: (model / "model_index.json").write_text("{"), r"model_index\.json does not name a pipeline"),
        (lambda model: (model / "model_index.json").unlink(), r"there is no .*model_index\.json"),
        (lambda model: shutil.rmtree(model), r"there is no .*model_index\.json"),
    ],
)
def test_faults_are_named(model, tmp_path, spoil, fault):
    spoil(model)
    found = look(tmp_path)
    assert found.fault is not None
    assert found.size == 0
    assert re.search(fault, found.fault)


def test_a_checkpoint_takes_what_it_lacks_from_beside_it(model, tmp_path):
    save_file({"first_stage_model.a": np.zeros(10, "float32")}, tmp_path / "model.safetensors")
    found = look(tmp_path, "model.safetensors")
    assert (found.folder, found.kind, found.fault, found.size) == (model, "StableDiffusionPipeline", None, 40)


def test_a_network_alone_adds_the_other_components_of_its_base(model, tmp_path):
    save_file({"conv_in.weight": np.zeros(10, "float32")}, tmp_path / "other.safetensors")
    found = look(tmp_path, "other.safetensors", base="model")
    assert found.fault is None
    assert found.size == 40 + 4 * (bytes_of(model) - bytes_of(model / "unet"))
    assert "name a folder or repository" in (look(tmp_path, "other.safetensors").fault or "")


@pytest.mark.parametrize("name", ["weights.ckpt", "weights.pt"])
def test_pickles_are_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    assert "is a pickle, which may run any code" in (look(tmp_path, name).fault or "")


def test_what_is_on_the_hub_is_not_known(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    for source in ("owner/name", "owner/name/file.gguf"):
        found = look(tmp_path, source)
        assert (found.folder, found.kind, found.fault, found.size) == (None, None, None, 0)
