"""What cannot be loaded is refused, and the message has the reason."""

import json
import shutil

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
)

from sampler import UnsupportedModel, load_model
from sampler.models.adapter import PipelineModel
from tests.sampler.conftest import EMOJI


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped model that a test may spoil."""
    return shutil.copytree(EMOJI, tmp_path / "model")


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(UnsupportedModel, match=r"no model_index\.json"):
        load_model(tmp_path / "nothing")


def test_an_index_that_is_not_json(folder):
    (folder / "model_index.json").write_text("{")
    with pytest.raises(UnsupportedModel, match="not valid JSON"):
        load_model(folder)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("BestPipeline", "BestPipeline is not a pipeline of diffusers"),
        ("UNet2DModel", "UNet2DModel is not a pipeline of diffusers"),
        ("KandinskyPipeline", "KandinskyPipeline needs more than a prompt: image_embeds, negative_image_embeds"),
    ],
)
def test_pipelines_that_make_no_picture_from_a_prompt(folder, name, message):
    edit(folder / "model_index.json", _class_name=name)
    with pytest.raises(UnsupportedModel, match=message):
        load_model(folder)


def test_code_in_the_folder_is_never_run(folder):
    (folder / "unet" / "evil.py").write_text("raise SystemExit('ran')")
    edit(folder / "model_index.json", unet=["evil", "Evil"])
    with pytest.raises(UnsupportedModel, match="foreign code"):
        load_model(folder)


def test_pickled_weights_are_not_loaded(folder):
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.unlink()
    torch.save({}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(UnsupportedModel, match="could not be loaded"):
        load_model(folder)


def test_nothing_is_printed_while_loading(capfd, caplog):
    load_model(EMOJI)
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def with_scheduler(emoji, scheduler):
    parts = dict(emoji.pipeline.components) | {"scheduler": scheduler}
    return PipelineModel(type(emoji.pipeline)(**parts, requires_safety_checker=False))


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")
@pytest.mark.parametrize(
    ("other", "solver"), [(DDPMScheduler, "ddim"), (PNDMScheduler, "dpm++"), (EulerAncestralDiscreteScheduler, "euler")]
)
def test_schedulers_without_a_solver_are_sampled_by_the_nearest_and_it_is_said(emoji, other, solver):
    model = with_scheduler(emoji, other.from_config(emoji.pipeline.scheduler.config))
    assert model.substitute() == (solver, other.__name__)
    assert torch.equal(model.solver(20).grid.alpha, emoji.solver(20, solver).grid.alpha)
    assert emoji.substitute() is None


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (LCMScheduler(steps_offset=1, clip_sample=False), "LCMScheduler cannot be sampled: it adds new noise in each"),
        (DPMSolverMultistepScheduler(steps_offset=1, solver_order=3), "solver_order 3 is not supported: set it to 2"),
        (DDIMScheduler(steps_offset=1, clip_sample=False, thresholding=True), "thresholding"),
        (DDIMScheduler(steps_offset=1, clip_sample=False, rescale_betas_zero_snr=True), "v_prediction"),
    ],
)
def test_schedulers_that_cannot_be_sampled_are_refused(emoji, scheduler, message):
    with pytest.raises(UnsupportedModel, match=message):
        with_scheduler(emoji, scheduler)


def test_a_hub_repository_that_is_not_allowed_is_not_looked_for(monkeypatch):
    monkeypatch.setattr("diffusers.DiffusionPipeline.download", lambda *_, **__: pytest.fail("it was"))
    with pytest.raises(UnsupportedModel, match="a hub repository has to be allowed"):
        load_model("owner/name", allowed=["owner/other"])


def test_an_allowed_hub_repository_is_loaded_from_the_cache_of_the_hub(tmp_path, monkeypatch):
    """The cache as the hub's client lays it out; nothing else of the repository is fetched while offline."""
    snapshot = tmp_path / "models--owner--name" / "snapshots" / ("0" * 40)
    shutil.copytree(EMOJI, snapshot)
    (tmp_path / "models--owner--name" / "refs").mkdir()
    (tmp_path / "models--owner--name" / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    model = load_model("owner/name", allowed=["owner/name"])
    assert isinstance(model, PipelineModel)


def test_an_allowed_hub_repository_that_cannot_be_had_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UnsupportedModel, match="owner/name could not be downloaded"):
        load_model("owner/name", allowed=["owner/name"])


def test_a_safety_checker_is_left_out(folder):
    """The classic repositories name one, in a module of diffusers' own."""
    edit(folder / "model_index.json", safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"])
    assert load_model(folder).pipeline.safety_checker is None


def test_weights_that_do_not_fit_their_config_are_refused(folder):
    edit(folder / "unet" / "config.json", block_out_channels=[8, 16, 24])
    with pytest.raises(UnsupportedModel, match="could not be loaded"):
        load_model(folder)
