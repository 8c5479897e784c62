"""The correction `G(new) - G(old)` of Parareal, made robust to strong guidance.

In y = x / alpha, s = sigma / alpha a coarse step is `y' = y + (s' - s) eps(y)`. If its start changes by dy, and eps
there by d eps, its end changes by `dy - (s - s') d eps`. Let theta = s <d eps, dy> / <dy, dy>. For constant theta the
true flow changes the end by (s'/s)^theta dy, and one Euler step by (1 - theta (1 - s'/s)) dy. The two agree for
theta = 1. A larger theta, which strong guidance causes, can turn the sign of Euler's factor: the coarse step then
responds by more than the flow can, and Parareal's iterates get worse before they get better. Two scalars prevent this,
and cost no evaluation:

- `bounded`: for theta > 1, the response `(s - s') d eps` is scaled so that its part along dy is that of the flow.
- `secant`: the change of the fine solve over the change that the correction predicted for it.

Neither changes the limit of the iteration, nor that iterate p = B is exact: a boundary that does not change has no
correction. The exponential form is that of exponential integrators (Hochbruck, Ostermann 2010); scaling Parareal's
coarse part is known as theta-parareal (Ariel, Kim, Tsai 2018).
"""

import torch
from torch import Tensor

from sampler.methods.srds import tuning
from sampler.vectors import projection


def bounded(correction: Tensor, displacement: Tensor, scale: float, ratio: float) -> Tensor:
    """The correction, with a response to the displacement that is no larger than the flow's.

    Args:
        correction: G(new) - G(old), (c, h, w).
        displacement: new - old at the start of the step, (c, h, w).
        scale: alpha' / alpha across the step: `scale * displacement` is the correction for an unchanged eps.
        ratio: (sigma' / alpha') / (sigma / alpha), from 0 to 1.

    Returns:
        The correction itself if theta is at most 1.
    """
    without_response = scale * displacement
    response = without_response - correction
    part = projection(response, without_response)  # theta (1 - s'/s)
    flow = 1 - ratio ** (part / (1 - ratio))
    return without_response - torch.where(part > 1 - ratio, flow / part, 1.0) * response


def secant(fine: Tensor, previous_fine: Tensor, correction: Tensor) -> Tensor:
    """The change of the fine solve over the change that was predicted, in its direction: a scalar tensor within bounds.

    Args:
        fine, previous_fine: F from the newest boundary that was solved, and from the one before it, (c, h, w).
        correction: the prediction of their difference.
    """
    return projection(fine - previous_fine, correction).clamp(tuning.SECANT_LOWEST, tuning.SECANT_HIGHEST)
