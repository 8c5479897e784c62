"""The words of the product as types: each is defined here and nowhere else."""

from typing import Literal

State = Literal["queued", "running", "succeeded", "failed", "canceled"]
"""Of a job."""

TERMINAL: tuple[State, ...] = ("succeeded", "failed", "canceled")
"""The states of a job that has ended."""

Stopped = Literal["converged", "exact", "max_iterations", "accepted"]
"""Why an image, or a job that succeeded, stopped."""

Failure = Literal["model", "worker", "crashes", "deadline"]
"""The kind of a job's failure."""

Priority = Literal["low", "normal", "high"]
EventKind = Literal["state", "iterate", "done"]
Scope = Literal["submit", "read", "admin"]
"""What an API key may do."""

DeliveryState = Literal["pending", "delivered", "failed"]
"""Of one event on its way to a webhook."""

SampledBy = Literal["collocation", "srds", "serial"]
"""How a picture is sampled once it is planned. ``contract.methods`` has a row for each."""

Method = Literal["auto", SampledBy]
"""How a picture is sampled, as a request names it."""

Solver = Literal["ddim", "euler", "heun", "dpm++", "unipc", "ddpm"]
"""The numerical method that takes the steps of the grid."""

Wish = Literal["latency", "cost"]
"""What method ``auto`` saves."""

Format = Literal["png", "webp", "jpeg"]
"""Of an encoded picture."""
