"""From the diffusers scheduler that a model ships with to our solvers."""

from functools import cache
from inspect import signature
from typing import Any

# pyright: reportPrivateImportUsage=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false
# (diffusers is hardly typed)
import diffusers

from sampler.errors import UnsupportedModel
from sampler.grid import is_flow
from sampler.solvers import SOLVERS, Prediction, Solver, SolverRequest

# The solver of a model by its scheduler's class.
OWN = {scheduler: name for name, kind in SOLVERS.items() for scheduler in kind.schedulers}
# Variance-preserving models whose scheduler has no solver here, by the one that comes nearest: those of second order
# and above as DPM-Solver++ on their own time points, the stochastic ones without their noise.
INSTEAD = {
    "DDIMParallelScheduler": "ddim",
    "DDPMParallelScheduler": "ddim",
    "DDPMScheduler": "ddim",
    "DEISMultistepScheduler": "dpm++",
    "DPMSolverSDEScheduler": "dpm++",
    "DPMSolverSinglestepScheduler": "dpm++",
    "EulerAncestralDiscreteScheduler": "euler",
    "KDPM2AncestralDiscreteScheduler": "dpm++",
    "KDPM2DiscreteScheduler": "dpm++",
    "LMSDiscreteScheduler": "dpm++",
    "PNDMScheduler": "dpm++",
    "SASolverScheduler": "dpm++",
}
# Options that change what a scheduler samples, and that nothing here samples, with the values that are fine.
UNSERVED: dict[str, tuple[Any, ...]] = {
    "thresholding": (False, None),
    "invert_sigmas": (False, None),
    "stochastic_sampling": (False, None),
    "final_sigmas_type": ("zero", "sigma_min", None),
}
# Samplers of distilled models, which step from a prediction of the picture back into noise.
CONSISTENT = {"LCMScheduler", "TCDScheduler", "FlowMatchLCMScheduler", "SCMScheduler", "CMStochasticIterativeScheduler"}
CONSISTENCY = (
    ": it adds new noise in each of its few steps, which leaves nothing to be done in parallel. With "
    "EulerDiscreteScheduler or FlowMatchEulerDiscreteScheduler in the model's scheduler folder it can be sampled"
)
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
        elif kind in INSTEAD and not self.flow:
            self.default = INSTEAD[kind]
        else:
            known = ", ".join([*OWN, *(() if self.flow else INSTEAD)])
            raise UnsupportedModel(
                f"{kind} cannot be sampled{CONSISTENCY if kind in CONSISTENT else ''}; known schedulers: {known}"
            )
        # What a user should know: None if the model is sampled as its scheduler says.
        self.substitute = (self.default, kind) if kind in INSTEAD else None
        prediction = config.get("prediction_type", "flow_prediction" if self.flow else "epsilon")
        if prediction not in PREDICTIONS:
            raise UnsupportedModel(f"prediction_type {prediction} is not one of {', '.join(PREDICTIONS)}")
        self.prediction: Prediction = PREDICTIONS[prediction]
        for option, fine in UNSERVED.items():
            if config.get(option) not in fine:
                raise UnsupportedModel(
                    f"{option} {config[option]} is not supported: set it to {fine[0]} in the scheduler"
                )
        if config.get("rescale_betas_zero_snr") and self.prediction == "epsilon":
            raise UnsupportedModel("a schedule that starts at zero signal needs v_prediction, not epsilon")
        check = SOLVERS[self.default].check
        if check and kind in OWN:
            check(config)

    @property
    def clip(self) -> float | None:
        """Bound on |x0|, diffusers' `clip_sample`; None for no bound."""
        config = self.scheduler.config
        if isinstance(self.scheduler, diffusers.CogVideoXDDIMScheduler):
            return None  # it has the option and does not read it
        return float(config.get("clip_sample_range", 1.0)) if config.get("clip_sample") else None

    @property
    def solvers(self) -> tuple[str, ...]:
        """The names that `solver` takes."""
        return tuple(name for name, kind in SOLVERS.items() if kind.flow or not self.flow)

    def solver(self, steps: int, name: str | None, seed: int, eta: float, skipped: int = 0, **schedule: Any) -> Solver:
        """See `sampler.denoiser.Model.solver`; `schedule` goes to the scheduler's `set_timesteps`, and the first steps
        are `skipped`."""
        name = name or self.default
        if name not in self.solvers:
            raise ValueError(f"this model has no solver {name}: choose one of {', '.join(self.solvers)}")
        kind = SOLVERS[name]
        if not 0 <= eta <= 1 or (eta and not kind.eta):
            raise ValueError(f"eta must be from 0 to 1, and 0 for every solver but ddim, not {eta} for {name}")
        return kind.make(self, SolverRequest(steps, seed, eta, schedule, skipped))

    def scheduler_as(self, name: str) -> Any:
        """The model's scheduler as diffusers' class `name`; for flow matching always the model's own scheduler."""
        if isinstance(self.scheduler, diffusers.FlowMatchHeunDiscreteScheduler):
            name = "FlowMatchEulerDiscreteScheduler"  # Heun's points, each listed once
        elif self.flow:
            return self.scheduler
        return self._made_as(name)

    def _as(self, name: str) -> Any:
        made, shipped = getattr(diffusers, name), self.scheduler
        if OWN.get(type(shipped).__name__) == OWN.get(name, ""):
            return shipped
        config = dict(shipped.config)
        # What a file does not give becomes the other class's default; but pipelines correct some of it as they load.
        defaults = {k: v.default for k, v in signature(type(shipped).__init__).parameters.items()}
        left_out = [k for k in config.get("_use_default_values", ()) if config[k] == defaults.get(k)]
        own = ("algorithm_type", "solver_type", "solver_order")  # of one class's algorithm, not of the process
        kept = {k: v for k, v in config.items() if k not in own}
        return made.from_config(kept | {"_use_default_values": left_out})
