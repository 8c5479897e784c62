"""From the diffusers scheduler that a model ships with to our solvers."""

from functools import cache
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
# Variance-preserving models whose scheduler has no solver here: sampled as DDIM, from the same noise schedule.
AS_DDIM = {
    "DDIMParallelScheduler", "DDPMParallelScheduler", "DDPMScheduler", "DEISMultistepScheduler",
    "DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler", "PNDMScheduler", "UniPCMultistepScheduler",
}  # fmt: skip
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
        if check := SOLVERS[self.default].check:
            check(config)

    @property
    def clip(self) -> float | None:
        """Bound on |x0|, diffusers' `clip_sample`; None for no bound."""
        config = self.scheduler.config
        return float(config.get("clip_sample_range", 1.0)) if config.get("clip_sample") else None

    @property
    def solvers(self) -> tuple[str, ...]:
        """The names that `solver` takes."""
        return tuple(name for name, kind in SOLVERS.items() if kind.flow or not self.flow)

    def solver(self, steps: int, name: str | None, seed: int, eta: float, **schedule: Any) -> Solver:
        """See `sampler.denoiser.Model.solver`; `schedule` goes to the scheduler's `set_timesteps`."""
        name = name or self.default
        if name not in self.solvers:
            raise ValueError(f"this model has no solver {name}: choose one of {', '.join(self.solvers)}")
        kind = SOLVERS[name]
        if not 0 <= eta <= 1 or (eta and not kind.eta):
            raise ValueError(f"eta must be from 0 to 1, and 0 for every solver but ddim, not {eta} for {name}")
        return kind.make(self, SolverRequest(steps, seed, eta, schedule))

    def scheduler_as(self, name: str) -> Any:
        """The model's scheduler as diffusers' class `name`; for flow matching always the model's own scheduler."""
        return self.scheduler if self.flow else self._made_as(name)

    def _as(self, name: str) -> Any:
        return getattr(diffusers, name).from_config(self.scheduler.config)
