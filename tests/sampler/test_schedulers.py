"""Scheduler configurations that diffusers accepts are sampled as diffusers does, or refused with a reason."""

import warnings
from typing import Any

import diffusers
import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from sampler import Parareal, UnsupportedModel
from sampler.models.process import INSTEAD, Process
from tests.sampler.problems import noise, relative_error, run
from tests.sampler.processes import BETAS, Network, diffusers_loop

COMMON: dict[str, Any] = {
    "timestep_spacing": st.sampled_from(["linspace", "leading", "trailing"]),
    "steps_offset": st.sampled_from([0, 1]),
    "prediction_type": st.sampled_from(["epsilon", "v_prediction"]),
    "rescale_betas_zero_snr": st.booleans(),
}
SIGMAS: dict[str, Any] = {
    "use_karras_sigmas": st.booleans(),
    "use_exponential_sigmas": st.booleans(),
    "final_sigmas_type": st.sampled_from(["zero", "sigma_min"]),
}
FLOW: dict[str, Any] = {"use_flow_sigmas": st.booleans(), "flow_shift": st.sampled_from([1.0, 3.0])}
# By the scheduler's class: what its options may be.
OPTIONS: dict[str, dict[str, Any]] = {
    "DDIMScheduler": COMMON | {"set_alpha_to_one": st.booleans(), "thresholding": st.booleans()},
    "EulerDiscreteScheduler": COMMON | SIGMAS | {"interpolation_type": st.sampled_from(["linear", "log_linear"])},
    "HeunDiscreteScheduler": {
        name: value for name, value in (COMMON | SIGMAS).items() if not name.startswith(("rescale", "final"))
    },
    "DPMSolverMultistepScheduler": COMMON
    | SIGMAS
    | FLOW
    | {
        "solver_order": st.sampled_from([1, 2, 3]),
        "solver_type": st.sampled_from(["midpoint", "heun"]),
        "algorithm_type": st.sampled_from(["dpmsolver++", "sde-dpmsolver++"]),
        "lower_order_final": st.booleans(),
        "euler_at_final": st.booleans(),
        "use_lu_lambdas": st.booleans(),
    },
    "UniPCMultistepScheduler": COMMON
    | SIGMAS
    | FLOW
    | {
        "solver_order": st.sampled_from([1, 2, 3]),
        "solver_type": st.sampled_from(["bh1", "bh2"]),
        "predict_x0": st.booleans(),
        "lower_order_final": st.booleans(),
        "disable_corrector": st.sampled_from([[], [0], [1, 2]]),
    },
    "FlowMatchEulerDiscreteScheduler": {
        "shift": st.sampled_from([1.0, 3.0]),
        "invert_sigmas": st.booleans(),
        "use_karras_sigmas": st.booleans(),
        "use_exponential_sigmas": st.booleans(),
        "stochastic_sampling": st.booleans(),
    },
    "FlowMatchHeunDiscreteScheduler": {"shift": st.sampled_from([1.0, 3.0])},
    "CogVideoXDDIMScheduler": COMMON | {"snr_shift_scale": st.sampled_from([1.0, 3.0])},
}


class Wave(Network):
    """A network that predicts no picture: what it makes of a sample shows every difference on the way."""

    def output(self, x: Tensor, timestep: Tensor) -> Tensor:
        return 0.4 * torch.sin(1.3 * x + timestep.float().reshape(-1, 1, 1, 1) / 250) + 0.2 * x


def made(kind: str, options: dict[str, Any]) -> Any:
    """The scheduler, or None if diffusers does not accept these options."""
    betas = {} if kind.startswith("Flow") else BETAS
    clip = {"clip_sample": False} if kind == "DDIMScheduler" else {}
    if options.get("use_flow_sigmas"):
        options = options | {"prediction_type": "flow_prediction", "rescale_betas_zero_snr": False}
    try:
        return getattr(diffusers, kind)(**betas, **clip, **options)
    except (ValueError, NotImplementedError):
        return None


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", OPTIONS)
@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data(), steps=st.sampled_from([4, 9, 17]))
def test_a_configuration_is_sampled_as_diffusers_does_or_refused(kind: str, data: Any, steps: int) -> None:
    scheduler = made(kind, data.draw(st.fixed_dictionaries(OPTIONS[kind])))
    assume(scheduler is not None)
    try:
        process = Process(scheduler)
        solver = process.solver(steps, None, 0, 0.0)
    except UnsupportedModel:
        return
    except ValueError:  # a grid that visits a point twice
        return
    assert process.substitute is None
    network = Wave(scheduler, process.prediction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = diffusers_loop(made(kind, {k: scheduler.config[k] for k in OPTIONS[kind]}), network, steps)
        except IndexError:  # it loses its place if two time points are rounded to the same
            return
    assume(bool(torch.isfinite(expected).all()))
    serial = run(network, Parareal(solver, noise(), blocks=1), 1)[-1]
    assert relative_error(serial.sample, expected) < 1e-4


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", sorted(INSTEAD))
def test_a_scheduler_without_a_solver_is_named(kind: str) -> None:
    try:
        scheduler = getattr(diffusers, kind)(**BETAS)
    except ImportError as error:
        pytest.skip(str(error).strip())
    process = Process(scheduler)
    assert process.substitute == (INSTEAD[kind], kind)
    assert process.solver(9, None, 0, 0.0).grid.steps == 9


@pytest.mark.parametrize("kind", ["LCMScheduler", "TCDScheduler", "FlowMatchLCMScheduler"])
def test_consistency_samplers_are_refused_with_what_would_do(kind: str) -> None:
    with pytest.raises(UnsupportedModel, match="With EulerDiscreteScheduler or FlowMatch"):
        Process(getattr(diffusers, kind)())


def test_what_a_pipeline_corrects_in_its_scheduler_is_kept() -> None:
    """Pipelines set the steps_offset of old files to 1: a solver of another scheduler's has it, too."""
    scheduler = diffusers.PNDMScheduler(**BETAS, skip_prk_steps=True)
    scheduler.register_to_config(steps_offset=1)
    points = Process(scheduler).solver(10, "ddim", 0, 0.0).grid.timestep
    expected = diffusers.DDIMScheduler(**BETAS, steps_offset=1, timestep_spacing="leading")
    expected.set_timesteps(10)
    assert points.tolist() == expected.timesteps.tolist()
