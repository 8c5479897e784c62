"""All noise processes and solvers, with the diffusers scheduler of each as reference, and a network that is known."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FlowMatchHeunDiscreteScheduler,
    HeunDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from sampler import DDIM, DPMSolver, Heun, Solver, Stochastic, ddim_grid, ddpm_grid, doubled, sigma_grid
from sampler.grid import is_flow
from sampler.solvers import Prediction, UniPC
from sampler.solvers.stochastic import ddim_variance, ddpm_variance, step_noise
from tests.sampler.problems import SHAPE, noise

BETAS: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
}


@dataclass
class Network:
    """The exact prediction for a distribution of a few pictures, as a function of the scheduler's timesteps.

    Attributes:
        spread: the standard deviation around each picture. If it is 0, all paths to one picture end in the same sample.
    """

    scheduler: Any
    prediction: str
    spread: float = 0.0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    pictures: Tensor = field(
        default_factory=lambda: torch.randn(12, *SHAPE, generator=torch.Generator().manual_seed(1))
    )

    def denoise(self, x: Tensor, timestep: Tensor, conditions: Sequence[Any]) -> Tensor:
        return self.output(x, timestep)

    def output(self, x: Tensor, timestep: Tensor) -> Tensor:
        alpha, sigma = (part[:, None].double() for part in self.levels(timestep.double()))
        flat, data = x.flatten(1).double(), self.pictures.flatten(1).double()
        distance = (flat[:, None] - alpha[..., None] * data[None]).square().sum(-1)
        variance = sigma.square() + (alpha * self.spread).square()
        picture = torch.softmax(-distance / (2 * variance), 1) @ data
        x0 = picture + alpha * self.spread**2 * (flat - alpha * picture) / variance
        epsilon = (flat - alpha * x0) / sigma
        output = {
            "epsilon": epsilon, "v_prediction": alpha * epsilon - sigma * x0, "sample": x0, "velocity": epsilon - x0
        }[self.prediction]  # fmt: skip
        return output.reshape(x.shape).float()

    def levels(self, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """alpha and sigma at (fractional) timesteps."""
        config = self.scheduler.config
        if is_flow(self.scheduler):
            sigma = (timestep / config.num_train_timesteps).clamp(min=1e-3)
            return 1 - sigma, sigma
        if config.get("timestep_type") == "continuous":
            ratio = (4 * timestep).exp()
        else:
            alpha_bar = self.scheduler.alphas_cumprod.double()
            below = timestep.floor().long().clamp(0, len(alpha_bar) - 2)
            value = torch.lerp(alpha_bar[below], alpha_bar[below + 1], timestep - below)
            ratio = ((1 - value) / value).sqrt()
        return 1 / (1 + ratio.square()).sqrt(), ratio / (1 + ratio.square()).sqrt()


def diffusers_loop(scheduler: Any, network: Network, steps: int, **arguments: Any) -> Tensor:
    """The sample of the scheduler's own loop, as in the pipelines."""
    schedule = arguments.pop("schedule", {})
    if "sigmas" in schedule:
        scheduler.set_timesteps(**schedule)
    else:
        scheduler.set_timesteps(steps, **schedule)
    x = noise()[None] * getattr(scheduler, "init_noise_sigma", 1.0)
    for n, t in enumerate(scheduler.timesteps):
        scaled = scheduler.scale_model_input(x, t) if hasattr(scheduler, "scale_model_input") else x
        output = network.output(scaled, t[None])
        drawn = {name: value(n) for name, value in arguments.items() if callable(value)}
        fixed = {name: value for name, value in arguments.items() if not callable(value)}
        x = scheduler.step(output, t, x, **drawn, **fixed, return_dict=False)[0]
    return x[0]


@dataclass(frozen=True)
class Case:
    """One noise process with one solver.

    Attributes:
        theirs: makes the diffusers scheduler.
        ours: makes our solver for a number of steps, given their scheduler.
        prediction: the output of the network.
        arguments: of the scheduler's `step`; functions of the step's number for those that differ by step; `schedule`
            is what `set_timesteps` gets.
    """

    theirs: Callable[[], Any]
    ours: Callable[[Any, int], Solver]
    prediction: str = "epsilon"
    arguments: dict[str, Any] = field(default_factory=dict)


def euler(prediction: Prediction = "epsilon", **changes: Any) -> Case:
    made: dict[str, Any] = BETAS | {"prediction_type": prediction} | changes
    return Case(lambda: EulerDiscreteScheduler(**made), lambda s, n: DDIM(sigma_grid(s, n), prediction), prediction)


def dpm(prediction: Prediction = "epsilon", **changes: Any) -> Case:
    theirs = "flow_prediction" if prediction == "velocity" else prediction
    made: dict[str, Any] = BETAS | {"prediction_type": theirs, "timestep_spacing": "linspace"} | changes

    def ours(s: Any, n: int) -> Solver:
        lower = s.config.final_sigmas_type == "zero" or s.config.euler_at_final or n < 15
        return DPMSolver(sigma_grid(s, n), prediction, lower_order_final=lower)

    return Case(lambda: DPMSolverMultistepScheduler(**made), ours, prediction)


def unipc(prediction: Prediction = "epsilon", **changes: Any) -> Case:
    theirs = "flow_prediction" if prediction == "velocity" else prediction
    made: dict[str, Any] = BETAS | {"prediction_type": theirs} | changes

    def ours(s: Any, n: int) -> Solver:
        c = s.config
        return UniPC(
            sigma_grid(s, n), prediction, c.solver_order, c.lower_order_final, c.solver_type == "bh2",
            c.disable_corrector,
        )  # fmt: skip

    return Case(lambda: UniPCMultistepScheduler(**made), ours, prediction)


def flow(schedule: dict[str, Any] | None = None, **changes: Any) -> Case:
    schedule = schedule or {}
    return Case(
        lambda: FlowMatchEulerDiscreteScheduler(**changes),
        lambda s, n: DDIM(sigma_grid(s, n, **schedule), "velocity"),
        "velocity",
        {"schedule": schedule},
    )


def stochastic(eta: float, prediction: Prediction = "epsilon", **changes: Any) -> Case:
    made: dict[str, Any] = (
        BETAS | {"prediction_type": prediction, "clip_sample": False, "set_alpha_to_one": False} | changes
    )

    def ours(s: Any, n: int) -> Solver:
        grid = ddim_grid(s, n)
        clip = 1.0 if s.config.clip_sample else None
        return Stochastic(grid, *ddim_variance(grid, eta), 5, prediction, clip)

    drawn = {"eta": eta, "variance_noise": lambda n: step_noise(5, n, torch.Size(SHAPE))[None]}
    return Case(lambda: DDIMScheduler(**made), ours, prediction, drawn)


def ddpm(variance: str, prediction: Prediction = "epsilon", **changes: Any) -> Case:
    made: dict[str, Any] = (
        BETAS | {"prediction_type": prediction, "variance_type": variance, "clip_sample": False} | changes
    )

    def ours(s: Any, n: int) -> Solver:
        grid = ddpm_grid(s, n)
        clip = 1.0 if s.config.clip_sample else None
        return Stochastic(grid, *ddpm_variance(s, grid), 5, prediction, clip, consistent=True)

    return Case(lambda: DDPMScheduler(**made), ours, prediction)


CASES = {
    "ddim": Case(
        lambda: DDIMScheduler(**BETAS, clip_sample=False), lambda s, n: DDIM(ddim_grid(s, n), "epsilon")
    ),
    "euler-linspace": euler(),
    "euler-leading": euler(timestep_spacing="leading", steps_offset=1),
    "euler-trailing-v": euler("v_prediction", timestep_spacing="trailing"),
    "euler-karras": euler(use_karras_sigmas=True),
    "euler-exponential": euler(use_exponential_sigmas=True),
    "euler-log-linear": euler(interpolation_type="log_linear"),
    "euler-sigma-min": euler(final_sigmas_type="sigma_min"),
    "euler-sample": euler("sample"),
    "euler-zero-snr": euler("v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"),
    "edm-continuous-v": euler("v_prediction", timestep_type="continuous", use_karras_sigmas=True, sigma_min=0.02,
                              sigma_max=700.0),
    "flow": flow(),
    "flow-shift": flow(shift=3.0),
    "flow-dynamic": flow({"mu": 0.8, "sigmas": [1 - n / 13 for n in range(13)]}, use_dynamic_shifting=True),
    "flow-terminal-linear": flow({"mu": 1.3}, use_dynamic_shifting=True, time_shift_type="linear", shift_terminal=0.05),
    "flow-karras": flow(use_karras_sigmas=True),
    "dpm++": dpm(),
    "dpm++-leading-v": dpm("v_prediction", timestep_spacing="leading", steps_offset=1),
    "dpm++-trailing-karras": dpm(timestep_spacing="trailing", use_karras_sigmas=True),
    "dpm++-lu": dpm(use_lu_lambdas=True),
    "dpm++-sigma-min": dpm(final_sigmas_type="sigma_min"),
    "dpm++-euler-at-final": dpm("sample", final_sigmas_type="sigma_min", euler_at_final=True),
    "dpm++-flow": dpm("velocity", use_flow_sigmas=True, flow_shift=3.0),
    "unipc-karras": unipc(use_karras_sigmas=True),
    "unipc-bh1-sigma-min": unipc("v_prediction", solver_type="bh1", final_sigmas_type="sigma_min"),
    "unipc-order-1": unipc(solver_order=1, use_exponential_sigmas=True),
    "unipc-flow": unipc("velocity", use_flow_sigmas=True, flow_shift=3.0),
    "unipc-uncorrected": unipc(disable_corrector=[0, 3], final_sigmas_type="sigma_min", lower_order_final=False),
    "ddim-eta-0.5": stochastic(0.5),
    "ddim-eta-1": stochastic(1.0, timestep_spacing="trailing"),
    "ddim-eta-clip": stochastic(0.7, "v_prediction", clip_sample=True),
    "ddpm": ddpm("fixed_small"),
    "ddpm-large-clip": ddpm("fixed_large", "sample", clip_sample=True, timestep_spacing="trailing"),
    "ddpm-log": ddpm("fixed_small_log", timestep_spacing="leading", steps_offset=1),
    "heun": Case(
        lambda: HeunDiscreteScheduler(**BETAS),
        lambda s, n: Heun(doubled(sigma_grid(EulerDiscreteScheduler.from_config(s.config), n))),
    ),
    "heun-karras-v": Case(
        lambda: HeunDiscreteScheduler(**BETAS, use_karras_sigmas=True, prediction_type="v_prediction"),
        lambda s, n: Heun(doubled(sigma_grid(EulerDiscreteScheduler.from_config(s.config), n)), "v_prediction"),
        "v_prediction",
    ),
    "heun-flow": Case(
        lambda: FlowMatchHeunDiscreteScheduler(shift=2.0),
        lambda s, n: Heun(doubled(sigma_grid(FlowMatchEulerDiscreteScheduler(shift=2.0), n)), "velocity"),
        "velocity",
    ),
}  # fmt: skip
