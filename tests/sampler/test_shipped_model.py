"""The sampler on the shipped model, against diffusers' own pipeline."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline

from sampler import Engine, Parareal, load_model, sample
from sampler.cost import guess
from sampler.models.adapter import PipelineModel
from tests.sampler.conftest import EMOJI
from tests.sampler.problems import relative_error


@pytest.fixture(scope="module")
def pipeline():
    made = StableDiffusionPipeline.from_pretrained(EMOJI, dtype=torch.float32, local_files_only=True)
    made.set_progress_bar_config(disable=True)
    return made


def theirs(pipeline, prompt="red heart", seed=3, steps=12, guidance=3.0, output="latent", **arguments):
    result = pipeline(
        prompt,
        num_inference_steps=steps,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(seed),
        output_type=output,
        **arguments,
    )
    return result.images[0]


def ours(emoji, prompt="red heart", seed=3, steps=12, guidance=3.0, **arguments):
    options = {"height": 64, "width": 64, "tolerance": 0.0, "blocks": 1} | arguments
    return list(sample(emoji, prompt, seed=seed, steps=steps, guidance_scale=guidance, **options))


@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
def test_the_serial_sampler_equals_the_diffusers_pipeline(pipeline, spacing, monkeypatch):
    scheduler = DDIMScheduler.from_config(pipeline.scheduler.config, timestep_spacing=spacing)
    monkeypatch.setattr(pipeline, "scheduler", scheduler)
    model = PipelineModel(pipeline)
    for steps, seed in ((7, 1), (20, 2)):
        assert (
            relative_error(ours(model, steps=steps, seed=seed)[-1].sample, theirs(pipeline, steps=steps, seed=seed))
            < 1e-4
        )


@pytest.mark.parametrize(
    ("guidance", "negative"),
    [(1.0, ""), (0.0, ""), (3.0, "blurred"), (7.5, "")],
    ids=["off", "zero", "negative", "strong"],
)
def test_guidance_is_that_of_the_pipeline(emoji, pipeline, guidance, negative):
    expected = theirs(pipeline, "pizza", guidance=guidance, negative_prompt=negative)
    assert relative_error(ours(emoji, "pizza", guidance=guidance, negative_prompt=negative)[-1].sample, expected) < 1e-4


def test_other_sizes_and_long_prompts_are_those_of_the_pipeline(emoji, pipeline):
    prompt = "a red heart with " + "very " * 40 + "long words"
    expected = theirs(pipeline, prompt, height=96, width=80)
    assert relative_error(ours(emoji, prompt, height=96, width=80)[-1].sample, expected) < 1e-4


def test_pictures_are_those_of_the_pipeline(emoji, pipeline):
    expected = np.asarray(theirs(pipeline, output="pil"), dtype=int)
    picture = emoji.decode(ours(emoji)[-1].sample[None])[0]
    assert (picture.dtype, tuple(picture.shape)) == (torch.uint8, (64, 64, 3))
    assert np.abs(picture.numpy().astype(int) - expected).max() <= 1


@pytest.mark.parametrize(("steps", "blocks"), [(12, 4), (13, 4), (12, 12)])
def test_run_to_the_last_block_it_equals_the_serial_sampler(emoji, steps, blocks):
    serial = ours(emoji, steps=steps)[-1].sample
    exact = ours(emoji, steps=steps, blocks=blocks)[-1].sample
    assert relative_error(exact, serial) < 1e-4


def test_seeds_batched_together_equal_each_alone(emoji):
    """Different prompts, guidance, steps and blocks share the rounds."""
    jobs = [("red heart", 1, 3.0, 12, 4), ("pizza", 2, 7.5, 10, 3), ("rocket", 3, 1.0, 9, 9), ("house", 4, 3.0, 12, 1)]
    engine = Engine(emoji, width=16)
    together = []
    for prompt, seed, guidance, steps, blocks in jobs:
        trajectory = Parareal(emoji.solver(steps), emoji.noise(seed, 64, 64), blocks=blocks)
        engine.add(trajectory, emoji.encode(prompt, guidance_scale=guidance))
        together.append(trajectory)
    while engine.active:
        engine.round()
    assert engine.statistics.evaluations > engine.statistics.rounds
    for trajectory, (prompt, seed, guidance, steps, _) in zip(together, jobs, strict=True):
        alone = ours(emoji, prompt, seed, steps, guidance)[-1].sample
        assert relative_error(trajectory.newest.sample, alone) < 1e-4


def test_iterates_converge_quickly_to_the_serial_image(emoji):
    serial = ours(emoji, steps=50, seed=5)[-1].sample
    iterates = ours(emoji, steps=50, seed=5, blocks=10, max_iterations=3)
    errors = [relative_error(iterate.sample, serial) for iterate in iterates]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 0.2
    assert errors[2] < 1e-2
    assert errors[3] < 2e-3


def test_the_same_seed_gives_the_same_noise_and_seeds_differ(emoji):
    assert torch.equal(emoji.noise(7, 64, 64), emoji.noise(7, 64, 64))
    assert not torch.equal(emoji.noise(7, 64, 64), emoji.noise(8, 64, 64))


@pytest.mark.parametrize("size", [(60, 64), (64, 0), (-8, 64)])
def test_sizes_that_the_autoencoder_cannot_make_are_refused(emoji, size):
    with pytest.raises(ValueError, match="multiples of 8"):
        emoji.noise(0, *size)


class Counting:
    """A model that counts its calls."""

    def __init__(self, model, calls):
        self.model, self.calls = model, calls

    def __getattr__(self, name):
        return getattr(self.model, name)

    def denoise(self, x, timestep, conditions):
        self.calls.append(len(x))
        return self.model.denoise(x, timestep, conditions)


def test_iterates_come_one_by_one(emoji):
    """No round runs before its iterate is asked for: whoever stops listening pays for no more."""
    calls = []
    counting: Any = Counting(emoji, calls)
    iterates = sample(counting, "cat face", steps=20, height=64, width=64, blocks=5)
    assert (next(iterates).number, len(calls)) == (0, 5)
    assert (next(iterates).number, len(calls)) == (1, 8)


def test_half_precision_networks_keep_float32_states(emoji):
    model = load_model(EMOJI, dtype=torch.bfloat16)
    last = ours(model, steps=10, blocks=3)[-1].sample
    assert last.dtype == torch.float32
    assert relative_error(last, ours(emoji, steps=10)[-1].sample) < 0.2


def test_the_previews_of_auto_come_closer_to_the_serial_image(emoji):
    serial = ours(emoji, steps=50)[-1].sample
    iterates = ours(emoji, steps=50, blocks=None, method="auto", tolerance=0.005)
    errors = [relative_error(iterate.sample, serial) for iterate in iterates]
    assert len(iterates) >= 3
    assert errors[0] < 0.2
    assert max(errors[1:]) < errors[0]
    assert errors[-1] < 0.01


def test_an_engine_that_is_kept_has_learned_what_rounds_cost(emoji):
    engine = Engine(emoji, 8)
    for _ in range(2):
        ours(emoji, steps=40, blocks=5, method="srds", tolerance=0.02, engine=engine)  # rounds of several widths
    condition = emoji.encode("red heart", "", 3.0)
    curve = engine.cost.curve((emoji.noise(1, 64, 64).shape, condition.signature))
    assert any(curve(width) != guess(width) for width in range(2, 9))


def test_a_program_that_ends_with_a_model_in_memory_prints_nothing_about_it():
    code = f"""
from sampler import load_model
model = load_model({str(EMOJI)!r})
model.denoise(model.noise(0, height=64, width=64)[None], model.solver(2).grid.timestep[:1], [model.encode("pizza")])
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Traceback" not in ran.stderr
