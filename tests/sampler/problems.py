"""Small denoisers with known solutions, so that schedules can be tested without a network."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from diffusers import DDIMScheduler
from torch import Tensor

from sampler import DDIM, Engine, Evaluation, Iterate, Lora, Parareal, Trajectory, ddim_grid

SHAPE = (2, 4, 4)


def scheduler(**changes: Any) -> DDIMScheduler:
    """The DDIM scheduler of Stable Diffusion, with more training timesteps and the given changes."""
    config = {
        "num_train_timesteps": 1100,
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "clip_sample": False,
        "set_alpha_to_one": False,
        "steps_offset": 1,
    }
    return DDIMScheduler(**(config | changes))


@dataclass(frozen=True)
class Unconditional:
    """A condition without content. Conditions of different `kind` cannot share a batch."""

    kind: int = 0
    loras: tuple[Lora, ...] = ()

    @property
    def signature(self) -> int:
        return self.kind


@dataclass
class Mixture:
    """The exact prediction for a distribution of a few pictures: a smooth nonlinear problem.

    Counts its calls: `calls[r]` is how many evaluations the r-th call held.
    """

    prediction: str = "epsilon"

    pictures: Tensor = field(
        default_factory=lambda: torch.randn(12, *SHAPE, generator=torch.Generator().manual_seed(1))
    )
    alpha_bar: Tensor = field(default_factory=lambda: scheduler().alphas_cumprod)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    calls: list[int] = field(default_factory=list)

    def denoise(self, x: Tensor, timestep: Tensor, conditions: Sequence[Any]) -> Tensor:
        assert len(x) == len(timestep) == len(conditions)
        self.calls.append(len(x))
        return self.output(x, timestep)

    def output(self, x: Tensor, timestep: Tensor) -> Tensor:
        alpha_bar = self.alpha_bar[timestep.long()][:, None].double()
        flat, data = x.flatten(1).double(), self.pictures.flatten(1).double()
        distance = (flat[:, None] - alpha_bar.sqrt()[:, :, None] * data[None]).square().sum(-1)
        x0 = torch.softmax(-distance / (2 * (1 - alpha_bar)), 1) @ data
        epsilon = (flat - alpha_bar.sqrt() * x0) / (1 - alpha_bar).sqrt()
        velocity = alpha_bar.sqrt() * epsilon - (1 - alpha_bar).sqrt() * x0
        output = {"epsilon": epsilon, "v_prediction": velocity, "sample": x0}[self.prediction]
        return output.reshape(x.shape).float()


def noise(seed: int = 0) -> Tensor:
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def solver(steps: int, **changes: Any) -> DDIM:
    made = scheduler(**changes)
    return DDIM(ddim_grid(made, steps), made.config.prediction_type)


def run(model: Any, trajectory: Trajectory, width: int) -> list[Iterate]:
    """All iterates of one trajectory, alone in an engine."""
    engine = Engine(model, width)
    engine.add(trajectory, Unconditional())
    iterates = []
    while engine.active:
        for progress in engine.round():
            iterates += progress.iterates
    return iterates


@dataclass
class Schedule:
    """The evaluations of each round: grid points of (block, iterate)."""

    rounds: list[list[Evaluation]] = field(default_factory=list)

    def follow(self, model: Mixture, trajectory: Parareal, width: int) -> list[Iterate]:
        """Drive a trajectory without the engine, `width` evaluations a round."""
        iterates = []
        while chosen := trajectory.ready()[:width]:
            self.rounds.append(chosen)
            x = torch.stack([evaluation.x for evaluation in chosen])
            timestep = torch.tensor([evaluation.timestep for evaluation in chosen])
            iterates += trajectory.take(chosen, model.output(x, timestep))
        return iterates

    def per_node(self) -> Counter[Any]:
        """How many evaluations each (block, iterate) took."""
        return Counter(evaluation.key for evaluations in self.rounds for evaluation in evaluations)


def relative_error(sample: Tensor, reference: Tensor) -> float:
    return float((sample - reference).norm() / reference.norm())
