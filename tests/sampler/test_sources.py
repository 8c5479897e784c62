"""Models from single files, quantised, and from damaged ones, against the folder in diffusers' format."""

import shutil
from pathlib import Path

import gguf
import pytest
import torch
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModelWithProjection

from sampler import Source, UnsupportedModel, load_model
from tests.sampler import originals, tiny
from tests.sampler.oracle import Request, ours
from tests.sampler.problems import relative_error

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")

ASKED = Request(32, 48)
Q8, Q4 = gguf.GGMLQuantizationType.Q8_0, gguf.GGMLQuantizationType.Q4_0


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folders in diffusers' format, by family."""
    folder = tmp_path_factory.mktemp("models")
    return {family: tiny.build(family, folder) for family in ("stable-diffusion", "flux")} | {"sdxl": _xl(folder)}


def _xl(folder: Path) -> Path:
    """Stable Diffusion XL, whose two text encoders are told apart by their widths."""
    torch.manual_seed(0)
    pipeline = tiny.stable_diffusion_xl()
    config = pipeline.text_encoder_2.config
    config.hidden_size = 24
    pipeline.text_encoder_2 = CLIPTextModelWithProjection(config).eval()
    added = {"addition_embed_type": "text_time", "addition_time_embed_dim": 8}
    pipeline.unet = tiny.unet(cross_attention_dim=40, projection_class_embeddings_input_dim=6 * 8 + 12, **added)
    tiny.liven(pipeline.unet)
    pipeline.save_pretrained(folder / "sdxl")
    return folder / "sdxl"


def pipeline_of(folder):
    return DiffusionPipeline.from_pretrained(folder, local_files_only=True)


def picture(source):
    """The sample and the picture of a source."""
    model = load_model(source)
    sample = ours(model, [ASKED], [1])[0]
    return sample, model.decode(sample[None])


@pytest.mark.parametrize("family", ["stable-diffusion", "sdxl"])
def test_a_checkpoint_in_the_original_layout_makes_the_picture_of_the_folder(models, tmp_path, family):
    file = originals.checkpoint(pipeline_of(models[family]), tmp_path / "checkpoint.safetensors")
    expected, shown = picture(models[family])
    sample, painted = picture(Source(str(file), base=str(models[family])))
    assert relative_error(sample, expected) < 1e-6
    assert torch.equal(painted, shown)


def test_what_a_checkpoint_lacks_is_found_beside_it(models, tmp_path):
    """The configuration and the tokenizers alone are enough: the weights are not looked at."""
    beside = tmp_path / "checkpoint"
    shutil.copytree(models["stable-diffusion"], beside, ignore=shutil.ignore_patterns("*.safetensors"))
    file = originals.checkpoint(pipeline_of(models["stable-diffusion"]), tmp_path / "checkpoint.safetensors")
    expected, _ = picture(models["stable-diffusion"])
    assert relative_error(picture(file)[0], expected) < 1e-6


def test_a_file_with_the_network_alone_replaces_that_of_its_base(models, tmp_path):
    other = pipeline_of(models["flux"]).transformer
    with torch.no_grad():
        other.proj_out.weight.mul_(1.5)
    file = tmp_path / "network.safetensors"
    save_file(other.state_dict(), file)
    sample, _ = picture(Source(str(file), base=str(models["flux"])))
    changed = shutil.copytree(models["flux"], tmp_path / "changed")
    other.save_pretrained(changed / "transformer")
    assert relative_error(sample, picture(changed)[0]) < 1e-6
    assert relative_error(sample, picture(models["flux"])[0]) > 1e-3


@pytest.mark.parametrize(("kind", "most"), [(Q8, 0.02), (Q4, 0.2)], ids=["Q8_0", "Q4_0"])
def test_a_gguf_network_makes_the_picture_of_its_dequantised_weights(models, tmp_path, kind, most):
    pipeline = pipeline_of(models["flux"])
    file = originals.write_gguf(pipeline.transformer, tmp_path / "network.gguf", kind)
    sample, _ = picture(Source(str(file), base=str(models["flux"])))
    assert 1e-6 < relative_error(sample, picture(models["flux"])[0]) < most
    # GGUF's own reader, with the weights that it gives in a network of float32.
    read = {t.name: torch.tensor(gguf.quants.dequantize(t.data, t.tensor_type)) for t in gguf.GGUFReader(file).tensors}
    shapes = pipeline.transformer.state_dict()
    pipeline.transformer.load_state_dict({key: value.reshape(shapes[key].shape) for key, value in read.items()})
    dequantised = shutil.copytree(models["flux"], tmp_path / "dequantised")
    pipeline.transformer.save_pretrained(dequantised / "transformer")
    assert relative_error(sample, picture(dequantised)[0]) < 1e-3  # GGUF keeps a block's scale in float16


@pytest.mark.filterwarnings("ignore:.*Quanto:FutureWarning")
def test_weights_are_quantised_as_they_are_loaded(models):
    pytest.importorskip("optimum.quanto")
    quantization = {
        "quant_backend": "quanto", "quant_kwargs": {"weights_dtype": "int8"}, "components_to_quantize": ["transformer"],
    }  # fmt: skip
    sample, _ = picture(Source(str(models["flux"]), quantization=quantization))
    assert 1e-6 < relative_error(sample, picture(models["flux"])[0]) < 0.05


def test_quantisation_that_diffusers_does_not_know_is_refused(models):
    with pytest.raises(UnsupportedModel, match=r"quant_backend must be one of .*quanto"):
        load_model(Source(str(models["flux"]), quantization={"quant_backend": "best", "quant_kwargs": {}}))


def test_a_variant_of_the_weights_is_loaded(models, tmp_path):
    pipeline_of(models["stable-diffusion"]).save_pretrained(tmp_path / "model", variant="fp16")
    expected, _ = picture(models["stable-diffusion"])
    assert relative_error(picture(Source(str(tmp_path / "model"), variant="fp16"))[0], expected) < 1e-6
    with pytest.raises(UnsupportedModel, match="could not be loaded"):
        load_model(Source(str(tmp_path / "model"), variant="fp8"))


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".bin"])
def test_pickled_checkpoints_are_refused(tmp_path, suffix):
    torch.save({}, tmp_path / f"model{suffix}")
    with pytest.raises(UnsupportedModel, match=r"is a pickle, which may run any code .*convert it to \.safetensors"):
        load_model(tmp_path / f"model{suffix}")


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UnsupportedModel, match="there is no such file"):
        load_model(tmp_path / "model.safetensors")


def test_a_file_of_the_hub_that_is_not_allowed_is_not_looked_for(monkeypatch):
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *_, **__: pytest.fail("it was"))
    with pytest.raises(UnsupportedModel, match="there is no such file"):
        load_model("owner/name/file.gguf", allowed=["owner/name/other.gguf"])


def test_a_checkpoint_without_configuration_is_refused(models, tmp_path):
    file = originals.checkpoint(pipeline_of(models["stable-diffusion"]), tmp_path / "checkpoint.safetensors")
    with pytest.raises(
        UnsupportedModel, match="the configuration and the tokenizers as its base, or put that into a f"
    ):
        load_model(file)


def test_a_cut_file_is_refused(models, tmp_path):
    file = originals.checkpoint(pipeline_of(models["stable-diffusion"]), tmp_path / "checkpoint.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UnsupportedModel, match=r"checkpoint\.safetensors could not be loaded: .*incomplete"):
        load_model(Source(str(file), base=str(models["stable-diffusion"])))


def test_a_file_that_lacks_weights_is_refused(models, tmp_path):
    file = originals.checkpoint(pipeline_of(models["stable-diffusion"]), tmp_path / "checkpoint.safetensors")
    weights = load_file(file)
    del weights["model.diffusion_model.out.2.weight"]
    save_file(weights, file)
    with pytest.raises(UnsupportedModel, match="its files lack weights that its configuration has"):
        load_model(Source(str(file), base=str(models["stable-diffusion"])))
