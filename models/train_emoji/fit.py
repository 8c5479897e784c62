"""The training loop that every stage shares: budget, learning rate, averaged weights, checkpoints."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.nn import Parameter

WARM_UP = 200
"""Steps over which the learning rate rises: Adam's statistics start empty, also when the weights do not."""


Checkpoint = Callable[[str], None]
"""Called with a line that says how far training is, the averaged weights in place; it may measure and save."""


@dataclass(frozen=True)
class Budget:
    """How long a stage trains: minutes of wall time, or steps. Exactly one of them is set."""

    minutes: float | None = None
    steps: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Budget":
        """``"70m"`` is minutes, ``"2000"`` is steps. Raises ValueError for anything else."""
        return cls(minutes=float(text[:-1])) if text.endswith("m") else cls(steps=int(text))

    def done(self, step: int, seconds: float) -> float:
        """The part of the budget that is spent; 1 or more means stop."""
        if self.minutes is not None:
            return seconds / (60 * self.minutes)
        assert self.steps is not None
        return step / self.steps


class Average:
    """Exponential moving average of parameters: what is measured and saved, since it beats the last step's weights."""

    def __init__(self, parameters: list[Parameter], horizon: int = 1000) -> None:
        self.parameters = parameters
        self.horizon = horizon
        self.mean = [p.detach().clone() for p in parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after ``step`` steps; early on the horizon is short, to forget the start."""
        weight = max(1 / self.horizon, 10 / (10 + step))
        for mean, p in zip(self.mean, self.parameters, strict=True):
            mean.lerp_(p, weight)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The parameters hold the average inside, and their own values again after."""
        own = [p.detach().clone() for p in self.parameters]
        self._set(self.mean)
        try:
            yield
        finally:
            self._set(own)

    def keep(self) -> None:
        """The parameters hold the average from now on."""
        self._set(self.mean)

    @torch.no_grad()
    def _set(self, values: list[torch.Tensor]) -> None:
        for p, value in zip(self.parameters, values, strict=True):
            p.copy_(value)


def fit(
    parameters: list[Parameter],
    loss: Callable[[], torch.Tensor],
    budget: Budget,
    peak: float,
    checkpoint: Checkpoint,
    every: float,
) -> None:
    """Minimise ``loss`` by AdamW and leave the averaged weights in ``parameters``.

    The learning rate rises to ``peak`` and falls to nothing along a cosine by the end of ``budget``. ``checkpoint`` is
    called every ``every`` minutes and at the end. The forward pass runs in bfloat16, the weights stay float32.
    """
    optimizer = torch.optim.AdamW(parameters, lr=peak, betas=(0.9, 0.98), weight_decay=1e-3)
    average = Average(parameters)
    start = last = time.monotonic()
    step, recent = 0, float("nan")
    while (done := budget.done(step, time.monotonic() - start)) < 1:
        cosine = 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * done))))
        optimizer.param_groups[0]["lr"] = peak * min(1.0, (step + 1) / WARM_UP) * cosine
        with torch.autocast("cpu", dtype=torch.bfloat16):
            value = loss()
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        step += 1
        average.update(step)
        recent = value.item() if step == 1 else recent + 0.01 * (value.item() - recent)
        if time.monotonic() - last > 60 * every:
            with average.applied():
                checkpoint(f"step {step}, {(time.monotonic() - start) / 60:.1f} min, training loss {recent:.4f}")
            last = time.monotonic()
    average.keep()
    checkpoint(f"step {step}, {(time.monotonic() - start) / 60:.1f} min, training loss {recent:.4f}, end")
