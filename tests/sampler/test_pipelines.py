"""A selection of diffusers' pipelines through the adapter; `python -m benchmarks.pipelines` has all."""

import gc
import re

import pytest
import torch

from benchmarks.pipelines import measure, ours, request
from sampler import Model, UnsupportedModel
from sampler.models.adapter import WAITING, PipelineModel
from sampler.models.driven import Run
from tests.sampler.pipelines import build

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")


# Arguments that are lists of tensors; tokens and two calls for guidance; guidance that counts steps; a scheduler of its
# own; a list for each layer; a network whose attention is changed for a request.
@pytest.mark.parametrize(
    "name",
    [
        "ZImagePipeline",
        "QwenImagePipeline",
        "Lumina2Pipeline",
        "CogView3PlusPipeline",
        "BriaFiboPipeline",
        "PixArtSigmaPAGPipeline",
    ],
)
def test_a_pipeline_is_sampled_as_diffusers_does(name: str) -> None:
    row = measure(name)
    assert max(row.serial, row.batch, row.srds) < 1e-5


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("HunyuanImagePipeline", "its guidance remembers the steps before"),
        (
            "LatentConsistencyModelPipeline",
            "LCMScheduler cannot be sampled: it adds new noise in each of its few steps",
        ),
        ("Kandinsky5T2IPipeline", "its samples (1, 1, 128, 128, 4) do not cover"),
    ],
)
def test_a_pipeline_that_breaks_an_assumption_is_refused(name: str, message: str) -> None:
    with pytest.raises(UnsupportedModel, match=re.escape(message)):
        PipelineModel(build(name))


def test_a_pipeline_is_not_changed() -> None:
    pipeline = build("PRXPipeline")
    parts = dict(pipeline.components)
    model = PipelineModel(pipeline)
    ours(model, [request(model)])
    assert all(pipeline.components[name] is part for name, part in parts.items())
    size = {"height": 64, "width": 64, "use_resolution_binning": False}
    picture = pipeline("red heart", num_inference_steps=2, **size, output_type="np").images
    assert picture.shape == (1, 64, 64, 3)


def test_guidance_that_depends_on_the_step_is_that_of_the_step() -> None:
    """Lumina 2 guides only in the first part of the steps, by their index."""
    model = PipelineModel(build("Lumina2Pipeline"))
    height, width = model.some_size
    x = model.noise(1, height, width)[None].repeat(2, 1, 1, 1)
    times = torch.tensor(model.solver(10, height=height, width=width).grid.timestep)[[1, 8]]
    cut, whole = (
        model.encode("red heart", "pizza", 4.0, steps=10, height=height, width=width, cfg_trunc_ratio=ratio)
        for ratio in (0.5, 1.0)
    )
    early, late = model.denoise(x, times, [cut, cut]) - model.denoise(x, times, [whole, whole])
    assert early.abs().max() < 1e-5 < late.abs().max()


def waiting_runs() -> int:
    gc.collect()
    return sum(bool(each) for each in gc.get_objects() if type(each) is Run)


def test_runs_that_are_not_kept_are_ended(emoji: Model) -> None:
    """The garbage collector does not free a greenlet that waits."""
    before = waiting_runs()
    x, time = emoji.noise(1, 64, 64)[None], torch.tensor([500.0])
    for number in range(WAITING + 20):
        emoji.denoise(x, time, [emoji.encode(f"red heart {number}", "", 3.0)])
    assert waiting_runs() <= before + WAITING
