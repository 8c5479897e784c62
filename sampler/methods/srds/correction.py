"""The correction `G(new) - G(old)` of Parareal, made safe for strong guidance.

In y = x / alpha, s = sigma / alpha a coarse step is `y' = y + (s' - s) eps(y)`. Where the boundary moves by dy and eps
with it, the step's end moves by `dy - (s - s') d eps`. Let theta = s <d eps, dy> / <dy, dy>. Were theta the same all
the way, the true flow would move its end by (s'/s)^theta dy, one step of Euler's by 1 - theta (1 - s'/s). They agree
for theta = 1. A greater theta, as strong guidance makes it, turns Euler's around: one step answers farther than the
flow can, and Parareal's iterates get worse before they get better. Two scalars mend it, both at no evaluation:

- `bounded`: the answer `(s - s') d eps` is scaled so that along dy it is what the flow's would be, where theta > 1.
- `secant`: what the fine solve made of the latest move, over what the correction had said it would.

Neither changes what Parareal converges to, nor that iterate p = B is exact: a boundary that does not move has no
correction. The exponential form is that of exponential integrators (Hochbruck, Ostermann 2010); scaling Parareal's
coarse part is known as theta-parareal (Ariel, Kim, Tsai 2018).
"""

import torch
from torch import Tensor

from sampler.methods.srds import tuning


def bounded(correction: Tensor, moved: Tensor, scale: float, ratio: float) -> Tensor:
    """`correction`, with an answer to the move that is no greater than the flow's.

    Args:
        correction: G(new) - G(old), (c, h, w).
        moved: new - old, (c, h, w), of the boundary where the step starts.
        scale: alpha' / alpha across the step: `scale * moved` is the correction if eps had not moved.
        ratio: (sigma' / alpha') / (sigma / alpha), from 0 to 1.

    Returns:
        The same where theta is at most 1.
    """
    unanswered = scale * moved
    answer = unanswered - correction
    part = along(answer, unanswered)  # theta (1 - s'/s)
    flow = 1 - ratio ** (part / (1 - ratio))
    return unanswered - torch.where(part > 1 - ratio, flow / part, 1.0) * answer


def secant(fine: Tensor, fine_before: Tensor, correction: Tensor) -> Tensor:
    """What the fine solve's end moved by over what the `correction` had said, along it: a scalar within bounds.

    Args:
        fine, fine_before: F of the newest boundary that was solved from, and of the one before it, (c, h, w).
        correction: what was said of the move between the two.
    """
    return along(fine - fine_before, correction).clamp(tuning.SECANT_LOWEST, tuning.SECANT_HIGHEST)


def along(u: Tensor, v: Tensor) -> Tensor:
    """How much of `v` there is in `u`: <u, v> / <v, v>, a scalar; 1 where v is 0."""
    square = v.square().sum()
    return torch.where(square > 0, (u * v).sum() / square, 1.0)
