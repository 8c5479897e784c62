"""Every family against diffusers' own pipeline, on tiny randomly initialised components loaded as models are."""

import re
from dataclasses import replace
from functools import cache

import pytest
import torch
from diffusers import DiffusionPipeline

from sampler import load_model
from sampler.models.process import SOLVERS
from tests.sampler.oracle import PROMPTLESS, Request, has_oracle, ours, painted, theirs
from tests.sampler.problems import relative_error
from tests.sampler.tiny import FAMILIES, build, size

FLOW = [name for name in FAMILIES if name.startswith(("stable-diffusion-3", "flux"))]
FLOW_SOLVERS = [name for name, kind in SOLVERS.items() if kind.flow]
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept:DeprecationWarning")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def family_of(folder):
    """Our model and their pipeline of a family, built and loaded once."""

    @cache
    def made(family):
        path = build(family, folder)
        pipeline = DiffusionPipeline.from_pretrained(path, local_files_only=True)
        pipeline.set_progress_bar_config(disable=True)
        return load_model(path), pipeline

    return made


def request(family, **changes):
    height, width = size(family)
    prompt = {"dit": "7"}.get(family, "red heart")
    # Flux takes the guidance scale as an input, so that it guides against a negative prompt by another.
    options = (("true_cfg_scale", 2.0),) if family == "flux" else ()
    return replace(Request(height, width, prompt, options=options), **changes)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("guided", [True, False], ids=["guided", "unguided"])
def test_the_serial_sampler_equals_the_pipeline(family_of, family, guided):
    model, pipeline = family_of(family)
    asked = request(family) if guided else request(family, guidance_scale=1.0, negative_prompt="", options=())
    assert relative_error(ours(model, [asked], [1])[0], theirs(family, pipeline, asked)) < 1e-4


@pytest.mark.parametrize(
    ("family", "solver"), [(f, s) for f in FAMILIES for s in SOLVERS if f not in FLOW and has_oracle(f, s)]
)
def test_other_solvers_are_the_pipeline_with_that_scheduler(family_of, family, solver):
    model, pipeline = family_of(family)
    asked = request(family, solver=solver)
    expected = theirs(family, pipeline, asked)
    assert relative_error(ours(model, [asked], [1])[0], expected) < 1e-4
    assert relative_error(ours(model, [asked], [4])[0], expected) < 1e-4


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-xl", "pixart-sigma", "ddim-pixels"])
def test_ddim_with_noise_is_the_pipeline_with_eta(family_of, family):
    model, pipeline = family_of(family)
    asked = request(family, solver="ddim", eta=0.6)
    assert relative_error(ours(model, [asked], [1])[0], theirs(family, pipeline, asked)) < 1e-4


def test_heun_of_a_flow_model_is_the_pipeline_with_that_scheduler(family_of):
    model, pipeline = family_of("stable-diffusion-3")
    asked = request("stable-diffusion-3", solver="heun")
    assert relative_error(ours(model, [asked], [1])[0], theirs("stable-diffusion-3", pipeline, asked)) < 1e-4


@pytest.mark.parametrize(
    ("family", "solver"),
    [*((f, None) for f in FAMILIES), *((f, s) for f in FLOW for s in FLOW_SOLVERS if s != "euler")],  # their own
)
def test_run_to_the_last_block_it_equals_the_serial_sampler(family_of, family, solver):
    model, _ = family_of(family)
    asked = request(family, solver=solver)
    serial = ours(model, [asked], [1])[0]
    for blocks in (3, 9):
        assert relative_error(ours(model, [asked], [blocks])[0], serial) < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_seeds_prompts_guidance_and_steps_batch_together(family_of, family):
    model, _ = family_of(family)
    other = {"dit": "8"}.get(family, "a large pizza")
    asked = [
        request(family),
        request(family, seed=4, prompt=other, guidance_scale=6.0, negative_prompt=""),
        request(family, seed=5, guidance_scale=1.0, options=(), steps=6),
    ]
    together = ours(model, asked, [3, 1, 2])
    for one, sample in zip(asked, together, strict=True):
        assert relative_error(sample, ours(model, [one], [1])[0]) < 1e-4


@pytest.mark.parametrize("family", ["stable-diffusion", "stable-diffusion-xl"])
def test_guidance_rescale_is_that_of_the_pipeline(family_of, family):
    model, pipeline = family_of(family)
    asked = request(family, guidance_scale=7.5, options=(("guidance_rescale", 0.7),))
    expected = theirs(family, pipeline, asked)
    assert relative_error(ours(model, [asked], [1])[0], expected) < 1e-4
    plain = replace(asked, options=())
    assert relative_error(theirs(family, pipeline, plain), expected) > 1e-3
    together = ours(model, [asked, plain], [1, 1])
    assert relative_error(together[0], expected) < 1e-4
    assert relative_error(together[1], theirs(family, pipeline, plain)) < 1e-4


@pytest.mark.parametrize("family", [name for name in FAMILIES if name not in PROMPTLESS])
def test_every_condition_tells(family_of, family):
    """Else equal results would show little."""
    model, _ = family_of(family)
    first = ours(model, [request(family)], [1])[0]
    for change in ({"prompt": "rocket"}, {"negative_prompt": "house"}, {"guidance_scale": 5.0}):
        assert relative_error(ours(model, [request(family, **change)], [1])[0], first) > 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_are_those_of_the_pipeline(family_of, family):
    model, pipeline = family_of(family)
    asked = request(family)
    sample = ours(model, [asked], [1])
    picture = model.decode(torch.stack(sample))
    assert (picture.dtype, tuple(picture.shape)) == (torch.uint8, (1, asked.height, asked.width, 3))
    expected = torch.from_numpy(painted(family, pipeline, asked)[0]) * 255
    assert (picture[0] - expected).abs().max() <= 0.51


@pytest.mark.parametrize("family", FAMILIES)
def test_half_precision_networks_run(family_of, folder, family):
    family_of(family)
    model = load_model(folder / family, dtype=torch.bfloat16)
    sample = ours(model, [request(family, steps=3)], [2])[0]
    assert sample.dtype == torch.float32
    assert bool(torch.isfinite(sample).all())


@pytest.mark.parametrize("family", FAMILIES)
def test_sizes_that_cannot_be_made_are_refused(family_of, family):
    model, _ = family_of(family)
    with pytest.raises(ValueError, match="height and width must be"):
        model.noise(0, 33, 32)


def test_classes_are_named_by_number_or_name(family_of):
    model, _ = family_of("dit")
    assert dict(model.encode("heart").arguments)["class_labels"] == (7,)
    assert dict(model.encode(" 12 ").arguments)["class_labels"] == (12,)
    for wrong in ("nothing of the kind", "1000"):
        with pytest.raises(ValueError, match="no class of this model: give a number from 0 to 999"):
            model.encode(wrong)


def test_the_grid_of_a_dynamically_shifted_model_depends_on_the_size(family_of):
    model, _ = family_of("flux")
    small, large = (model.solver(9, height=side, width=side).grid for side in (32, 512))
    assert bool((small.sigma[1:] < large.sigma[1:]).all())


@pytest.mark.parametrize(
    ("family", "name", "eta", "message"),
    [
        ("flux", "ddim", 0.0, f"choose one of {', '.join(FLOW_SOLVERS)}"),
        ("stable-diffusion", "best", 0.0, f"choose one of {', '.join(SOLVERS)}"),
        ("stable-diffusion", "euler", 0.5, "eta must be from 0 to 1, and 0 for every solver but ddim"),
        ("stable-diffusion", "ddim", 1.5, "eta must be from 0 to 1"),
    ],
)
def test_solvers_that_a_model_has_not_are_refused(family_of, family, name, eta, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        family_of(family)[0].solver(9, name, eta=eta)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_steps_out_of_range_are_refused(family_of, family, steps):
    with pytest.raises(ValueError, match="steps"):
        family_of(family)[0].solver(steps)
