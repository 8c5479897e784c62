"""Runs many samples side by side, and notes after each round how far what each shows is from the serial image."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor

from benchmarks.peers import Peer

BATCH = 64


class Denoiser(Protocol):
    """See `sampler.Denoiser`."""

    def denoise(self, x: Tensor, timestep: Tensor, conditions: Sequence[Any]) -> Tensor: ...


@dataclass
class Run:
    """One sample by one method.

    Attributes:
        peer: the method.
        condition: what the sample is conditioned on.
        exact: (c, h, w), the serial solution.
        trace: (rounds, evaluations, error) after each round that changed what is shown, in order; the relative error
            (RMS over RMS, latent space).
        enough: the run is broken off once the error is below this.
    """

    peer: Peer
    condition: Any
    exact: Tensor
    enough: float = 0.0
    trace: list[tuple[int, int, float]] = field(default_factory=list)

    @property
    def going(self) -> bool:
        """Whether it has neither stopped by its own rule nor been broken off."""
        return bool(self.peer.ready()) and not (self.trace and self.trace[-1][2] < self.enough)

    def note(self) -> None:
        """Note what is shown now, if it has changed."""
        estimate = self.peer.estimate
        if estimate is None:
            return
        error = float((estimate - self.exact).norm() / self.exact.norm())
        if not self.trace or self.trace[-1][2] != error:
            self.trace.append((self.peer.rounds, self.peer.evaluations, error))


def drive(model: Denoiser, runs: Sequence[Run], limit: int) -> None:
    """Run all to their end, or to `limit` rounds each; batches are shared, which changes no count.

    Conditions must be able to share a batch.
    """
    while going := [run for run in runs if run.peer.rounds < limit and run.going]:
        asked = [(run, evaluation) for run in going for evaluation in run.peer.ready()]
        outputs: list[Tensor] = []
        for first in range(0, len(asked), BATCH):
            part = asked[first : first + BATCH]
            x = torch.stack([evaluation.x for _, evaluation in part])
            timestep = torch.tensor([evaluation.timestep for _, evaluation in part], dtype=torch.float64)
            with torch.inference_mode():
                outputs += model.denoise(x, timestep, [run.condition for run, _ in part]).float().unbind()
        taken = 0
        for run in going:
            count = len(run.peer.ready())
            run.peer.take(torch.stack(outputs[taken : taken + count]))
            taken += count
            run.note()
