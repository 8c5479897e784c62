"""Conditions of all families: encoded prompts that share a batch, and classifier-free guidance over them."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Inputs = dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt (or a class), encoded.

    Attributes:
        positive: the network's inputs by name, each (1, ...).
        negative: the same for the negative prompt; None if guidance is off.
        guidance_scale: above 1 guides; as in diffusers, 1 and below does not and costs half.
        rescale: guidance rescale, from 0 (off) to 1.
    """

    positive: Inputs
    negative: Inputs | None = None
    guidance_scale: float = 1.0
    rescale: float = 0.0

    @property
    def signature(self) -> Hashable:
        """Inputs of equal shapes share a batch, with whatever guidance each has."""
        return tuple((name, tuple(value.shape)) for name, value in self.positive.items())


def guided_output(
    x: Tensor,
    timestep: Tensor,
    conditions: Sequence[Prompt],
    network: Callable[[Tensor, Tensor, Inputs], Tensor],
) -> Tensor:
    """One batched call of `network`: guided samples take two rows of its batch, others one.

    Args:
        x: (b, c, h, w).
        timestep: (b,).
        conditions: b of them.
        network: of (rows, c, h, w), timesteps (rows,) float32 on the device of x, and inputs (rows, ...).

    Returns:
        The guided outputs, (b, c, h, w) float32.
    """
    guided = [n for n, condition in enumerate(conditions) if condition.negative is not None]
    all_are = len(guided) == len(conditions)

    def of_guided(values: Tensor) -> Tensor:
        return values if all_are else values[guided]

    inputs = [condition.negative for condition in conditions if condition.negative is not None]
    inputs += [condition.positive for condition in conditions]
    together = {name: torch.cat([each[name] for each in inputs]) for name in inputs[0]}
    timestep = timestep.to(x.device, torch.float32)
    output = network(torch.cat([of_guided(x), x]), torch.cat([of_guided(timestep), timestep]), together).float()
    unconditional, output = output[: len(guided)], output[len(guided) :]
    if not guided:
        return output
    chosen = [conditions[n] for n in guided]
    conditional = of_guided(output)
    combined = guide(unconditional, conditional, torch.tensor([condition.guidance_scale for condition in chosen]))
    if any(condition.rescale for condition in chosen):
        combined = rescale(combined, conditional, torch.tensor([condition.rescale for condition in chosen]))
    return combined if all_are else output.index_copy(0, torch.tensor(guided, device=x.device), combined)


def guide(unconditional: Tensor, conditional: Tensor, scale: Tensor) -> Tensor:
    """Classifier-free guidance, `u + s (c - u)` (Ho, Salimans 2022, in the form of diffusers' pipelines).

    Args:
        unconditional, conditional: (b, c, h, w).
        scale: (b,), one guidance scale per sample.
    """
    return unconditional + scale.to(conditional)[:, None, None, None] * (conditional - unconditional)


def rescale(guided: Tensor, conditional: Tensor, amount: Tensor) -> Tensor:
    """Guidance rescale: towards the standard deviation of the unguided output (Lin et al. 2023, section 3.4).

    Args:
        guided, conditional: (b, c, h, w).
        amount: (b,), 0 leaves a sample as it is, 1 rescales it fully.
    """
    ratio = conditional.std((1, 2, 3), keepdim=True) / guided.std((1, 2, 3), keepdim=True)
    return guided * (1 + amount.to(guided)[:, None, None, None] * (ratio - 1))
