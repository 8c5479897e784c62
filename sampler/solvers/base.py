"""The protocol of solvers, and the meaning of a network's output."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch
from torch import Tensor

from sampler.grid import Grid, Level

if TYPE_CHECKING:
    from sampler.solvers.from_picture import Kept

Prediction = Literal["epsilon", "v_prediction", "sample", "velocity"]


@dataclass(frozen=True, slots=True)
class LinearForm:
    """A solver's fine steps, if they are linear in the state and in the predicted image.

    With x the sample and D[i] the image that the network predicts at point i,

        x[i+1] = keep[i] x[i] + gain[i] D[i] + before[i] D[i-1] + noise[i].

    Attributes:
        keep, gain, before: (n,) float64 on the CPU.
        noisy: whether there is noise. It is the solver's own step from x = 0 with D = 0.
        clip: bound on |D|, or None.
        kept: what a mask keeps; the form then holds in its free part.
    """

    keep: Tensor
    gain: Tensor
    before: Tensor
    noisy: bool = False
    clip: float | None = None
    kept: "Kept | None" = None


class Solver(Protocol):
    """A step of one evaluation between any two grid points; fine steps and coarse steps are the same map.

    The state (m, c, h, w) is carried from point to point. Its first entry is the sample, which is the network's input;
    a multistep solver keeps its history in the others.
    """

    @property
    def grid(self) -> Grid:
        """The grid that `start` and `end` index."""
        ...

    @property
    def prediction(self) -> Prediction:
        """What the network's output means."""
        ...

    @property
    def linear(self) -> LinearForm | None:
        """The linear form of the fine steps; None if they have none."""
        ...

    def initial(self, noise: Tensor) -> Tensor:
        """The state (m, c, h, w) at point 0, from unit noise (c, h, w)."""
        ...

    def step(self, state: Tensor, output: Tensor, start: Tensor, end: Tensor) -> Tensor:
        """Take each state from its point `start` to its point `end`.

        Args:
            state: (b, m, c, h, w) float32.
            output: (b, c, h, w) float32, of the network for each sample at its `start`.
            start, end: (b,) int64 grid points, start < end, on the CPU.

        Returns:
            The states at `end`, (b, m, c, h, w) float32.
        """
        ...


class NoiseProcess(Protocol):
    """What a solver is made from: a model's noise process, as its diffusers scheduler defines it."""

    @property
    def prediction(self) -> Prediction:
        """What the network's output means."""
        ...

    @property
    def clip(self) -> float | None:
        """Bound on |x0|, diffusers' `clip_sample`; None for no bound."""
        ...

    def scheduler_as(self, name: str) -> Any:
        """The model's scheduler as diffusers' class `name`; for flow matching always the model's own scheduler."""
        ...


@dataclass(frozen=True, slots=True)
class SolverRequest:
    """The solver that a model is asked for.

    Attributes:
        steps: N.
        seed: of the noise that a stochastic solver adds.
        eta: how much noise DDIM adds in every step, from 0 to 1.
        schedule: arguments of the scheduler's `set_timesteps`, beside the number of steps.
        skipped: how many of the N steps are left out at the beginning, where a picture is what the sample starts from.
    """

    steps: int
    seed: int
    eta: float
    schedule: dict[str, Any]
    skipped: int = 0


class Factory(Protocol):
    """Makes a solver for a noise process.

    Raises:
        UnsupportedModel: the scheduler has an option that the solver does not have.
    """

    def __call__(self, process: NoiseProcess, request: SolverRequest) -> Solver: ...


@dataclass(frozen=True, slots=True)
class SolverKind:
    """A row in the table of solvers.

    Attributes:
        make: makes the solver.
        schedulers: diffusers' classes whose models are sampled by it unless a request names another.
        flow: whether it also solves flow matching, and not variance-preserving processes alone.
        eta: whether it takes `eta`.
        check: raises UnsupportedModel if a scheduler's config has an option that the solver does not have.
    """

    make: Factory
    schedulers: tuple[str, ...] = ()
    flow: bool = True
    eta: bool = False
    check: Callable[[Any], None] | None = None


def predictions(
    x: Tensor, output: Tensor, alpha: Tensor | float, sigma: Tensor | float, kind: Prediction
) -> tuple[Tensor, Tensor]:
    """The image and the noise that a network's output predicts: (x0, eps), both shaped like `x`.

    `x = alpha * x0 + sigma * eps`. Source: Song et al. 2021 (DDIM) eq. 9 and 12; Salimans, Ho 2022 appendix D for v;
    for the velocity `eps - x0` of flow matching (alpha = 1 - sigma) Lipman et al. 2023, Esser et al. 2024.
    """
    return x0_from(x, output, alpha, sigma, kind), eps_from(x, output, alpha, sigma, kind)


def x0_from(x: Tensor, output: Tensor, alpha: Tensor | float, sigma: Tensor | float, kind: Prediction) -> Tensor:
    """The first of `predictions`: x0."""
    if kind == "epsilon":
        return (x - sigma * output) / alpha
    if kind == "v_prediction":
        return alpha * x - sigma * output
    if kind == "velocity":
        return x - sigma * output
    return output


def eps_from(x: Tensor, output: Tensor, alpha: Tensor | float, sigma: Tensor | float, kind: Prediction) -> Tensor:
    """The second of `predictions`: eps."""
    if kind == "epsilon":
        return output
    if kind == "v_prediction":
        return alpha * output + sigma * x
    if kind == "velocity":
        return x + alpha * output
    return (x - alpha * output) / sigma


def output_for_x0(x0: Tensor, x: Tensor, alpha: float, sigma: float, kind: Prediction) -> Tensor:
    """The network output that predicts `x0` at `x`: the inverse of `x0_from`. `sigma` is greater than 0."""
    if kind == "epsilon":
        return (x - alpha * x0) / sigma
    if kind == "v_prediction":
        return (alpha * x - x0) / sigma
    if kind == "velocity":
        return (x - x0) / sigma
    return x0


def ddim_step(
    x: Tensor, output: Tensor, departs: Sequence[Level], arrives: Sequence[Level], kind: Prediction
) -> Tensor:
    """`alpha' x0 + sigma' eps`, with x0 and eps of `predictions`, in fewer passes over the samples.

    Args:
        x, output: (b, c, h, w).
        departs, arrives: (alpha, sigma) and (alpha', sigma') of each sample.
        kind: see `predictions`.
    """
    weights = [_weights(*here, *there, kind) for here, there in zip(departs, arrives, strict=True)]
    kept, gain = weights[0] if len(weights) == 1 else broadcastable(torch.tensor(weights, dtype=torch.float64).T, x)
    if kind == "epsilon":
        return _plus(x, gain, output).mul_(kept)
    return _plus(kept * x, gain, output)


def _weights(alpha: float, sigma: float, alpha_to: float, sigma_to: float, kind: Prediction) -> tuple[float, float]:
    """(kept, gain): the step is `kept x + gain output`, or `kept (x + gain output)` if the network predicts eps."""
    if kind == "epsilon":
        # Near pure noise x and sigma eps almost cancel: subtract them before they are scaled up.
        kept = alpha_to / alpha
        return kept, sigma_to / kept - sigma
    if kind == "v_prediction":
        return alpha_to * alpha + sigma_to * sigma, sigma_to * alpha - alpha_to * sigma
    if kind == "velocity":
        return alpha_to + sigma_to, sigma_to * alpha - alpha_to * sigma
    kept = sigma_to / sigma
    return kept, alpha_to - kept * alpha


def _plus(x: Tensor, factor: Tensor | float, y: Tensor) -> Tensor:
    """`x + factor * y`, in one pass."""
    return torch.addcmul(x, factor, y) if isinstance(factor, Tensor) else torch.add(x, y, alpha=factor)


def broadcastable(coefficients: Tensor, state: Tensor) -> Tensor:
    """Float64 coefficients (..., b) on the CPU as factors of samples (b, c, h, w): (..., b, 1, 1, 1)."""
    return coefficients.to(state.device, state.dtype)[..., None, None, None]


def levels(by_index: Sequence[Level], indices: Tensor) -> list[Level]:
    """A grid's `departs` or `arrives` at the indices (b,)."""
    return [by_index[index] for index in indices.numpy().tolist()]


def departure(grid: Grid, start: Tensor) -> Tensor:
    """(alpha, sigma) on departure from the points `start`: (2, b)."""
    return torch.stack([grid.alpha[start], grid.sigma[start]])


def arrival(grid: Grid, end: Tensor) -> Tensor:
    """(alpha, sigma) on arrival at the points `end`: (2, b)."""
    return torch.stack([grid.alpha_to[end - 1], grid.sigma_to[end - 1]])
