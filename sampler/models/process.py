"""From the diffusers scheduler that a model ships with to our solvers."""

from functools import cache
from typing import Any

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (diffusers is hardly typed)
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler, EulerDiscreteScheduler

from sampler.errors import UnsupportedModel
from sampler.grid import ddim_grid, ddpm_grid, doubled, is_flow, sigma_grid
from sampler.solvers import DDIM, DPMSolver, Heun, Prediction, Solver, Stochastic
from sampler.solvers.stochastic import ddim_variance, ddpm_variance

OWN = {
    "DDIMScheduler": "ddim",
    "EulerDiscreteScheduler": "euler",
    "FlowMatchEulerDiscreteScheduler": "euler",
    "DPMSolverMultistepScheduler": "dpm++",
    "HeunDiscreteScheduler": "heun",
}
# Variance-preserving models whose scheduler has no solver here: sampled as DDIM, from the same noise schedule.
AS_DDIM = {
    "DDIMParallelScheduler", "DDPMParallelScheduler", "DDPMScheduler", "DEISMultistepScheduler",
    "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler", "PNDMScheduler", "UniPCMultistepScheduler",
}  # fmt: skip
FLOW_SOLVERS = ("euler", "heun", "dpm++")
SOLVERS = ("ddim", "ddpm", *FLOW_SOLVERS)
PREDICTIONS: dict[str, Prediction] = {
    "epsilon": "epsilon",
    "v_prediction": "v_prediction",
    "sample": "sample",
    "flow_prediction": "velocity",
}


class Process:
    """The noise process of a model: the grid and the network's prediction type, as its scheduler defines them."""

    def __init__(self, scheduler: Any) -> None:
        """Read a scheduler, which is not changed.

        Raises:
            UnsupportedModel: it cannot be sampled; the message tells what can.
        """
        self.scheduler = scheduler
        # Schedulers are not changed, and making one takes longer than everything else at the start of a picture.
        self._made_as = cache(self._as)
        config, kind = scheduler.config, type(scheduler).__name__
        self.flow = is_flow(scheduler)
        if kind in OWN:
            self.default = OWN[kind]
        elif kind in AS_DDIM and not self.flow:
            self.default = "ddim"
        else:
            raise UnsupportedModel(f"{kind} cannot be sampled; known schedulers: {', '.join([*OWN, *sorted(AS_DDIM)])}")
        prediction = config.get("prediction_type", "flow_prediction" if self.flow else "epsilon")
        if prediction not in PREDICTIONS:
            raise UnsupportedModel(f"prediction_type {prediction} is not one of {', '.join(PREDICTIONS)}")
        self.prediction: Prediction = PREDICTIONS[prediction]
        for option in ("thresholding", "invert_sigmas", "stochastic_sampling"):
            if config.get(option):
                raise UnsupportedModel(f"{option} is not supported: set it to false in the scheduler")
        if config.get("rescale_betas_zero_snr") and self.prediction == "epsilon":
            raise UnsupportedModel("a schedule that starts at zero signal needs v_prediction, not epsilon")
        if self.default == "dpm++":
            _check_dpm(config)

    @property
    def solvers(self) -> tuple[str, ...]:
        """The names that `solver` takes."""
        return FLOW_SOLVERS if self.flow else SOLVERS

    def solver(self, steps: int, name: str | None, seed: int, eta: float, **schedule: Any) -> Solver:
        """See `sampler.denoiser.Model.solver`; `schedule` goes to the scheduler's `set_timesteps`."""
        name = name or self.default
        if name not in self.solvers:
            raise ValueError(f"this model has no solver {name}: choose one of {', '.join(self.solvers)}")
        if not 0 <= eta <= 1 or (eta and name != "ddim"):
            raise ValueError(f"eta must be from 0 to 1, and 0 for every solver but ddim, not {eta} for {name}")
        if name == "ddim":
            scheduler = self._made_as(DDIMScheduler)
            grid, clip = ddim_grid(scheduler, steps), self._clip()
            if eta == 0:
                return DDIM(grid, self.prediction, clip)
            return Stochastic(grid, *ddim_variance(grid, eta), seed, self.prediction, clip)
        if name == "ddpm":
            scheduler = self._made_as(DDPMScheduler)
            grid = ddpm_grid(scheduler, steps)
            variance = ddpm_variance(scheduler, grid)
            return Stochastic(grid, *variance, seed, self.prediction, self._clip(), consistent=True)
        if name == "dpm++":
            scheduler = self.scheduler if self.flow else self._made_as(DPMSolverMultistepScheduler)
            config = scheduler.config
            _check_dpm(config)
            lower = (
                config.get("final_sigmas_type", "zero") == "zero"
                or bool(config.get("euler_at_final"))
                or (bool(config.get("lower_order_final")) and steps < 15)
            )
            order = 1 if config.get("solver_order") == 1 else 2
            return DPMSolver(sigma_grid(scheduler, steps, **schedule), self.prediction, order, lower_order_final=lower)
        scheduler = self.scheduler if self.flow else self._made_as(EulerDiscreteScheduler)
        grid = sigma_grid(scheduler, steps, **schedule)
        return Heun(doubled(grid), self.prediction) if name == "heun" else DDIM(grid, self.prediction)

    def _as(self, kind: Any) -> Any:
        """The same noise process as a scheduler of another class."""
        return kind.from_config(self.scheduler.config)

    def _clip(self) -> float | None:
        config = self.scheduler.config
        return float(config.get("clip_sample_range", 1.0)) if config.get("clip_sample") else None


def _check_dpm(config: Any) -> None:
    """Refuse what DPM-Solver++(2M) is not."""
    wanted = {
        "algorithm_type": ("dpmsolver++",), "solver_order": (1, 2), "solver_type": ("midpoint",),
    }  # fmt: skip
    for option, values in wanted.items():
        if config.get(option, values[0]) not in values:
            raise UnsupportedModel(f"{option} {config[option]} is not supported: set it to {values[-1]}")
